"""Rules and gates written in a real browser: by keyboard alone, without JavaScript, on a phone, light and dark."""

import json

import pytest
from django.utils import timezone

from crm.playbook import apply_shipped
from leads.intake import drain_all
from leads.models import Gate, Lead, ScoringRule, ScoringVersion, SeenProperty, Stage
from tests.browser import PHONE, assert_accessible, colleague
from tests.factories import make_source

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

DEEP = [{"any": [{"all": [{"score": {"at_least": 1}}, {"fit": {"at_least": 2}}]}, {"event": "DEMO_REQUESTED"}]}]


@pytest.fixture
def model(db):
    """The shipped playbook, published; events that have been seen; a gate that is deeper than groups."""
    apply_shipped(active=True)
    colleague("marketer")
    for path, kind, examples in [("", "", []), ("event.plan", "text", ["team", "pro"]), ("event.seats", "number", [5, 40])]:
        SeenProperty.objects.create(type="TRIAL_EXTENDED", path=path, kind=kind, examples=examples, last_at=timezone.now())
    gate = Gate.objects.create(key="deep", name="Deep", to_id="won", match="all", conditions=DEEP, position=9)
    gate.from_stages.set(Stage.objects.filter(key="sql"))


def tell(client, key, **properties):
    """The product posts an event, and the worker takes it in."""
    body = json.dumps({"email": "ada@example.com", "eventType": "Trial extended", "metadata": properties})
    headers = {"Authorization": f"Bearer {key}"}
    assert client.post("/api/events", body, content_type="application/json", headers=headers).status_code == 200
    drain_all()
    return Lead.objects.get(email="ada@example.com")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def choose(page, element, text):
    """Choose in a select by typing what stands in it, and wait until the row has followed."""
    page.locator(f"#{element}:focus").wait_for()
    page.keyboard.type(text)
    shown = page.locator(f"#{element.replace('-what', '-op')} option", has_text="is at least" if text == "seats" else "has the word")
    page.locator(f"input[name={element.replace('-what', '-shown')}][value$={text}]").wait_for(state="attached")
    shown.wait_for(state="attached")
    page.locator(f"#{element}:focus").wait_for()


