"""The shell in a browser: by mouse, by keyboard alone, on a phone, and without JavaScript."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from leads.models import Notification, User
from leads.notifications import notification
from leads.search import index_leads
from tests.browser import DESKTOP, PHONE, TABLET, assert_accessible
from tests.factories import make_company, make_lead

pytestmark = pytest.mark.e2e


@pytest.fixture
def ada():
    lead = make_lead(name="Ada Lovelace", title="Analyst", company=make_company(name="Engines of the Nineteenth Century and Later Limited"))
    index_leads([lead])
    return lead


def tell(user, lead):
    row = notification(
        Notification.Channel.IN_APP,
        about="x",
        title="High intent lead ready for a demo!",
        body="",
        lead=lead,
        user=user,
        now=timezone.now(),
    )
    row.save()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_of_the_shell_are_accessible(browser_page, ada, viewport, dark):
    page = browser_page("admin", viewport=viewport, dark=dark)
    tell(User.objects.get(username="admin"), ada)
    for address in ("/notifications/", "/profile/", "/go/?q=ada"):
        page.goto(address)
        assert_accessible(page)
    page.keyboard.press("Control+k")
    expect(page.locator("#palette .go-hit").first).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.locator(".bar-more summary" if viewport is PHONE else ".rail .menu summary").click()
    assert_accessible(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_login_works_and_is_accessible(browser_page, dark):
    User.objects.create_superuser("boss", password="a-long-password")
    page = browser_page(None, dark=dark)
    page.goto("/profile/")
    assert_accessible(page)
    page.get_by_label("User name").fill("boss")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not fit together")
    assert_accessible(page)
    page.get_by_label("Password").fill("a-long-password")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/profile/$"))


def test_five_wrong_passwords_end_at_a_page_that_says_how_long(browser_page):
    User.objects.create_user("rita", password="a-long-password")
    page = browser_page(None, allow=["status of 429"])
    page.goto("/login/")
    for _ in range(5):
        page.get_by_label("User name").fill("rita")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        page.wait_for_load_state()
    expect(page.get_by_role("heading")).to_have_text("Too many attempts")
    expect(page.locator("main")).to_contain_text("15 minutes")
    assert_accessible(page)


def test_somebody_goes_everywhere_by_keyboard_alone(browser_page, ada):
    page = browser_page("rep")
    page.goto("/profile/")
    for key, address in [("t", "/today/"), ("l", "/leads/"), ("c", "/companies/"), ("b", "/")]:
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(re.compile(rf"//[^/]+{address}$"))
    page.keyboard.press("Control+k")
    page.keyboard.type("lovelace")
    expect(page.locator("#palette .go-hit")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{ada.get_absolute_url()}")


def test_the_palette_traps_the_focus_and_gives_it_back(browser_page, ada):
    page = browser_page("rep")
    page.goto("/profile/")
    page.locator("#id_first_name").focus()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("searchbox", name="Search leads")).to_be_focused()
    expect(page.locator("#palette .go-hit").first).to_contain_text("Board")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#palette .go-hit").first).to_be_focused()
    page.keyboard.type("ada")
    expect(page.locator("#palette .go-hit").first).to_contain_text("Ada Lovelace")
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).not_to_be_visible()
    expect(page.locator("#id_first_name")).to_be_focused()


def test_single_keys_are_silent_while_typing_and_where_they_are_switched_off(browser_page):
    page = browser_page("rep")
    page.goto("/profile/")
    page.locator("#id_first_name").fill("")
    page.locator("#id_first_name").press_sequentially("gt?")
    expect(page.locator("#id_first_name")).to_have_value("gt?")
    page.locator("h1").click()
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of a single key").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("?")
    expect(page.locator("#keys")).not_to_be_visible()


def test_the_rail_stays_as_narrow_as_it_was_left(browser_page):
    page = browser_page("rep")
    page.goto("/profile/")
    wide = page.locator(".rail").bounding_box()["width"]
    page.get_by_role("button", name="Narrow the rail").click()
    page.reload()
    narrow = page.locator(".rail").bounding_box()["width"]

    assert (wide, narrow) == (216, 52)
    expect(page.get_by_role("link", name="Companies")).to_be_visible()
    page.get_by_role("button", name="Widen the rail").click()
    assert page.locator(".rail").bounding_box()["width"] == 216


def test_the_rail_begins_narrow_on_a_tablet(browser_page):
    page = browser_page("rep", viewport=TABLET)
    page.goto("/profile/")

    assert page.locator(".rail").bounding_box()["width"] == 52
    assert page.locator(".bar").is_hidden()


def test_the_theme_changes_at_once_and_is_there_before_the_page_is_painted(browser_page):
    page = browser_page("rep")
    page.goto("/profile/")
    page.locator(".rail .menu summary").click()
    page.locator(".rail").get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.keyboard.press("Escape")
    expect(page.locator(".rail .menu-box")).not_to_be_visible()

    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    assert User.objects.get(username="rep").theme == "dark"
    assert "rgb(255" not in page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_phone_has_five_things_at_the_foot_and_all_the_rest_behind_the_last(browser_page):
    page = browser_page("rep", viewport=PHONE, touch=True)
    page.goto("/profile/")
    links = page.locator(".bar-link")

    assert links.count() == 5
    assert all(link.bounding_box()["height"] >= 44 for link in links.all())
    page.get_by_text("More", exact=True).tap()
    page.locator(".bar-sheet").get_by_role("link", name="Companies").tap()
    page.wait_for_url("**/companies/")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_bell_rings_without_a_reload(browser_page, ada):
    page = browser_page("rep")
    page.goto("/profile/")
    expect(page.locator("#bell-count")).to_be_empty()
    tell(User.objects.get(username="rep"), ada)
    page.evaluate("htmx.ajax('GET', '/notifications/bell/', {target: '#bell-count', swap: 'outerHTML'})")
    expect(page.locator("#bell-count")).to_have_text("1 unread")
    page.locator(".rail").get_by_role("link", name="Notifications").click()
    page.get_by_role("link", name="High intent lead").click()
    page.wait_for_url(f"**{ada.get_absolute_url()}")
    expect(page.locator("#bell-count")).to_be_empty()


def test_a_profile_is_saved_and_a_toast_says_so(browser_page):
    page = browser_page("rep")
    page.goto("/profile/")
    page.get_by_label("First name").fill("Margarete")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_role("button", name="Save").click()
    toast = page.locator(".toast-line")
    expect(toast).to_contain_text("Saved")
    assert_accessible(page)
    toast.get_by_role("button", name="Close").click()
    expect(toast).to_have_count(0)
    expect(page.locator(".rail .menu summary")).to_contain_text("Margarete")


def test_what_goes_wrong_on_the_way_is_told(browser_page):
    page = browser_page("rep", allow=["403", "htmx:sendError", "htmx:afterRequest", "ERR_INTERNET_DISCONNECTED"])
    page.goto("/profile/")
    page.evaluate("htmx.ajax('GET', '/scoring/', {target: '#dialog'})")
    expect(page.locator(".toast-line.is-error")).to_contain_text("That is not yours to do")
    page.context.set_offline(True)
    page.evaluate("htmx.ajax('GET', '/go/', {target: '#dialog'}).catch(() => {})")
    expect(page.locator(".toast-line.is-error").last).to_contain_text("No connection")
    page.context.set_offline(False)


def test_a_fragment_opens_as_a_dialog_and_gives_the_focus_back(browser_page):
    page = browser_page("rep")
    page.route("**/a-dialog", lambda route: route.fulfill(body='<dialog class="window"><button data-close>Done</button></dialog>'))
    page.goto("/profile/")
    page.locator("#id_last_name").focus()
    page.evaluate("htmx.ajax('GET', '/a-dialog', {target: '#dialog'})")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#dialog dialog")).to_have_count(0)
    expect(page.locator("#id_last_name")).to_be_focused()


def test_search_menu_theme_and_profile_work_without_javascript(browser_page, ada):
    page = browser_page("rep", javascript=False)
    page.goto("/profile/")
    assert page.locator("[data-rail-switch]").is_hidden()
    page.locator(".rail .menu summary").click()
    page.locator(".rail").get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_label("Last name").fill("Reyes")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".toast-line")).to_contain_text("Saved")
    page.locator(".rail").get_by_role("link", name="Search").click()
    page.locator("main").get_by_role("searchbox").fill("lovelace")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=re.compile("Ada Lovelace")).click()
    page.wait_for_url(f"**{ada.get_absolute_url()}")
