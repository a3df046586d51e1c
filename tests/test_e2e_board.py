"""The board in a browser: moves by mouse, keyboard, finger and plain form; two people on one board."""

import re

import pytest
from playwright.sync_api import expect

from leads.intake import record_now
from leads.models import Lead, LeadSearch, Reason
from tests.browser import PHONE, assert_accessible
from tests.factories import make_company, make_lead, make_rep, make_source, make_transition

pytestmark = pytest.mark.e2e

LONG = "Maximiliane-Friederike von und zu Hohenlohe-Langenburg-Weikers"


@pytest.fixture
def leads():
    """Three at marketing qualified, the warmest first, and one at sales qualified."""
    acme = make_company(name="Acme", value=24_000, currency="EUR")
    Reason.objects.create(key="no-budget", name="No budget", asked_for="lost")
    return [
        make_lead(name="Ada Lovelace", title="CTO", company=acme, stage_id="mql", fit=70),
        make_lead(name="Grace Hopper", stage_id="mql", fit=50),
        make_lead(name="Alan Turing", stage_id="mql", fit=30),
        make_lead(name=LONG, title="Head of Platform Engineering", company=acme, stage_id="sql", fit=90),
    ]


def card(page, name):
    return page.locator(".card", has_text=name)


def column(page, key):
    return page.locator(f"#column-{key}")


def toast(page):
    return page.locator(".toast-line").last


def stage_of(lead):
    return Lead.objects.get(pk=lead.pk).stage_id


def drag(page, one, target):
    """By mouse, in steps as a hand does it."""
    start, end = one.bounding_box(), target.bounding_box()
    page.mouse.move(start["x"] + 60, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(start["x"] + 90, start["y"] + 40, steps=4)
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + 160, steps=8)
    expect(target).to_have_class(re.compile("is-target"))
    page.mouse.up()


