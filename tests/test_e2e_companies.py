"""Companies in a real browser."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from leads.models import Company, Task
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_company, make_entry, make_lead, make_rep, make_transition, make_version

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
LONG = "Wilhelmina-Alexandra von Hohenstaufen-Sigmaringen & Söhne AG"


@pytest.fixture
def acme(live_server):
    """A company with two hot people and a third, among others."""
    rep, other = colleague("rep"), make_rep(username="otto", first_name="Otto", last_name="Other")
    company = make_company(name="Acme Labs", domain="acme.example", owner=rep, traits={"industry": "Rockets"})
    version = make_version()
    people = [make_lead(name=name, company=company, owner=rep, stage_id="mql") for name in ("Ada Lovelace", "Bea Hot", LONG)]
    for days, lead in zip((40, 20, 2), people, strict=True):
        make_entry(lead=lead, points=days, version=version, at=timezone.now() - timedelta(days=days))
    moves = [make_transition(lead=lead) for lead in people[:2]]
    task = Task.objects.create(lead=people[0], company=company, kind="handoff", title="Ready: Ada", owner=rep, transition=moves[0])
    task.colleagues.add(people[1])
    make_company(name=LONG, domain="hohenstaufen-sigmaringen-und-soehne.example", owner=other, value="1234567.50", currency="EUR")
    return company


def test_find_a_company_and_give_it_away_by_mouse(browser_page, acme):
    page = browser_page("rep")
    page.goto("/companies/")
    page.get_by_label("Search companies").fill("acme")
    page.get_by_role("button", name="Show").click()
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="Acme Labs").click()
    page.locator("summary", has_text="Change the owner").click()
    page.get_by_label("Owner", exact=True).select_option(label="Otto Other")
    assert page.get_by_label("Take its 3 open leads along").is_checked()
    page.locator("details[open]").get_by_role("button", name="Save").click()

    page.get_by_text("Acme Labs is Otto Other's now, with 3 leads.").wait_for()
    assert set(acme.leads.values_list("owner__username", flat=True)) == {"otto"}
    assert Task.objects.get().owner.username == "otto"


def test_the_value_by_keyboard_and_its_errors(browser_page, acme):
    page = browser_page("rep")
    page.goto(f"/companies/{acme.pk}/")
    page.locator("summary", has_text="Change the value").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("12000")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("euro")
    page.keyboard.press("Control+A")
    page.keyboard.type("€")
    page.keyboard.press("Enter")
    page.get_by_text("Three letters, for example EUR or USD.").wait_for()
    assert_accessible(page)
    page.locator("details[open] [name=currency]").fill("eur")
    page.keyboard.press("Enter")
    page.get_by_text("Value saved.").wait_for()

    company = Company.objects.get(pk=acme.pk)
    assert (company.value, company.currency) == (12000, "EUR")


def test_more_companies_are_added_below(browser_page, acme):
    for n in range(60):
        make_company(name=f"Firm {n}")
    page = browser_page("rep")
    page.goto("/companies/")
    assert page.locator("tbody tr:not(.more)").count() == 50

    page.get_by_role("link", name="Show more").click()
    expect(page.locator("tbody tr")).to_have_count(62)

    assert page.locator(".more").count() == 0


def test_without_javascript(browser_page, acme):
    page = browser_page("rep", javascript=False)
    page.goto(f"/companies/{acme.pk}/")
    page.locator("summary", has_text="Change the owner").click()
    page.get_by_label("Owner", exact=True).select_option(label="Nobody")
    page.locator("details[open]").get_by_role("button", name="Save").click()

    assert page.get_by_text("Acme Labs is nobody's now, with 3 leads.").count() == 1


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_use_them(browser_page, acme, dark):
    page = browser_page("rep", dark=dark)
    page.goto("/companies/")
    assert_accessible(page)
    page.goto(f"/companies/{acme.pk}/")
    page.get_by_text("As a table").click()
    page.locator("summary", has_text="Change the owner").click()
    assert_accessible(page)


def test_on_a_phone_nothing_sticks_out(browser_page, acme):
    page = browser_page("rep", viewport=PHONE, touch=True)
    for address in ("/companies/", f"/companies/{acme.pk}/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert_accessible(page)
    page.locator("summary", has_text="Change the value").tap()
    assert page.get_by_label("Value a year").bounding_box()["height"] >= 44
