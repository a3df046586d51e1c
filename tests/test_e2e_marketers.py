"""A marketer's pages in a real browser: by mouse, by keyboard, on a phone, without JavaScript, light and dark."""

import re

import pytest
from django.utils import timezone

from campaigns.documents import read_document
from campaigns.models import Campaign
from campaigns.publishing import publish_campaign, replace_campaign
from crm.playbook import apply_shipped
from leads.models import ScoringRule, ScoringVersion
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_consent, make_enrollment, make_lead, make_message, make_step

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

LONG = "A campaign with a name of sixty characters, as people do write"


@pytest.fixture
def model(db):
    """The shipped playbook, published, with two edits of Mia's that are not live."""
    apply_shipped(active=True)
    mia = colleague("marketer")
    ScoringRule.objects.filter(key="viewed-pricing").update(points=25, edited_by=mia)
    ScoringRule.objects.filter(key="unsubscribed").delete()
    return mia


@pytest.fixture
def campaign(model):
    """A campaign with a long name, people in it, and receipts."""
    steps = [
        make_step("welcome", after="10m", message={"subject": "Your first call", "body": "Hi {{ lead.first_name | default: 'there' }}"}),
        make_step("tell", after="1d", notify={"text": "Read it"}),
    ]
    raw = {"key": "DEEP", "name": LONG, "topic": "newsletter", "trigger": {"event": "DOWNLOADED_API_DOCS"}, "steps": steps}
    row = replace_campaign(read_document(raw))
    publish_campaign(row)
    row.refresh_from_db()
    now = timezone.now()
    ada = make_lead(name="Ada Lovelace", email="ada@example.com")
    make_consent(email=ada.email)
    for n, fields in enumerate([{"state": "sent", "sent_at": now}, {"state": "skipped", "reason": "no_consent"}, {"reason": "window"}]):
        run = make_enrollment(campaign=row, lead=ada, run_key=str(n))
        make_message(run=run, ended_at=None if fields.get("reason") == "window" else now, **fields)
    row.steps.filter(key="welcome").update(subject="Your very first call", edited_by=model)
    return row


def mail_in(page):
    """The document of the mail's HTML part, inside its two frames."""
    return page.frame_locator("#look-frame iframe:not(.is-coming)").frame_locator("iframe")


def test_a_weight_is_changed_in_its_form_and_published_by_mouse(browser_page, model):
    page = browser_page("marketer")
    page.goto("/scoring/")
    page.get_by_role("link", name="Edit Downloaded the API docs").click()
    page.get_by_label("Points", exact=True).fill("35")
    page.get_by_role("button", name="Save in the draft").click()
    page.wait_for_url("**/scoring/#rules-downloaded-api-docs")

    assert "3 changes not live" in page.locator("#draft").inner_text()
    page.get_by_role("link", name="Review and publish").click()
    page.get_by_label("What changed, and why").fill("Docs count more")
    page.get_by_role("button", name="Publish").click()

    page.get_by_text("Version 2 is live.").wait_for()
    assert page.locator("#draft").count() == 0
    assert ScoringVersion.live().note == "Docs count more"


def test_a_draft_is_discarded_by_keyboard_alone(browser_page, model):
    page = browser_page("marketer")
    page.goto("/scoring/")
    page.get_by_role("link", name="Discard").focus()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Discard 2 changes")
    button.wait_for()
    button.focus()
    page.keyboard.press("Enter")

    page.get_by_text("Discarded.").wait_for()
    assert ScoringRule.objects.get(key="viewed-pricing").points == 10


def test_the_mail_follows_the_typing_and_is_saved(browser_page, campaign):
    page = browser_page("marketer")
    page.goto("/campaigns/DEEP/")
    page.get_by_role("link", name="Write and preview welcome").click()
    mail_in(page).get_by_text("Hi Ada").wait_for()

    page.get_by_label("Body").fill("Dear {{ lead.name }}, **read** this")
    mail_in(page).get_by_text("Dear Ada Lovelace").wait_for()
    page.get_by_label("Text", exact=True).check()
    page.frame_locator("#look-frame iframe:not(.is-coming)").locator("pre").get_by_text("Dear Ada Lovelace").wait_for()
    page.get_by_label("Phone", exact=True).check()
    assert page.locator("#look-frame").bounding_box()["width"] <= 375
    page.get_by_label("Body").fill("Order {{ event.order_id }}")
    page.frame_locator("#look-frame iframe:not(.is-coming)").get_by_text("This mail can't be made for Ada Lovelace").wait_for()
    page.get_by_label("Body").fill("Dear {{ lead.name }}, **read** this")
    page.get_by_role("button", name="Save in the draft").click()

    page.get_by_text("Saved in the draft.").wait_for()
    assert campaign.steps.get(key="welcome").body == "Dear {{ lead.name }}, **read** this"
    page.go_back()
    assert "/steps/welcome/" in page.url


