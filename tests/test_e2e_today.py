"""Today in a real browser: by mouse, by keyboard, by thumb, and without JavaScript."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from leads.models import Lead, Reason, Stage, Task
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_company, make_entry, make_lead, make_transition, make_version

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
LONG = "Wilhelmina-Alexandra von Hohenstaufen-Sigmaringen auf Lichtenfels"


def make_handoff(name, *, owner=None, minutes=200, **fields):
    """A lead handed over a moment ago, with a clock that shows `minutes` of real time to go."""
    lead = make_lead(name=name, owner=owner, stage_id="mql", **fields)
    transition = make_transition(lead=lead)
    now = timezone.now()
    return Task.objects.create(
        lead=lead,
        company=lead.company,
        kind="handoff",
        title=f"Ready for a demo: {name}",
        owner=owner,
        transition=transition,
        created_at=now - timedelta(days=3),
        due_at=now + timedelta(minutes=minutes),
    )


@pytest.fixture
def day(live_server):
    """A rep's day with something in each list."""
    rep = colleague("rep")
    Reason.objects.create(key="too-early", name="Interested but too early", asked_for="reject", recycle_to_id="mql", recycle_after="30d")
    Reason.objects.create(key="not-a-fit", name="Not a customer for us", asked_for="reject")
    company = make_company(name="Acme Labs")
    ada = make_handoff("Ada Lovelace", owner=rep, minutes=-90, title="CTO", company=company, phone="+49 30 123")
    ada.colleagues.add(make_lead(name="Joining Jo", company=company, stage_id="sql", owner=rep))
    make_entry(
        lead=ada.lead,
        points=30,
        version=make_version(scoring={"rules": [{"key": "made", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 30}]}),
    )
    make_handoff("Bob Ray", owner=rep, minutes=3000)
    make_handoff("Free Fred", minutes=100)
    Task.objects.create(lead=make_lead(name=LONG), owner=rep, title=f"Send {LONG} the offer", due_at=timezone.now() - timedelta(hours=1))
    Task.objects.create(lead=make_lead(name="Late Lea"), owner=rep, title="Ask about spring", due_at=timezone.now() + timedelta(days=3))
    return rep


def heading(page):
    return page.locator("h1").inner_text()


def test_accept_reject_claim_and_done_by_mouse(browser_page, day):
    page = browser_page("rep")
    page.goto("/today/")
    assert heading(page) == "3 leads need a call today"

    page.get_by_role("button", name="Accept Ada Lovelace").click()
    page.get_by_text("Ada Lovelace is yours. The clock has stopped.").wait_for()
    page.locator("summary", has_text="Reject Bob Ray").click()
    page.get_by_role("button", name="Not a customer for us").locator("visible=true").click()
    page.get_by_text("Bob Ray went back to Marketing qualified.").wait_for()
    page.get_by_role("button", name="Claim Free Fred").click()
    page.get_by_role("button", name="Accept Free Fred").wait_for()
    page.get_by_role("button", name="Done: Send").click()
    page.get_by_text(f"Done: Send {LONG} the offer.").wait_for()

    assert Lead.objects.get(name="Bob Ray").stage_id == "mql"
    assert Task.objects.get(lead__name="Free Fred").owner == day
    assert Task.objects.get(lead__name="Ada Lovelace").accepted_at
    assert heading(page) == "1 lead needs a call today"


def test_undo_from_the_toast_brings_the_line_back(browser_page, day):
    page = browser_page("rep")
    page.goto("/today/")
    page.get_by_role("button", name="Done: Send").click()

    page.locator("#toasts").get_by_role("button", name="Undo").click()

    page.locator("#part-due").wait_for()
    page.get_by_text("Taken back: Send").wait_for()
    assert Task.objects.get(title__startswith="Send").done_at is None


