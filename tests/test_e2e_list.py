"""The leads list and the import in a browser: by mouse, by keyboard alone, at phone width, without JavaScript, in light and dark."""

import pytest

from leads.models import CsvImport, Lead, LeadSearch
from leads.tasks import record_imports
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_company, make_lead

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LONG = "Wilhelmina-Alexandra von und zu Hohenlohe-Waldenburg-Schilling"
FILE = {"name": "fair.csv", "mimeType": "text/csv", "buffer": b"Mail,Full name,OK\nada@example.com,Ada,yes\nbroken,Bob,no\n"}


@pytest.fixture
def leads(browser_page):
    rita = colleague("rep")
    people = [
        make_lead(name=LONG, title="CTO", company=make_company(name="Acme"), engagement=90, stage_id="mql", phone="+49 30 1"),
        make_lead(name="Bea", engagement=40, owner=rita),
        make_lead(name="Cid", engagement=10, company=make_company(name="Zeta")),
    ]
    for lead in people:
        LeadSearch.objects.create(lead=lead, text=lead.name.lower())
    return people


def names(page):
    return page.locator(".lead-link").all_inner_texts()


def test_a_rep_sorts_searches_and_hands_leads_over_by_mouse(browser_page, leads):
    page = browser_page("rep")
    page.goto("/leads/")
    assert names(page) == [LONG, "Bea", "Cid"]

    page.get_by_role("link", name="Name", exact=True).click()
    page.wait_for_url("**/leads/?sort=name")
    assert names(page) == ["Bea", "Cid", LONG]
    assert_accessible(page)

    page.fill("#leads-q", "cid")
    page.wait_for_url("**/leads/?q=cid&sort=name")
    assert names(page) == ["Cid"]
    page.get_by_role("link", name="Lift the filter").click()
    page.wait_for_url("**/leads/?sort=name")

    page.get_by_label("Choose all on this page").check()
    assert page.locator("[data-chosen]").inner_text() == "3 leads chosen"
    assert_accessible(page)
    page.select_option("#bulk-owner", "me")
    page.get_by_role("button", name="Give").click()
    page.get_by_text("2 leads are now yours.").wait_for()
    assert page.url.endswith("/leads/?sort=name")
    assert Lead.objects.filter(owner=colleague("rep")).count() == 3


def test_a_rep_moves_leads_by_keyboard_alone_and_takes_it_back(browser_page, leads):
    page = browser_page("rep", dark=True)
    page.goto("/leads/?sort=name")

    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator("[data-chosen]").inner_text() == "2 leads chosen"
    page.keyboard.press("m")
    page.keyboard.type("Sales")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("2 moved to Sales qualified.").wait_for()
    assert Lead.objects.filter(stage="sql").count() == 2
    assert_accessible(page)

    page.get_by_role("button", name="Undo").press("Enter")
    page.get_by_text("2 leads are back where they were.").wait_for()
    assert not Lead.objects.filter(stage="sql").exists()

    page.keyboard.press("j")
    assert page.locator(".lead-link:focus").inner_text() == "Bea"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{leads[1].get_absolute_url()}")


def test_a_file_is_imported_on_a_phone(browser_page, leads):
    page = browser_page("rep", viewport=PHONE, touch=True)
    page.goto("/leads/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    page.get_by_role("link", name="Import").tap()

    page.set_input_files("#id_file", FILE)
    page.get_by_role("button", name="Look at the file").tap()
    page.get_by_text("Why it is left out").wait_for()
    assert page.get_by_text("1 new lead").is_visible()
    page.select_option("[name=field-2]", "trait")
    page.locator("[name=trait-2]").wait_for(state="visible")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)

    page.get_by_role("button", name="Import 1 row").tap()
    page.get_by_text("Importing.").wait_for()
    record_imports()
    page.get_by_text("Done, with 1 row left out.").wait_for()
    assert_accessible(page)
    assert Lead.objects.get(email="ada@example.com").traits == {"OK": "yes"}


def test_everything_works_without_javascript(browser_page, leads):
    page = browser_page("rep", javascript=False)
    page.goto("/leads/")

    page.fill("#leads-q", "bea")
    page.get_by_role("button", name="Search").click()
    assert names(page) == ["Bea"]
    page.locator("tbody .tick-cell").click()
    page.select_option("#bulk-stage", "mql")
    page.get_by_role("button", name="Move", exact=True).click()
    assert page.get_by_text("1 moved to Marketing qualified.").is_visible()
    assert page.url.endswith("/leads/?q=bea")

    page.goto("/leads/import/")
    page.set_input_files("#id_file", FILE)
    page.get_by_role("button", name="Look at the file").click()
    page.select_option("[name=field-2]", "trait")
    page.get_by_role("button", name="Check again").click()
    page.get_by_role("button", name="Import 1 row").click()
    assert page.get_by_text("Importing.").is_visible()
    assert CsvImport.objects.get().state == "running"


@pytest.mark.parametrize("dark", [False, True])
def test_empty_pages_can_be_used_by_everybody(browser_page, dark):
    page = browser_page("rep", dark=dark)
    for address in ("/leads/", "/leads/?q=nobody", "/leads/import/"):
        page.goto(address)
        assert_accessible(page)
    page.goto("/leads/")
    assert page.get_by_role("link", name="Import a CSV file").is_visible()