def test_everything_works_without_javascript(browser_page, campaign):
    page = browser_page("marketer", javascript=False)
    page.goto("/campaigns/DEEP/steps/welcome/")
    page.get_by_label("Body").fill("Dear {{ lead.name }}")
    page.get_by_role("button", name="Show").click()
    page.frame_locator("iframe[name=look]").frame_locator("iframe").get_by_text("Dear Ada Lovelace").wait_for()
    page.get_by_role("button", name="Save in the draft").click()
    page.goto("/campaigns/DEEP/")
    page.get_by_role("link", name="Review and publish").click()
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("link", name="Pause").click()
    page.get_by_label(re.compile("Cancel:")).check()
    page.get_by_role("button", name="Pause").click()

    campaign.refresh_from_db()
    assert (campaign.live.number, campaign.status) == (2, "paused")
    assert not campaign.enrollments.filter(messages__state="scheduled").exists()


def test_a_phone_shows_the_flow_and_the_receipts(browser_page, campaign):
    page = browser_page("marketer", viewport=PHONE, touch=True)
    for address in ("/campaigns/", "/campaigns/DEEP/", "/campaigns/DEEP/?review", "/campaigns/DEEP/steps/welcome/", "/scoring/?review"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    page.goto("/campaigns/")
    page.get_by_role("link", name=LONG).tap()
    page.get_by_role("link", name=re.compile("^Not sent")).tap()
    page.locator("#receipts").get_by_text("No consent to this topic").first.wait_for()
    small = page.evaluate("""[...document.querySelectorAll('main a.btn, main button, .tabs a, main .chip')]
        .filter((each) => each.getBoundingClientRect().height < 44).map((each) => each.textContent.trim())""")
    assert small == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_shuts_anybody_out(browser_page, campaign, dark):
    Campaign.objects.filter(key="API_RATE_LIMIT_GUIDE").get().steps.update(subject="")
    page = browser_page("marketer", dark=dark)
    for address in (
        "/scoring/",
        "/scoring/?review",
        "/scoring/?discard",
        "/campaigns/",
        "/campaigns/DEEP/?review",
        "/campaigns/DEEP/?pause",
        "/campaigns/API_RATE_LIMIT_GUIDE/?review",
        "/campaigns/DEEP/steps/welcome/",
        "/campaigns/DEEP/steps/tell/",
        "/campaigns/DEEP/dry-run/",
    ):
        page.goto(address)
        assert_accessible(page)


def test_a_dry_run_is_played_and_read(browser_page, campaign):
    page = browser_page("marketer")
    bob = make_lead(name="Bob", email="bob@example.com")
    make_consent(email=bob.email)
    page.goto("/campaigns/DEEP/dry-run/")
    page.get_by_label("For").fill(bob.email)
    page.get_by_label("A colleague starts it by hand").check()
    page.get_by_role("button", name="Play it").click()

    page.get_by_text("In the end").wait_for()
    assert_accessible(page)


def test_steps_are_dragged_into_another_order_in_the_form(browser_page, campaign):
    page = browser_page("marketer")
    page.goto("/campaigns/DEEP/")
    page.get_by_role("link", name="Edit", exact=True).click()
    handles = page.locator("#steps-group").get_by_text("drag_indicator")
    handles.nth(1).drag_to(handles.nth(0), target_position={"x": 5, "y": 2}, steps=15)
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/campaigns/DEEP/")

    assert list(campaign.steps.values_list("key", flat=True)) == ["tell", "welcome"]
    assert "Order of the steps" in page.goto("/campaigns/DEEP/?review").text()
