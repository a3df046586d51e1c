"""A lead's page in a real browser: by mouse, by keyboard alone, on a phone, without JavaScript; accessible in light and dark."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from leads.models import Activity, FoldState, Lead, Task, Topic
from tests.browser import DESKTOP, PHONE, assert_accessible, colleague
from tests.factories import (
    make_campaign,
    make_company,
    make_consent,
    make_enrollment,
    make_entry,
    make_event,
    make_lead,
    make_message,
    make_transition,
    make_version,
)

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LONG = "Anneliese Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh"
MODEL = {
    "scoring": {
        "rules": [{"key": "signed-up", "name": "Signed up", "event": "SIGNED_UP", "points": 10}],
        "fit": [
            {"key": "cto", "name": "Technical leader", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15}
        ],
    },
    "gates": [{"key": "hot", "name": "Ready for sales", "from": ["cold", "mql"], "to": "sql", "conditions": [{"score": {"at_least": 80}}]}],
}


def make_story(name="Ada Lovelace"):
    """A lead with something in every part of its page."""
    version, now = make_version(**MODEL), timezone.now()
    lead = make_lead(name=name, email="ada@acme.example", company=make_company(name="Acme"), stage_id="mql")
    for n in range(45):
        event = make_event(lead=lead, type="PAGE_VIEWED", properties={"path": "/pricing"}, at=now - timedelta(hours=9 * n))
        make_entry(lead=lead, points=(2, -1)[n % 2], version=version, event=event, cause=event.cause, rule="signed-up", at=event.at)
    campaign = make_campaign(name="API deep dive")
    make_message(run=make_enrollment(campaign=campaign, lead=lead), due_at=now + timedelta(hours=3), reason="window")
    make_consent(email=lead.email)
    Topic.objects.get_or_create(key="product-news", defaults={"name": "Product news"})
    Task.objects.create(lead=lead, title="Send the deck", owner=colleague("rep"), due_at=now - timedelta(hours=2))
    return lead


def open_page(browser_page, lead, **options):
    page = browser_page("rep", **options)
    page.goto(f"{lead.get_absolute_url()}")
    page.locator("#campaigns-body .start").wait_for()
    return page


def test_a_rep_works_on_a_lead_with_the_mouse(browser_page):
    lead = make_story()
    page = open_page(browser_page, lead)

    page.locator("#fact-title .fact-value").click()
    page.locator("#id_title").fill("CTO")
    page.locator("#fact-title").get_by_role("button", name="Save").click()
    page.locator("#fact-title .saved").wait_for()
    page.locator("#why .rule", has_text="Technical leader").wait_for()
    page.locator("#id_note-text").fill("Likes tea")
    page.get_by_role("button", name="Keep note").click()
    page.locator("#timeline .entry-body", has_text="Likes tea").wait_for()
    page.get_by_role("link", name="Call or meeting").click()
    page.get_by_label("Outcome").select_option("reached")
    page.get_by_role("button", name="Log it").click()
    page.locator("#timeline .entry", has_text="Rita Rep called").wait_for()
    page.get_by_role("button", name="Done: Send the deck").click()
    page.get_by_text("Nothing to do.").wait_for()
    page.get_by_role("link", name="Older").click()
    page.get_by_text("This is where it began.").wait_for()
    page.locator(".chip", has_text="Notes and calls").click()
    page.locator("#timeline .entry", has_text="Opened pricing").first.wait_for(state="detached")
    page.get_by_role("button", name="Stop API deep dive").click()
    page.get_by_text("Ended early: stopped by Rita Rep").wait_for()

    lead.refresh_from_db()
    assert (lead.title, lead.fit, lead.activities.count()) == ("CTO", 15, 2)


def test_errors_stand_beside_the_field_and_esc_leaves_it(browser_page):
    lead = make_story()
    make_lead(name="Bob", email="bob@acme.example")
    page = open_page(browser_page, lead)

    page.locator("#fact-email .fact-value").press("Enter")
    page.locator("#id_email").fill("bob@acme.example")
    page.locator("#id_email").press("Enter")
    page.locator("#id_email_error", has_text="This is the address of Bob").wait_for()
    page.locator("#id_email").press("Escape")
    page.locator("#fact-email .fact-value", has_text="ada@acme.example").wait_for()

    expect(page.locator("#fact-email :focus")).to_have_count(1)


def test_everything_is_done_by_keyboard(browser_page):
    lead = make_story()
    make_campaign(name="Weekly", key="WEEKLY")
    page = open_page(browser_page, lead)

    page.keyboard.press("n")
    expect(page.locator("#id_note-text")).to_be_focused()
    page.keyboard.type("Prefers mornings")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#timeline .entry-body", has_text="Prefers mornings").wait_for()
    page.locator("h1").evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    expect(page.locator("#id_task-title")).to_be_focused()
    page.keyboard.type("Call back")
    page.keyboard.press("Enter")
    page.locator("#tasks .task", has_text="Call back").wait_for()
    page.locator("h1").evaluate("document.activeElement.blur()")
    page.keyboard.press("a")
    page.locator("#fact-owner", has_text="Rita Rep").wait_for()
    page.keyboard.press("m")
    page.locator("dialog[open] select[name=stage]").wait_for()
    page.locator("dialog[open] select[name=stage]").focus()
    page.keyboard.type("Sales")
    page.locator("dialog[open] button.btn-primary").press("Enter")
    page.locator(".stepper .is-here", has_text="Sales qualified").wait_for()
    page.get_by_role("button", name="Undo").press("Enter")
    page.locator(".stepper .is-here", has_text="Marketing qualified").wait_for()
    page.locator("h1").evaluate("document.activeElement.blur()")
    page.keyboard.press("e")
    expect(page.locator("#id_campaign")).to_be_focused()
    page.keyboard.type("Weekly")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator("#campaigns-body .run", has_text="Weekly").wait_for()

    lead.refresh_from_db()
    assert (lead.owner.username, lead.stage_id) == ("rep", "mql")
    assert lead.tasks.filter(title="Call back").exists()


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_accessible_on_a_desk_and_on_a_phone(browser_page, dark):
    lead = make_story(LONG)
    for size in (DESKTOP, PHONE):
        page = open_page(browser_page, lead, viewport=size, dark=dark)
        for rule in page.locator("details.rule > summary, details.rest > summary").all():
            rule.click()
        page.locator("#fact-value .fact-value").click()
        page.locator("#id_currency").wait_for()

        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_windows_and_small_pages_are_accessible(browser_page):
    lead = make_story(LONG)
    Lead.objects.filter(pk=lead.pk).update(owner=colleague("rep"))
    page = open_page(browser_page, lead)

    for opener in ("Move", "Forget this person"):
        page.get_by_role("link", name=opener, exact=True).click()
        page.locator("dialog[open].window").wait_for()
        assert_accessible(page)
        page.keyboard.press("Escape")
        page.locator("dialog[open].window").wait_for(state="detached")
    for address in ("/leads/new/", f"/leads/{lead.uid}/move/", f"/leads/{lead.uid}/forget/", f"/leads/{lead.uid}/campaigns/"):
        page.goto(address)
        assert_accessible(page)


def test_on_a_phone_a_finger_is_enough(browser_page):
    lead = make_story(LONG)
    page = open_page(browser_page, lead, viewport=PHONE, touch=True)

    page.locator("#fact-phone .fact-value").tap()
    page.locator("#id_phone").fill("+49 30 1234")
    page.locator("#fact-phone").get_by_role("button", name="Save").tap()
    page.locator("#fact-phone a[href^='tel:']").wait_for()
    page.locator(".jumps a", has_text="Write").tap()
    page.locator("#id_note-text").fill("On the train")
    page.get_by_role("button", name="Keep note").tap()
    page.locator("#timeline .entry-body", has_text="On the train").wait_for()
    small = page.locator("main button:visible, main .btn:visible, main .fact-value:visible, main .chip:visible").evaluate_all(
        "all => all.filter((e) => e.getBoundingClientRect().height < 43.5).map((e) => e.outerHTML.slice(0, 120))"
    )

    assert not small


def test_it_all_works_without_javascript(browser_page):
    lead = make_story()
    campaign = make_campaign(name="Weekly", key="WEEKLY")
    page = browser_page("rep", javascript=False)
    page.goto(lead.get_absolute_url())

    page.locator("#fact-title .fact-value").click()
    page.locator("#id_title").fill("CTO")
    page.locator("#fact-title").get_by_role("button", name="Save").click()
    page.locator("#why .rule", has_text="Technical leader").wait_for()
    page.get_by_label("Note", exact=True).fill("Likes tea")
    page.get_by_role("button", name="Keep note").click()
    page.locator("#timeline .entry-body", has_text="Likes tea").wait_for()
    page.get_by_role("link", name="Move", exact=True).click()
    page.get_by_label("Move to").select_option("sql")
    page.get_by_role("button", name="Move").click()
    page.locator(".stepper .is-here", has_text="Sales qualified").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.locator(".stepper .is-here", has_text="Marketing qualified").wait_for()
    page.get_by_role("link", name=re.compile("and starting one")).click()
    page.get_by_label("Start a campaign").select_option("WEEKLY")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Weekly started.").wait_for()

    assert lead.enrollments.filter(campaign=campaign, state="active").exists()
    assert Activity.objects.get().text == "Likes tea"


def test_a_person_is_forgotten_after_typing_the_address(browser_page):
    lead = make_story()
    Lead.objects.filter(pk=lead.pk).update(owner=colleague("rep"))
    page = open_page(browser_page, lead)

    page.get_by_role("link", name="Forget this person").click()
    page.get_by_label("Type the address to confirm").fill("wrong@acme.example")
    page.get_by_role("button", name="Forget for good").click()
    page.get_by_text("Nobody was forgotten.").wait_for()
    page.get_by_label("Type the address to confirm").fill("ada@acme.example")
    page.get_by_role("button", name="Forget for good").click()
    page.get_by_text("The person was forgotten.").wait_for()

    assert not Lead.objects.exists()


def test_a_lead_is_entered_by_hand(browser_page):
    page = browser_page("rep")
    page.goto("/leads/new/")

    page.get_by_label("Email").fill("eve@acme.example")
    page.get_by_label("Name").fill("Eve")
    page.get_by_role("button", name="Add lead").click()
    page.get_by_role("heading", name="Eve").wait_for()

    assert Lead.objects.get().owner.username == "rep"


# --- what the page explains -------------------------------------------------------------------------


def make_explained(name="Ada Lovelace"):
    """A lead with a story in its score: moves, points over months, and groups among what is missing."""
    demo, pricing = {"event": "DEMO_REQUESTED"}, {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}
    gate = MODEL["gates"][0] | {"conditions": [{"score": {"at_least": 80}}, {"all": [demo, pricing]}]}
    rules = [{"key": "pricing", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 1, "per": "day"}}]
    back = {"key": "back", "name": "Left", "from": "mql", "to": "cold", "conditions": [{"event": "ACCOUNT_CLOSED"}]}
    version, now = make_version(scoring={"rules": rules}, gates=[gate, back]), timezone.now()
    lead = make_lead(name=name, email="ada@acme.example")
    for days in (70, 50, 49, 20, 5):
        event = make_event(lead=lead, type="VIEWED_PRICING", at=now - timedelta(days=days), properties={"path": "/pricing"})
        make_entry(lead=lead, points=10, version=version, event=event, cause=event.cause, rule="pricing", at=event.at)
    make_transition(lead=lead, to="mql", at=now - timedelta(days=50))
    FoldState.objects.create(lead=lead, version=version, state={"stage": "mql", "engagement": 50, "known": True, "seq": 1})
    return lead


def test_the_score_is_explained_with_the_mouse(browser_page):
    lead = make_explained()
    page = open_page(browser_page, lead)

    page.locator("figcaption", has_text="Up 20 in 30 days, most of it from Viewed pricing").wait_for()
    page.locator("a.course-dot").first.click()
    page.locator("dialog[open].window", has_text="What it was worth").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog[open].window").wait_for(state="detached")
    page.locator("#why .chip", has_text="Year").click()
    page.locator("figcaption", has_text="Up 50 in a year").wait_for()
    page.get_by_text("As a table").click()
    expect(page.locator("#why tbody tr")).to_have_count(4)  # a step of a year is some days long
    page.locator("#id_as_of").fill((timezone.localdate() - timedelta(days=30)).isoformat())
    page.locator(".as-of button").click()
    page.get_by_text("At the end of that day: 30 points").wait_for()
    expect(page.locator(".course-moment")).to_have_count(1)
    page.locator("#why .rule summary").click()
    page.locator("#why .rule-line .entry-link").first.click()
    page.get_by_role("link", name="In the timeline").click()
    page.wait_for_url("**#event-*")

    expect(page.locator(".entry:target")).to_have_count(1)


def test_the_score_is_explained_by_keyboard(browser_page):
    page = open_page(browser_page, make_explained())

    page.locator("a.course-dot").first.focus()
    page.keyboard.press("Enter")
    page.locator("dialog[open].window").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog[open].window").wait_for(state="detached")
    page.locator("h1").evaluate("document.activeElement.blur()")
    page.keyboard.press("s")
    expect(page.locator("#id_deed_type")).to_be_focused()
    page.keyboard.type("viewed pricing")
    page.keyboard.press("Tab")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    page.locator("#what-if-answer", has_text="50 becomes 60").wait_for()
    page.locator("#what-if-answer .way summary").focus()
    page.keyboard.press("Enter")
    page.locator("#what-if-answer .check-state", has_text="3 of 3 in 7 days").wait_for()
    page.locator("#id_deed_type").fill("…")
    page.locator("#id_deed_type").press("Enter")

    page.locator("#what-if .errorlist", has_text="Write what they do in letters").wait_for()


def test_it_is_all_explained_without_javascript(browser_page):
    lead = make_explained()
    page = browser_page("rep", javascript=False)
    page.goto(lead.get_absolute_url())

    page.locator("#why .chip", has_text="30 days").click()
    expect(page.locator("a.course-dot")).to_have_count(2)
    page.locator("#id_as_of").fill((timezone.localdate() - timedelta(days=30)).isoformat())
    page.locator(".as-of button").click()
    page.get_by_text("At the end of that day: 30 points").wait_for()
    page.locator("a.course-dot").first.click()
    page.get_by_role("heading", name="What it was worth").wait_for()
    page.get_by_role("link", name="In the timeline").click()
    page.get_by_label("They do").fill("VIEWED_PRICING")
    page.locator("#what-if-deed").click()
    page.get_by_text("50 becomes 60").wait_for()
    page.get_by_label("Or nothing for so many days").fill("10")
    page.locator("#what-if-quiet").click()

    page.get_by_text("Nothing for 10 days").wait_for()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_the_explanations_are_accessible(browser_page, dark, size):
    lead = make_explained(LONG)
    page = open_page(browser_page, lead, viewport=size, dark=dark)

    page.get_by_text("As a table").click()
    page.locator("#why .rule summary").click()
    page.locator("#id_deed_type").fill("VIEWED_PRICING")
    page.locator("#what-if-deed").click()
    page.locator("#what-if-answer .way summary").click()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#why .entry-link").first.click()
    page.locator("dialog[open].window").wait_for()
    assert_accessible(page)
    for address in (f"/leads/{lead.uid}/events/{lead.events.first().pk}/", f"/leads/{lead.uid}/what-if/?days=10"):
        page.goto(address)
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_a_phone_a_finger_reaches_every_explanation(browser_page):
    page = open_page(browser_page, make_explained(LONG), viewport=PHONE, touch=True)

    page.locator("#id_deed_type").fill("VIEWED_PRICING")
    page.locator("#what-if-deed").tap()
    page.locator("#what-if-answer .answer-head").wait_for()
    small = page.locator(
        "#why .chip, #why .btn, #why summary, #why input:visible, #what-if .btn, #what-if summary, #what-if input, #what-if select"
    ).evaluate_all("all => all.filter((e) => e.getBoundingClientRect().height < 43.5).map((e) => e.outerHTML.slice(0, 120))")

    assert not small


def test_what_changes_while_the_page_is_catching_up_is_seen_too(browser_page):
    lead = make_story()
    page = open_page(browser_page, lead)
    held = []
    page.route("**/part/timeline/**", lambda route: held.append(route) if not held else route.continue_())

    page.locator("#fact-title .fact-value").click()
    page.locator("#id_title").fill("CTO")
    page.locator("#fact-title").get_by_role("button", name="Save").click()
    page.locator("#fact-title .saved").wait_for()
    page.locator("#id_note-text").fill("Likes tea")
    page.get_by_role("button", name="Keep note").click()
    page.locator("#write .saved, #id_note-text").first.wait_for()
    expect(page.locator("#id_note-text")).to_have_value("")
    held[0].fulfill(status=200, body='<div id="newest"><p>From before the note</p></div>')

    page.locator("#timeline .entry-body", has_text="Likes tea").wait_for()