def reach(page, element):
    """Tab on until the element has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == element:
            return
    raise AssertionError(f"{element} can't be reached by keyboard")


def test_a_rule_with_two_conditions_is_built_by_keyboard_alone_and_published(browser_page, model, client):
    _, key = make_source()
    before = tell(client, key, plan="team", seats=40).score
    page = browser_page("marketer")
    page.goto("/scoring/rules/new/")
    page.locator("#id_name").focus()
    page.keyboard.type("Extended the trial")
    assert page.locator("#id_key").input_value() == "extended-the-trial"
    reach(page, "id_event")
    page.keyboard.type("TRIAL_EXTENDED")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        press(page, "Tab")
    page.get_by_text("Last seen now").wait_for()
    page.locator("#id_points").focus()
    page.keyboard.type("25")

    reach(page, "g0-add")
    press(page, "Enter")
    choose(page, "g0r0-what", "plan")
    press(page, "Tab")
    assert page.evaluate("document.activeElement.id") == "g0r0-op"
    press(page, "Tab")
    page.keyboard.type("team")
    reach(page, "g0-add")
    press(page, "Enter")
    choose(page, "g0r1-what", "seats")
    press(page, "Tab", "Tab")
    page.keyboard.type("20")
    page.get_by_text("+25 points if plan is “team” and seats is at least 20").wait_for()
    page.get_by_text("“Trial extended” happened once in the last 30 days, by 1 lead; it matches.").wait_for()
    assert_accessible(page)
    press(page, "Enter")

    page.wait_for_url("**/scoring/#rules-extended-the-trial")
    page.get_by_role("link", name="Review and publish").focus()
    press(page, "Enter")
    page.get_by_role("button", name="Publish").focus()
    press(page, "Enter")
    page.get_by_text("Version 2 is live.").wait_for()
    assert ScoringVersion.live().document["scoring"]["rules"][-1]["key"] == "viewed-pricing"
    assert ScoringRule.objects.get(key="extended-the-trial").when == [
        {"field": "event.plan", "op": "is", "value": "team"},
        {"field": "event.seats", "op": "gte", "value": 20},
    ]

    small = tell(client, key, plan="team", seats=5).score
    lead = tell(client, key, plan="team", seats=20)
    assert (before, small, lead.score) == (0, 0, 25)
    board = browser_page("rep")
    board.goto("/?owner=all&cold=1")
    assert board.locator(f"#lead-{lead.pk} .badge-score").inner_text() == "25"


def test_what_is_typed_while_the_row_is_fetched_stays(browser_page, model):
    page = browser_page("marketer")
    page.goto("/scoring/fit/new/")
    page.locator("#g0-add").click()
    page.locator("#g0r0-what").select_option("lead.title")
    page.locator("#g0r0-value").fill("Architect")
    page.locator("[name=g0r0-shown][value='lead.title']").wait_for(state="attached")

    assert page.locator("#g0r0-value").input_value() == "Architect"
    page.get_by_text("title is “Architect”").wait_for()


def test_everything_works_without_javascript(browser_page, model):
    page = browser_page("marketer", javascript=False)
    page.goto("/scoring/")
    page.get_by_role("link", name="Add to gates").click()
    page.get_by_label("Name", exact=True).fill("Busy team")
    page.get_by_label("Cold").check()
    page.get_by_label("To", exact=True).select_option("sql")
    page.get_by_role("button", name="Add condition").click()
    page.get_by_label("What to look at").select_option("event")
    page.get_by_role("button", name="Show the inputs").click()
    page.get_by_label("Which event").fill("Trial extended")
    page.get_by_label("Times", exact=True).fill("3")
    page.get_by_role("button", name="None of", exact=True).click()
    page.get_by_role("group", name="None of").get_by_label("What to look at").select_option("in_stage_for")
    page.get_by_role("button", name="Show the inputs").click()
    page.get_by_label("For how long").fill("30")
    page.get_by_role("button", name="Save in the draft").click()

    page.wait_for_url("**/scoring/#gates-busy-team")
    gate = Gate.objects.get(key="busy-team")
    assert gate.conditions == [{"event": "TRIAL_EXTENDED", "times": {"at_least": 3}}, {"not": {"in_stage_for": "30d"}}]
    page.get_by_role("button", name="Move Busy team up").click()
    assert list(Gate.objects.values_list("key", flat=True))[-2:] == ["busy-team", "deep"]
    page.get_by_role("link", name="Edit Busy team").click()
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove Busy team").click()
    assert not Gate.objects.filter(key="busy-team").exists()


PAGES = (
    "/scoring/",
    "/scoring/rules/new/",
    "/scoring/rules/viewed-pricing/",
    "/scoring/fit/technical-leader/",
    "/scoring/gates/hot/",
    "/scoring/gates/deep/",
    "/scoring/limits/edit/",
    "/scoring/exclude/edit/",
    "/scoring/derive/new/",
    "/scoring/idle/new/",
    "/scoring/gates/deep/delete/",
)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_form_shuts_anybody_out(browser_page, model, dark):
    page = browser_page("marketer", dark=dark)
    for address in PAGES:
        page.goto(address)
        assert_accessible(page)
    page.goto("/scoring/rules/new/")
    page.get_by_role("button", name="Save in the draft").click()
    page.get_by_text("Write which event it is about").wait_for()
    page.get_by_role("button", name="Add condition").click()
    page.get_by_label("What to look at").select_option("lead.title")
    page.get_by_text("The sentence stands here").wait_for()
    assert_accessible(page)


def test_a_phone_shows_the_forms_whole(browser_page, model):
    page = browser_page("marketer", viewport=PHONE, touch=True)
    for address in PAGES:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
        small = page.evaluate("""[...document.querySelectorAll('.part-form :is(.btn, .icon-button, .form-control, .form-select)')]
            .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 44)
            .map((each) => each.id || each.textContent.trim())""")
        assert small == [], address
