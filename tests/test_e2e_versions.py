"""Publishing, re-scoring and going back in a real browser: by mouse, by keyboard, without JavaScript, on a phone, light and dark."""

import pytest

from leads import tasks
from leads.models import FoldState, Gate, Lead, Rescore, ScoringRule, ScoringVersion, Stage, Workspace
from leads.publishing import publish
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_event, make_lead

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def model(db):
    """Version 2 is live, four people were scored by it, and a weight was changed that is not live."""
    mia = colleague("marketer")
    ScoringRule.objects.create(key="viewed-pricing", name="Viewed pricing", event="VIEWED_PRICING", points=10)
    for key, start, to, conditions in (
        ("interested", "cold", "mql", [{"event": "VIEWED_PRICING"}]),
        ("hot", "mql", "sql", [{"score": {"at_least": 80}}]),
    ):
        gate = Gate.objects.create(key=key, name=key.title(), to=Stage.objects.get(key=to), conditions=conditions)
        gate.from_stages.add(Stage.objects.get(key=start))
    publish(by_user=mia, note="First rules")
    ScoringRule.objects.update(points=20)
    live = publish(by_user=mia, note="Prices count more, because whoever looks at them twice usually buys within a week or two")
    leads = [make_lead(name=f"Person {n}") for n in range(4)]
    for lead in leads:
        for _ in range(2):
            make_event(lead=lead, type="VIEWED_PRICING", model_version=live)
    tasks.advance_rescores()
    ScoringRule.objects.update(points=40, edited_by=mia)
    return leads


def test_history_is_scored_anew_by_mouse(browser_page, model):
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    page = browser_page("marketer")
    page.goto("/scoring/")
    page.get_by_role("link", name="Review and publish").click()
    page.get_by_label("What changed, and why").fill("Prices count even more")
    page.get_by_text("Re-score history", exact=True).click()
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("This would move 4 leads at once: 4 to Sales qualified (4 through").wait_for()
    assert ScoringVersion.live().number == 2
    assert_accessible(page)
    page.get_by_role("button", name="Move 4 leads and publish").click()
    page.get_by_text("Version 3 is live.").wait_for()

    page.get_by_role("link", name="Version 3", exact=True).click()
    page.locator("#job").get_by_text("Scoring the past anew: 0 of 4 leads").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused after 0 of 4 leads").wait_for()
    tasks.advance_rescores()
    assert not Lead.objects.filter(stage="sql").exists()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    tasks.advance_rescores()

    page.locator("#job").get_by_text("The past was scored anew: 4 of 4 leads · 4 scores changed, 4 leads moved").wait_for()
    assert Lead.objects.filter(stage="sql", score=80).count() == 4
    assert page.locator("#job[hx-get]").count() == 0


def test_publishing_and_the_switches_by_keyboard_alone(browser_page, model):
    page = browser_page("marketer")
    page.goto("/scoring/?review")
    page.get_by_label("From now on").focus()
    page.keyboard.press("ArrowDown")
    assert page.get_by_label("Re-score history").is_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.get_by_label("Tell owners about moves").is_checked()
    page.keyboard.press("Enter")  # in a form the button is pressed
    page.get_by_text("Version 3 is live.").wait_for()
    job = Rescore.objects.get(version__number=3)
    assert (job.history, job.tell) == (True, True)

    page.goto("/scoring/versions/3/")
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resume").wait_for()
    assert page.evaluate("document.activeElement.id") == "job-switch"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause").wait_for()


def test_going_back_to_an_earlier_version(browser_page, model):
    page = browser_page("marketer")
    page.goto("/scoring/")
    page.get_by_role("link", name="All versions").click()
    page.get_by_role("link", name="Version 1", exact=True).click()
    page.get_by_role("link", name="Go back to this version").click()
    page.get_by_text("The draft has 1 change that is not live").wait_for()
    assert_accessible(page)
    page.get_by_role("button", name="Take version 1 as the draft").click()
    assert page.get_by_label("What changed, and why").input_value() == "Back to Version 1"
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("Version 3 is live.").wait_for()

    assert ScoringVersion.live().restores.number == 1
    page.goto("/scoring/versions/")
    page.get_by_text("back to version 1", exact=True).wait_for()


def test_everything_works_without_javascript(browser_page, model):
    Workspace.objects.update_or_create(pk=1, defaults={"move_fuse": 3})
    page = browser_page("marketer", javascript=False)
    page.goto("/scoring/?review")
    page.get_by_label("Re-score history").check()
    page.get_by_role("button", name="Publish").click()
    page.get_by_role("button", name="Move 4 leads and publish").click()
    page.goto("/scoring/versions/3/")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").click()
    tasks.advance_rescores()
    page.reload()

    page.get_by_text("The past was scored anew: 4 of 4 leads").wait_for()
    page.goto("/scoring/versions/1/")
    page.get_by_role("link", name="Go back to this version").click()
    page.get_by_role("button", name="Take version 1 as the draft").click()
    assert "/scoring/?review=&restores=1" in page.url


def test_a_score_that_could_not_be_computed_is_seen_and_tried_again(browser_page, model):
    lead = model[0]
    lead.events.update(traits=["not what traits look like"])
    publish(rescore=True)
    tasks.advance_rescores()
    page = browser_page("admin")
    page.goto(lead.get_absolute_url())
    page.get_by_text("The score could not be computed").wait_for()
    assert_accessible(page, within="#lead-head")
    page.get_by_role("link", name="See why, and try again").click()
    page.get_by_text("Traceback", exact=True).click()
    assert_accessible(page)
    lead.events.update(traits={})
    page.get_by_role("button", name=f"Try again with {lead}").click()

    page.get_by_text("1 score was computed.").wait_for()
    assert not FoldState.objects.broken().exists()


PAGES = (
    "/scoring/?review",
    "/scoring/versions/",
    "/scoring/versions/2/",
    "/scoring/versions/1/?back",
    "/scoring/versions/2/?past",
    "/scoring/broken/",
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_shuts_anybody_out(browser_page, model, dark):
    page = browser_page("marketer", dark=dark)
    for address in PAGES:
        page.goto(address)
        assert_accessible(page)
    ScoringRule.objects.update(points=20)
    page.goto("/scoring/versions/2/?past")
    assert_accessible(page)
    ScoringRule.objects.update(points=40)
    publish(rescore=True)
    for address in ("/scoring/", "/scoring/versions/", "/scoring/versions/3/"):
        page.goto(address)
        assert_accessible(page)


def test_a_phone_shows_all_of_it(browser_page, model):
    FoldState.objects.filter(lead=model[0]).update(
        error="AttributeError: " + "x" * 300, traceback="Traceback", failed_at=model[0].created_at
    )
    publish(rescore=True)
    ScoringRule.objects.update(points=41)
    page = browser_page("marketer", viewport=PHONE, touch=True)
    for address in (*PAGES, "/scoring/", "/scoring/versions/3/", model[0].get_absolute_url()):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        if address.startswith("/scoring/"):
            small = page.evaluate("""[...document.querySelectorAll('main a.btn, main button, main .scope, .version-line > a')]
                .filter((each) => each.getBoundingClientRect().height < 44).map((each) => each.textContent.trim())""")
            assert small == [], address
            assert_accessible(page)
