"""What-if and simulator in a real browser: by mouse, by keyboard, on a phone, without JavaScript, light and dark."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads import gates, publishing, scoring, tasks
from leads.models import Stage, WhatIf
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_company, make_event, make_lead
from tests.histories import model, write_draft

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LONG = "A lead whose name takes sixty characters, as German ones do it"


@pytest.fixture
def draft(db):
    """Some people who did some things, and a draft that would move some of them."""
    write_draft(model())
    version = publishing.publish()
    tasks.advance_rescores()
    now = timezone.now()
    for n in range(1, 7):
        lead = make_lead(name=LONG if n == 6 else f"Person {n}", company=make_company())
        for turn in range(n):
            make_event(lead=lead, type="ABAB"[turn % 4], at=now - timedelta(days=20 - 3 * turn, hours=n), model_version=version)
        scoring.refold([lead.pk], now=now)
    lead.refresh_from_db()
    gates.move_by_hand(lead, Stage.objects.get(key="won"), by_user=colleague("rep"))
    hot = {"key": "hot", "name": "Hot", "from": "mql", "to": "sql", "conditions": [{"event": "B"}]}
    first = {"key": "viewed", "name": "Viewed", "event": "A", "points": 25}
    write_draft(model(rules=[first, *model()["scoring"]["rules"][1:]], gates=[model()["gates"][0], hot]))


def test_a_draft_is_compared_by_mouse_and_a_lead_opened(browser_page, draft):
    page = browser_page("marketer")
    page.goto("/scoring/")
    page.get_by_role("link", name="What if").click()
    page.get_by_label("90 days").check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("0 of 6 leads").wait_for()
    assert_accessible(page)

    tasks.run_what_ifs()
    page.get_by_text("6 leads: 6 scores change").wait_for()
    page.get_by_text("lines of Person 5 would differ").or_(page.locator("summary", has_text="Person 5")).first.click()

    assert page.get_by_role("columnheader", name="Draft").last.is_visible()
    assert page.get_by_role("img", name="leads gain points").is_visible()
    page.get_by_role("link", name="Person 5").click()
    page.wait_for_url("**/leads/*-*/")


def test_a_comparison_is_started_and_canceled_by_keyboard_and_keeps_the_focus_while_it_polls(browser_page, draft):
    page = browser_page("marketer")
    page.goto("/scoring/whatif/")
    page.get_by_label("7 days").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Compare").focus()
    page.keyboard.press("Enter")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.focus()
    with page.expect_response("**/scoring/whatif/*/"):
        pass
    assert cancel.evaluate("button => button === document.activeElement")

    page.keyboard.press("Enter")

    page.get_by_text("Canceled after 0 of 6 leads").wait_for()
    assert WhatIf.objects.get().state == "canceled"


def test_without_javascript_it_is_looked_at_again(browser_page, draft):
    page = browser_page("marketer", javascript=False)
    page.goto("/scoring/whatif/")
    page.get_by_role("button", name="Compare").click()
    tasks.run_what_ifs()
    page.get_by_role("link", name="Look again").click()

    assert "6 leads: 6 scores change" in page.locator("#headline").inner_text()
    page.locator("summary", has_text="Person 5").click()
    assert page.get_by_role("columnheader", name="Draft").last.is_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_the_pages_are_accessible_and_fit_a_phone(browser_page, draft, dark):
    page = browser_page("marketer", viewport=PHONE, dark=dark, touch=True)
    page.goto("/scoring/whatif/")
    assert_accessible(page)
    page.get_by_role("button", name="Compare").click()
    tasks.run_what_ifs()
    page.locator("#headline").wait_for()
    for summary in page.locator("summary:visible").all():
        if summary.evaluate("summary => Boolean(summary.closest('.try'))"):
            summary.click()

    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for control in page.locator(".try :is(summary, .btn, .list a):visible").all():
        assert control.bounding_box()["height"] >= 43, control.inner_text()
    page.goto("/scoring/simulator/")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("dark", [False, True])
def test_the_simulator_names_who_would_pass(browser_page, draft, dark):
    page = browser_page("marketer", dark=dark)
    page.goto("/scoring/")
    page.get_by_role("link", name="Simulator").click()

    assert "would move now" in page.locator("#headline").inner_text()
    assert_accessible(page)
    page.get_by_role("link", name="Person 2").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/leads/*-*/")


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_is_looked_at_in_the_background_on_a_phone(browser_page, draft, monkeypatch, dark):
    monkeypatch.setattr("leads.histories.next_leads.__kwdefaults__", {"leads": 2, "facts": 20_000})
    monkeypatch.setattr("leads.views.whatif.SECONDS", -1.0)
    page = browser_page("marketer", viewport=PHONE, dark=dark, touch=True)
    page.goto("/scoring/simulator/")
    assert "At least 1 lead would move now." in page.locator("#headline").inner_text()
    assert_accessible(page)

    page.get_by_role("button", name="Look at all of them").click()
    page.get_by_text("2 of 6 leads").wait_for()
    assert_accessible(page)
    tasks.run_what_ifs()
    page.get_by_text("All 6 leads were looked at").wait_for()

    assert "At least" not in page.locator("#whole").inner_text()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.goto("/scoring/simulator/")
    page.get_by_role("link", name="All of them were looked at").click()
    page.get_by_text("All 6 leads were looked at").wait_for()


def test_looking_at_everybody_is_canceled_by_keyboard_without_javascript(browser_page, draft, monkeypatch):
    monkeypatch.setattr("leads.histories.next_leads.__kwdefaults__", {"leads": 2, "facts": 20_000})
    monkeypatch.setattr("leads.views.whatif.SECONDS", -1.0)
    page = browser_page("marketer", javascript=False)
    page.goto("/scoring/simulator/")
    page.get_by_role("button", name="Look at all of them").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")

    page.get_by_text("Canceled after 2 of 6 leads.").wait_for()
    page.get_by_role("link", name="Look again").first.click()
    page.get_by_role("button", name="Look at all of them").wait_for()