def test_the_whole_day_by_keyboard_alone(browser_page, day):
    page = browser_page("rep")
    page.goto("/today/")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "Ada Lovelace"

    page.keyboard.press("a")
    page.get_by_text("Ada Lovelace is yours. The clock has stopped.").wait_for()
    expect(page.get_by_role("link", name="Bob Ray", exact=True)).to_be_focused()
    page.keyboard.press("r")
    page.keyboard.press("j")
    assert "Not a customer" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Escape")
    assert "Reject" in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    page.get_by_text("Bob Ray went back to Marketing qualified.").wait_for()
    expect(page.get_by_role("link", name=f"Send {LONG} the offer")).to_be_focused()
    page.keyboard.press("d")
    page.get_by_text("Done: Send").first.wait_for()
    expect(page.get_by_role("link", name="Free Fred", exact=True)).to_be_focused()
    page.keyboard.press("c")
    page.get_by_text("Free Fred is yours.").wait_for()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/leads/*/")

    assert Task.objects.get(lead__name="Free Fred").owner == day
    assert Task.objects.get(lead__name="Bob Ray").rejected_for.key == "too-early"


def test_a_lead_is_sent_to_a_chosen_stage_by_keyboard(browser_page, day):
    page = browser_page("rep")
    page.goto("/today/")
    page.keyboard.press("j")
    page.keyboard.press("r")
    assert "to Marketing qualified" in page.evaluate("document.activeElement.innerText")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Closed lost")
    assert page.locator("details[open] .reject-to").first.evaluate("each => getComputedStyle(each).visibility") == "hidden"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Ada Lovelace went back to Closed lost.").wait_for()

    assert Lead.objects.get(name="Ada Lovelace").stage_id == "lost"
    assert Task.objects.get(lead__name="Ada Lovelace").rejected_for.key == "too-early"


@pytest.mark.parametrize("address", ["/", "lead"])
def test_the_board_and_the_lead_page_reject_by_keyboard_with_undo(browser_page, day, address):
    lead = Lead.objects.get(name="Ada Lovelace")
    page = browser_page("rep")
    page.goto(lead.get_absolute_url() if address == "lead" else address)
    if address == "/":
        page.locator(".card-link", has_text="Ada Lovelace").focus()
    page.keyboard.press("r")
    page.locator("dialog.window[open]").wait_for()
    assert_accessible(page, within="dialog.window")
    assert "Interested but too early" in page.evaluate("document.activeElement.innerText")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Cold")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Ada Lovelace went back to Cold.").wait_for()
    assert Lead.objects.get(pk=lead.pk).stage_id == "cold"
    if address == "lead":
        expect(page.locator("#returns")).to_contain_text("Was with sales before: rejected by Rita Rep")

    page.locator("#toasts").get_by_role("button", name="Undo").click()

    page.get_by_text("Taken back: Ready for a demo: Ada Lovelace.").wait_for()
    assert Lead.objects.get(pk=lead.pk).stage_id == "sql"


def test_from_the_menu_of_a_card(browser_page, day):
    page = browser_page("rep")
    page.goto("/")
    page.locator(".card-link", has_text="Ada Lovelace").focus()
    page.keyboard.press(".")
    page.get_by_role("menuitem", name="Reject").click()
    page.locator("dialog.window[open]").get_by_role("button", name="Not a customer for us").click()

    page.get_by_text("Ada Lovelace went back to Marketing qualified.").wait_for()
    expect(page.locator("#column-mql")).to_contain_text("Ada Lovelace")


def test_keys_are_silent_while_somebody_writes(browser_page, day):
    page = browser_page("rep")
    page.goto("/today/")
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.locator("details[open]").get_by_label("Note for marketing, if it helps").fill("")

    page.keyboard.type("a card")

    assert page.locator("details[open] input[name=note]").input_value() == "a card"
    assert not Task.objects.exclude(accepted_at=None).exists()


def test_by_thumb_on_a_phone(browser_page, day):
    page = browser_page("rep", viewport=PHONE, touch=True)
    page.goto("/today/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.locator("summary", has_text="Reject Ada Lovelace").tap()
    reason = page.get_by_role("button", name="Interested but too early").locator("visible=true")
    assert reason.bounding_box()["height"] >= 44
    assert_accessible(page)
    reason.tap()
    page.get_by_text("Ada Lovelace went back to Marketing qualified.").wait_for()

    assert Task.objects.get(lead__name="Joining Jo").owner == day


def test_without_javascript(browser_page, day):
    page = browser_page("rep", javascript=False)
    page.goto("/today/")

    page.locator("summary", has_text="Reject Ada Lovelace").click()
    page.get_by_role("button", name="Interested but too early").locator("visible=true").click()
    page.get_by_role("button", name="Undo Ready for a demo: Ada Lovelace").click()
    page.get_by_role("button", name="Accept Ada Lovelace").click()

    assert page.get_by_text("Ada Lovelace is yours.").count() == 1
    assert Lead.objects.get(name="Ada Lovelace").stage == Stage.objects.get(key="sql")


def test_who_is_second_is_told(browser_page, day):
    first, second = browser_page("rep"), browser_page("admin")
    first.goto("/today/")
    second.goto("/today/")

    first.get_by_role("button", name="Claim Free Fred").click()
    first.get_by_text("Free Fred is yours.").wait_for()
    second.get_by_role("button", name="Claim Free Fred").click()

    second.get_by_text("Rita Rep was quicker and has Free Fred now.").wait_for()
    assert second.get_by_role("button", name="Claim Free Fred").count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_use_it(browser_page, day, dark):
    page = browser_page("rep", dark=dark)
    page.goto("/today/")
    assert_accessible(page)
    page.get_by_role("button", name="Done: Send").click()
    page.locator("#part-done").wait_for()
    assert_accessible(page)


@pytest.mark.parametrize("dark", [False, True])
def test_an_empty_day_can_be_read_by_everybody(browser_page, dark):
    make_lead(name="Warm Walter", engagement=50)
    page = browser_page("rep", dark=dark)
    page.goto("/today/")

    assert heading(page) == "Nobody waits for your call"
    assert_accessible(page)