def test_a_card_is_dragged_by_mouse_and_taken_back(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")

    drag(page, card(page, "Ada Lovelace"), column(page, "sql"))

    expect(column(page, "sql").locator(".card", has_text="Ada Lovelace")).to_be_visible()
    expect(toast(page)).to_contain_text("Ada Lovelace is now in Sales qualified.")
    assert page.url.endswith("/"), "a drag opens nothing"
    assert stage_of(leads[0]) == "sql"
    toast(page).get_by_role("button", name="Undo").click()
    expect(column(page, "mql").locator(".card", has_text="Ada Lovelace")).to_be_visible()
    assert stage_of(leads[0]) == "mql"
    card(page, "Grace Hopper").click()
    expect(page).to_have_url(re.compile(str(leads[1].uid)))


def test_losing_by_mouse_asks_for_the_reason(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")

    drag(page, card(page, "Grace Hopper"), column(page, "lost"))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Choose a reason")
    assert_accessible(page)
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert stage_of(leads[1]) == "mql"
    card(page, "Grace Hopper").click(button="right")
    page.get_by_role("menuitem", name="Closed lost").click()
    dialog.get_by_label("Reason").select_option("no-budget")
    dialog.get_by_role("button", name="Move").click()

    expect(column(page, "lost").locator(".card", has_text="Grace Hopper")).to_be_visible()
    expect(dialog).to_be_hidden()


def test_everything_goes_by_keyboard(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")

    page.keyboard.press("j")
    expect(card(page, "Ada Lovelace").locator(".card-link")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(card(page, LONG).locator(".card-link")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("m")
    expect(page.get_by_role("menuitem", name="Cold")).to_be_focused()
    page.keyboard.press("Escape")
    expect(card(page, "Ada Lovelace").locator(".card-link")).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#selection")).to_contain_text("2 selected")
    page.keyboard.press("m")
    assert_accessible(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(toast(page)).to_contain_text("2 leads are now in Sales qualified.")
    assert [stage_of(lead) for lead in leads[:2]] == ["sql", "sql"]
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search leads", exact=True)).to_be_focused()


def test_the_focus_stays_when_the_card_under_it_moves(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("m")
    page.get_by_role("menuitem", name="Sales qualified").press("Enter")

    expect(column(page, "sql").locator(".card", has_text="Ada Lovelace")).to_be_visible()
    expect(card(page, "Ada Lovelace").locator(".card-link")).to_be_focused()


def touch(page, kind, point=None):
    points = [{"x": point[0], "y": point[1]}] if point else []
    session = getattr(page, "touches", None) or page.context.new_cdp_session(page)
    page.touches = session
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_card_is_moved_by_finger_on_a_phone(browser_page, leads):
    page = browser_page("rep", viewport=PHONE, touch=True)
    page.goto("/")
    expect(card(page, "Ada Lovelace")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    start = card(page, "Ada Lovelace").bounding_box()
    tab = page.locator("#tab-sql").bounding_box()
    at, to = (start["x"] + 80, start["y"] + 40), (min(tab["x"] + 40, 370), tab["y"] + 20)

    touch(page, "touchStart", at)
    expect(page.locator(".is-ghost")).to_have_count(1)
    for n in range(1, 7):
        touch(page, "touchMove", (at[0] + (to[0] - at[0]) * n / 6, at[1] + (to[1] - at[1]) * n / 6))
    expect(page.locator("#tab-sql")).to_have_class(re.compile("is-target"))
    touch(page, "touchEnd")

    expect(toast(page)).to_contain_text("Ada Lovelace is now in Sales qualified.")
    assert stage_of(leads[0]) == "sql"


def test_a_finger_that_rests_opens_the_menu_and_one_that_wipes_scrolls(browser_page, leads):
    page = browser_page("rep", viewport=PHONE, touch=True)
    page.goto("/")
    box = card(page, "Ada Lovelace").bounding_box()
    at = (box["x"] + 80, box["y"] + 40)

    touch(page, "touchStart", at)
    for n in range(1, 8):
        touch(page, "touchMove", (at[0] - 40 * n, at[1]))
    touch(page, "touchEnd")
    expect(card(page, LONG)).to_be_in_viewport()
    assert stage_of(leads[0]) == "mql"
    page.wait_for_timeout(700)  # the wipe has come to rest
    page.locator("#tab-mql").tap()
    expect(card(page, "Ada Lovelace")).to_be_in_viewport(ratio=0.9)
    page.wait_for_timeout(300)
    touch(page, "touchStart", at)
    expect(page.locator(".is-ghost")).to_have_count(1)
    touch(page, "touchEnd")

    expect(page.get_by_role("menuitem", name="Sales qualified")).to_be_visible()
    assert_accessible(page)


def test_moving_and_searching_work_without_javascript(browser_page, leads):
    for lead in leads:
        LeadSearch.objects.create(lead=lead, text=lead.name.lower())
    page = browser_page("rep", javascript=False)
    page.goto("/")

    page.get_by_role("searchbox", name="Search leads", exact=True).fill("grace")
    page.get_by_role("button", name="Search").click()
    assert page.locator(".card").count() == 1
    page.get_by_role("link", name="Move Grace Hopper, and more").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Move to").select_option("lost")
    page.get_by_role("button", name="Move").click()
    assert "Choose a reason" in page.content()
    page.get_by_label("Reason").select_option("no-budget")
    page.get_by_role("button", name="Move").click()

    assert page.url.endswith("/?q=grace")
    assert "Grace Hopper is now in Closed lost." in page.content()
    page.get_by_role("button", name="Undo").click()
    assert stage_of(leads[1]) == "mql"


def test_two_people_on_one_board(browser_page, leads):
    rita, max_ = browser_page("rep"), browser_page(make_rep(username="max", first_name="Max", last_name="Quick"))
    rita.goto("/")
    max_.goto("/")
    rita.keyboard.press("j")
    rita.keyboard.press("j")
    rita.wait_for_timeout(300)
    rita.evaluate("window.mark = document.activeElement")

    drag(max_, card(max_, "Ada Lovelace"), column(max_, "won"))
    expect(toast(max_)).to_contain_text("is now in Closed won")

    expect(rita.locator(f"#lead-{leads[0].pk}")).to_be_hidden(timeout=9000)
    assert rita.evaluate("window.mark === document.activeElement"), "the focus stays on the very same card"


def test_whoever_comes_second_hears_about_it(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")
    # Between two refreshes.
    make_transition(lead=leads[0], to="won", actor=make_rep(first_name="Max", last_name="Quick"))

    drag(page, card(page, "Ada Lovelace"), column(page, "sql"))

    expect(toast(page)).to_contain_text("Not moved: Max Quick moved Ada Lovelace to Closed won just now.")
    expect(column(page, "won").locator(".card", has_text="Ada Lovelace")).to_be_visible()
    assert stage_of(leads[0]) == "won"


def test_a_refresh_waits_for_a_drag(browser_page, leads):
    page = browser_page("rep")
    page.goto("/")
    box = card(page, "Grace Hopper").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=5)

    make_lead(name="Newcomer", stage_id="mql", fit=99)
    page.wait_for_timeout(5000)
    assert card(page, "Newcomer").count() == 0
    assert page.locator(".is-ghost").count() == 1
    page.keyboard.press("Escape")
    page.mouse.up()

    expect(page.locator(".is-ghost")).to_have_count(0)
    assert stage_of(leads[1]) == "mql"


def test_more_cards_come_and_stay_through_a_refresh(browser_page, leads):
    for n in range(70):
        make_lead(name=f"Person {n}", stage_id="sql")
    page = browser_page("rep")
    page.goto("/")

    page.get_by_role("link", name="Show 21 more").click()
    expect(column(page, "sql").locator(".card")).to_have_count(71)
    drag(page, card(page, "Ada Lovelace"), column(page, "sql"))

    expect(column(page, "sql").locator(".card")).to_have_count(72)


def test_a_fresh_install_takes_three_steps(browser_page):
    page = browser_page("marketer")
    page.goto("/")
    assert_accessible(page)

    page.get_by_role("button", name="Apply the playbook").click()
    expect(page.get_by_text("Done: leads are scored and moved by it.")).to_be_visible()
    make_source()
    record_now([{"type": "DEMO_REQUESTED", "userId": "u-1", "email": "ada@example.com", "traits": {"name": "Ada"}}])

    expect(column(page, "sql").locator(".card", has_text="Ada")).to_be_visible(timeout=9000)


@pytest.mark.parametrize("dark", [False, True])
def test_the_board_is_accessible(browser_page, leads, dark):
    page = browser_page("rep", dark=dark)
    page.goto("/?cold=1&score=1")
    assert_accessible(page)
    page.get_by_text("Filter", exact=True).click()
    assert_accessible(page)


def test_the_board_is_accessible_on_a_phone(browser_page, leads):
    page = browser_page("rep", viewport=PHONE, touch=True, dark=True)
    page.goto("/")
    assert_accessible(page)
