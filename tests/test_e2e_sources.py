"""The sources in a real browser: a key made and used, a tail that stays where one reads; by keyboard, on a phone, without scripts."""

import json
import urllib.error
import urllib.request
from datetime import timedelta

import pytest
from django.utils import timezone

from leads.intake import drain_all
from leads.models import Delivery, Source
from tests.browser import DESKTOP, PHONE, assert_accessible
from tests.factories import make_source, make_version

pytestmark = pytest.mark.e2e

EVENT = {"userId": "u-42", "eventType": "DEMO_REQUESTED", "traits": {"name": "Ada Lovelace"}}


@pytest.fixture
def send(live_server):
    """Post as a program does, from outside the browser; then do the worker's work."""

    def send(key, body):
        request = urllib.request.Request(
            f"{live_server.url}/api/events",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        finally:
            drain_all()

    return send


def test_a_key_is_made_copied_and_used_and_the_first_event_is_celebrated(browser_page, send):
    page = browser_page("admin")
    page.goto("/sources/")
    page.get_by_role("link", name="New source").click()
    page.get_by_label("Name").fill("Our product")
    page.get_by_role("button", name="Create the key").click()

    key = page.locator("#key").input_value()
    assert key.startswith("lss_")
    assert key in page.locator("#snippet-curl").inner_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the key").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == key
    page.get_by_text("Python").click()
    assert key in page.locator("#snippet-python").inner_text()
    assert not page.locator("#snippet-curl").is_visible()
    assert_accessible(page)

    assert send(key, EVENT) == 200
    page.get_by_role("heading", name="Your first event arrived").wait_for()
    assert_accessible(page)

    page.reload()
    assert page.url.endswith("/first-event/")
    assert key not in page.content()
    page.get_by_role("link", name="See the live tail").click()
    page.get_by_text("DEMO_REQUESTED").first.wait_for()
    page.locator("#tail").get_by_role("link", name="Ada Lovelace").click()
    page.get_by_role("heading", name="Ada Lovelace").wait_for()


def test_a_source_is_made_and_revoked_by_keyboard_on_a_phone(browser_page, send):
    page = browser_page("admin", viewport=PHONE, dark=True, touch=True)
    page.goto("/sources/new/")
    page.get_by_label("Name").focus()
    page.keyboard.type("Website")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # from server to browser
    page.keyboard.press("Tab")
    page.keyboard.type("https://www.example.com")
    assert_accessible(page)
    page.get_by_label("Name").focus()
    page.keyboard.press("Enter")

    page.locator("#key").wait_for()
    source = Source.objects.get(name="Website")
    key = page.locator("#key").input_value()
    assert (source.scope, source.allowed_origins) == ("browser", ["https://www.example.com"])
    assert_accessible(page)
    page.locator("#tab-javascript").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#snippet-curl").is_visible()

    page.goto(f"/sources/{source.pk}/")
    page.get_by_role("link", name="Revoke the key…").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke the key of Website").focus()
    assert_accessible(page)
    page.keyboard.press("Enter")
    page.get_by_text("The key of Website is revoked").wait_for()
    assert_accessible(page)
    assert send(key, EVENT) == 401
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_all_of_it_works_without_scripts(browser_page, send):
    page = browser_page("admin", javascript=False)
    page.goto("/sources/new/")
    page.get_by_label("Name").fill("Shop")
    page.get_by_role("button", name="Create the key").click()
    key = page.locator("#key").input_value()
    page.get_by_text("JavaScript", exact=True).click()
    assert key in page.locator("#snippet-javascript").inner_text()
    assert send(key, EVENT) == 200

    source = Source.objects.get(name="Shop")
    later = timezone.now() + timedelta(hours=1)
    body = b'{"userId":"x","eventType":"LATE"}'
    Delivery.objects.create(source=source, door="events", body=body, state="failed", error="KeyError: 1", due_at=later)
    page.goto(f"/sources/{source.pk}/")
    page.get_by_label("Name").fill("Shop in Berlin")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="Shop in Berlin").wait_for()
    page.get_by_role("link", name="Failed", exact=True).click()
    assert page.url.endswith("?show=failed")
    page.get_by_role("button", name="Try again now").click()
    drain_all()
    page.goto(f"/sources/{source.pk}/")
    page.get_by_text("LATE").first.wait_for()
    assert not Delivery.objects.exclude(state="processed").exists()


def test_the_tail_follows_and_stays_where_one_reads(browser_page, send):
    make_version(scoring={"rules": [{"key": "demo", "name": "Asked for a demo", "event": "DEMO_REQUESTED", "points": 30}]})
    source, key = make_source(name="Shop")
    for n in range(25):
        send(key, EVENT | {"messageId": f"m-{n}"})
    page = browser_page("admin", viewport={"width": 1280, "height": 600})
    page.goto(f"/sources/{source.pk}/")
    assert page.get_by_text("Asked for a demo").count() >= 25

    page.evaluate("scrollTo(0, 700)")
    row = page.locator(".src-delivery").nth(15)
    name, before = row.get_attribute("id"), row.bounding_box()["y"]
    page.locator(f"#{name} .src-when").focus()
    send(key, EVENT | {"eventType": "NEW_ONE", "messageId": "new"})
    page.get_by_text("NEW_ONE").first.wait_for(state="attached")
    page.wait_for_timeout(100)

    assert abs(page.locator(f"#{name}").bounding_box()["y"] - before) <= 2
    assert page.evaluate("document.activeElement.closest('.src-delivery')?.id") == name

    page.get_by_role("button", name="Pause").click()
    send(key, EVENT | {"eventType": "WHILE_PAUSED", "messageId": "paused"})
    page.wait_for_timeout(3600)
    assert not page.locator("#tail").get_by_text("WHILE_PAUSED").count()
    page.get_by_role("button", name="Paused").click()
    page.locator("#tail").get_by_text("WHILE_PAUSED").first.wait_for()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_page_is_accessible(browser_page, send, dark, viewport):
    make_version(scoring={"rules": [{"key": "demo", "name": "Asked for a demo", "event": "DEMO_REQUESTED", "points": 30}]})
    source, key = make_source(name="A source with a name as long as the database lets anybody make it, truly", scope="browser")
    make_source(scope="read")
    send(key, [EVENT, {"eventType": "NOBODY"}, EVENT | {"eventType": "OTHER"}])
    failed = Delivery.objects.create(source=source, door="events", body=b"{}", state="failed", error="KeyError: 1", traceback="Traceback")
    page = browser_page("admin", viewport=viewport, dark=dark)

    for path in (
        "",
        "new/",
        f"{source.pk}/",
        f"{source.pk}/first-event/",
        f"{source.pk}/revoke/",
        f"{source.pk}/deliveries/{failed.receipt}/",
    ):
        page.goto(f"/sources/{path}")
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize("dark", [False, True])
def test_the_api_docs_are_read_offline_without_a_login(browser_page, dark):
    page = browser_page(None, dark=dark)
    page.goto("/api/docs")
    page.get_by_role("link", name="Every point, and why").click()
    assert page.url.endswith("#lead_ledger")
    assert_accessible(page)
    page.set_viewport_size(PHONE)
    page.locator("summary").first.click()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
