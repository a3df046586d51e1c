"""What a lead's page explains: what is missing and until when, the score's course, why it is what it is, and what would be if."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from leads.intake import record_now
from leads.models import Delivery, Event, FoldState, Lead, ScoreEntry, Transition, User
from leads.tasks import drain_inbox
from tests.factories import make_company, make_entry, make_event, make_lead, make_source, make_transition, make_version

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
NOW = datetime(2026, 2, 2, 11, 0, tzinfo=UTC)
PRICING = {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}
RULES = [
    {"key": "pricing", "name": "Viewed pricing", "event": "VIEWED_PRICING", "points": 10, "limit": {"times": 2, "per": "day"}},
    {"key": "docs", "name": "Downloaded the docs", "event": "DOWNLOADED_DOCS", "points": 20, "expires_after": "30d"},
    {"key": "team", "name": "Team plan", "event": "PLAN_CHOSEN", "points": 15, "when": [{"field": "event.seats", "op": "gte", "value": 5}]},
]
HOT = {"key": "hot", "name": "Ready for sales", "from": ["cold", "mql"], "to": "sql", "conditions": [{"score": {"at_least": 40}}, PRICING]}


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def text_of(answer):
    """What a page says, without markup."""
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def page_of(client, lead, query=""):
    return text_of(client.get(f"{lead.get_absolute_url()}{query}"))


def record(*types, email="ada@acme.example", at=NOW, **message):
    """These types happened, a minute apart, the last one at `at`."""
    stamps = [(at - timedelta(minutes=n)).isoformat() for n in reversed(range(len(types)))]
    return record_now([{"type": name, "email": email, "timestamp": stamp, **message} for name, stamp in zip(types, stamps, strict=True)])[
        -1
    ].lead


# --- what is missing ------------------------------------------------------------------------------


def test_each_condition_tells_its_value_and_what_completes_it(client, rep):
    make_version(scoring={"rules": RULES}, gates=[HOT])

    page = page_of(client, record("VIEWED_PRICING", "VIEWED_PRICING"))

    assert "Score at least 40 20. Needs 20 more points" in page
    assert "2 of 3 in 7 days" in page
    assert "Needs “Viewed pricing” once more" in page
    assert "any one is enough" in page


def test_a_group_within_a_gate_is_shown_as_a_group(client, rep):
    conditions = [{"event": "DEMO_REQUESTED"}, {"any": [PRICING, {"all": [{"event": "SIGNED_UP"}, {"score": {"at_least": 40}}]}]}]
    make_version(gates=[HOT | {"match": "all", "conditions": conditions}])

    answer = client.get(record("SIGNED_UP").get_absolute_url())

    page = text_of(answer)
    assert "Ready for sales · 0 of 2" in page
    assert page.index("Any one of these") < page.index("“Viewed pricing” at least 3 times") < page.index("All of these")
    assert answer.content.decode().count('<ul class="checks">') == 3


def test_a_gate_that_leads_back_says_when(client, rep):
    idle = {"key": "quiet", "name": "Went quiet", "from": "mql", "to": "cold", "conditions": [{"idle_for": "30d"}]}
    stay = {"key": "stale", "name": "Stayed too long", "from": "mql", "to": "lost", "conditions": [{"in_stage_for": "60d"}]}
    made = {"key": "left", "name": "Left", "from": "mql", "to": "cold", "conditions": [{"event": "ACCOUNT_CLOSED"}]}
    make_version(gates=[HOT, idle, stay, made])
    lead = record("SIGNED_UP")
    make_transition(lead=lead, to="mql")
    record("SIGNED_UP", at=NOW + timedelta(seconds=1))

    page = page_of(client, lead)

    assert "Back to Cold when nothing happens for 30 days, that is until 4 Mar (in" in page
    assert "On to Closed lost after 60 days in this stage, that is 3 Apr (in" in page
    assert "Back to Cold when Account closed Left" in page


def test_a_lead_that_is_closed_says_what_would_open_it_again(client, rep):
    make_version(gates=[HOT, {"key": "churn", "name": "Churned", "from": "won", "to": "lost", "conditions": [{"event": "CANCELED"}]}])

    page = page_of(client, make_lead(stage_id="won", company=make_company()))

    assert "On to Closed lost when Canceled Churned" in page
    assert "What is missing for" not in page


def test_an_excluded_lead_says_which_condition_excludes_it(client, rep):
    exclude = [
        {
            "any": [
                {"field": "lead.email", "op": "ends_with", "value": "@rival.example"},
                {"field": "lead.email", "op": "ends_with", "value": "@acme.example"},
            ]
        }
    ]
    make_version(scoring={"rules": RULES, "exclude": exclude}, gates=[HOT])
    lead = record("SIGNED_UP", traits={"email": "ada@acme.example"})
    Lead.objects.filter(pk=lead.pk).update(excluded=True)

    page = page_of(client, lead)

    assert "Excluded from scoring because email ends with “@acme.example”: nothing counts" in page
    assert "What is missing for" not in page


def test_an_excluded_lead_has_a_page_when_no_condition_holds_any_more(client, rep):
    make_version(gates=[HOT])

    assert "Excluded from scoring: nothing counts" in page_of(client, make_lead(excluded=True))


# --- the course of the score ----------------------------------------------------------------------


@pytest.fixture
def model():
    return make_version(scoring={"rules": RULES})


def course_of(client, lead, reach=""):
    """The panel with the score, as markup."""
    answer = client.get(f"/leads/{lead.uid}/part/score/?reach={reach}", **HTMX)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_title_is_the_finding_with_its_main_cause(client, rep, model):
    lead = make_lead()
    make_entry(lead=lead, points=20, version=model, rule="docs", at=NOW - timedelta(days=40))
    make_entry(lead=lead, points=30, version=model, rule="pricing", at=NOW - timedelta(days=5))
    make_entry(lead=lead, points=15, version=model, rule="team", at=NOW - timedelta(days=4))

    assert "<figcaption>Up 45 in 30 days, most of it from Viewed pricing</figcaption>" in course_of(client, lead)
    assert "<figcaption>Up 65 in a year</figcaption>" in course_of(client, lead, "365")
    assert "<figcaption>Up 65 since 23 Dec 2025</figcaption>" in course_of(client, lead, "all")


def test_points_that_expired_are_named_as_the_cause(client, rep, model):
    lead = make_lead()
    make_entry(lead=lead, points=20, version=model, rule="docs", at=NOW - timedelta(days=40))
    make_entry(lead=lead, points=-20, version=model, rule="docs", kind="expiry", at=NOW - timedelta(days=10))

    assert "Down 20 in 30 days, most of it from points of Downloaded the docs that expired" in course_of(client, lead)


def test_the_table_says_the_same_as_the_line(client, rep, model):
    lead = make_lead()
    make_entry(lead=lead, points=20, version=model, at=NOW - timedelta(days=40))
    make_entry(lead=lead, points=-5, version=model, at=NOW - timedelta(days=2))

    page = course_of(client, lead)

    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td></tr>', page)
    assert rows == [("31 Jan 2026", "−5", "15"), ("24 Dec 2025", "+20", "20")]
    assert course_of(client, lead, "30").count('<th scope="row">') == 1


def test_what_gave_most_is_a_dot_that_leads_to_its_event(client, rep, model):
    lead = make_lead()
    event = make_event(lead=lead, type="DOWNLOADED_DOCS", at=NOW - timedelta(days=20))
    make_entry(lead=lead, points=20, version=model, rule="docs", event=event, cause=event.cause, at=event.at)
    make_entry(lead=lead, points=10, version=model, rule="pricing", at=event.at - timedelta(days=1))
    for n in range(40):
        make_entry(lead=lead, points=1, version=model, rule="pricing", at=NOW - timedelta(days=2 * n))

    page = course_of(client, lead)

    assert 0 < page.count('class="course-dot"') <= 12
    assert f'<a class="course-dot" href="/leads/{lead.uid}/events/{event.pk}/"' in page
    assert "+20 Downloaded the docs, 13 Jan 11:00; +10 Viewed pricing, 12 Jan 11:00; +1 Viewed pricing" in page


def test_stage_changes_stand_across_the_line_with_a_word(client, rep, model):
    lead = make_lead()
    make_transition(lead=lead, to="mql", at=NOW - timedelta(days=60))
    make_transition(lead=lead, to="sql", at=NOW - timedelta(days=59))

    page = course_of(client, lead)

    assert "course-move stage-mql" in page
    assert ">Marketing qualified</text>" in page
    heights = re.findall(r'<text x="[\d.]+" y="(\d+)">', page)
    assert len(set(heights)) == 2, "the second name stands in a row of its own"
    assert course_of(client, lead, "30").count("course-move") == 0


@pytest.mark.parametrize("reach", ["", "30", "90", "365", "all", "7", "<b>"])
def test_every_reach_is_drawn_whatever_there_is(client, rep, model, reach):
    assert "<svg viewBox" not in course_of(client, make_lead(), reach)


# --- as of ----------------------------------------------------------------------------------------


def test_the_ledger_as_of_a_day_sums_what_stood_then(client, rep, model):
    lead = make_lead()
    make_transition(lead=lead, to="mql", at=NOW - timedelta(days=20))
    make_entry(lead=lead, points=20, version=model, rule="docs", at=NOW - timedelta(days=20))
    make_entry(lead=lead, points=15, version=model, rule="late", axis="fit", at=datetime(2026, 1, 15, 23, 59, tzinfo=UTC))
    make_entry(lead=lead, points=30, version=model, rule="pricing", at=NOW - timedelta(days=5))
    make_transition(lead=lead, to="sql", at=NOW - timedelta(days=5))

    then, now = page_of(client, lead, "?as_of=2026-01-15"), page_of(client, lead)

    assert "Why 35 on 15 Jan 2026? 20 engagement + 15 fit" in then
    assert "35 Score on 15 Jan 2026" in then
    assert client.get(f"{lead.get_absolute_url()}?as_of=2026-01-15").content.count(b"course-moment") == 1
    assert "At the end of that day: 35 points, in Marketing qualified. Today: 65." in then
    assert "Why 65? 50 engagement + 15 fit" in now
    assert "65 Score" in now
    assert "No rule had counted anything by then." in page_of(client, lead, "?as_of=2025-01-01")


def test_older_lines_stand_at_the_day_asked_for_too(client, rep, model):
    lead = make_lead()
    for n in range(30):
        make_entry(lead=lead, points=1, version=model, rule="pricing", at=NOW - timedelta(days=n))

    page = client.get(f"/leads/{lead.uid}/part/score/?as_of=2026-01-22", **HTMX).content.decode()
    address = re.search(r'hx-get="([^"]*/ledger/[^"]*)"', page)[1].replace("&amp;", "&")
    older = client.get(address, **HTMX).content.decode()

    assert page.count('<li class="rule-line">') == 10
    assert "as_of=2026-01-22" in address
    assert older.count('<li class="rule-line">') == 19 - 10


@pytest.mark.parametrize(
    ("day", "said"),
    [("2026-02-03", "This day is still to come"), ("yesterday", "Enter a valid date"), ("2026-02-02", "Why 0?"), ("", "Why 0?")],
)
def test_a_day_that_is_none_shows_now_and_says_why(client, rep, model, day, said):
    page = page_of(client, make_lead(), f"?as_of={day}")

    assert said in page
    assert "Why 0?" in page


# --- one event ------------------------------------------------------------------------------------


def event_page(client, lead, event, **extra):
    return text_of(client.get(f"/leads/{lead.uid}/events/{event.pk}/", **extra))


def test_a_line_leads_to_its_event_with_all_it_said_and_gave(client, rep):
    make_version(scoring={"rules": RULES}, gates=[HOT])
    lead = record(*["VIEWED_PRICING"] * 3, properties={"plan": {"name": "team"}, "seats": 5})
    event = lead.events.order_by("at").last()

    line = client.get(lead.get_absolute_url()).content.decode()
    page = event_page(client, lead, event)

    assert line.count(f'href="/leads/{lead.uid}/events/{event.pk}/"') >= 2
    assert "Type VIEWED_PRICING Happened 2 Feb 2026, 11:00:00" in page
    assert "plan.name team seats 5" in page
    assert "0 Viewed pricing counts 2 times a day, else +10" in page
    assert "Moved from Cold to Sales qualified Ready for sales" in page
    assert "Version 1" in page


def test_an_event_is_a_window_for_htmx_and_leads_into_the_timeline(client, rep):
    lead = make_lead()
    for n in range(60):
        event = make_event(lead=lead, type=f"THING_{n:02}", at=NOW - timedelta(hours=n))

    window = client.get(f"/leads/{lead.uid}/events/{event.pk}/", **HTMX).content.decode()
    address = re.search(r'href="([^"]*)#event-', window)[1]
    page = client.get(address).content.decode()

    assert window.strip().startswith("<dialog")
    assert f'id="event-{event.pk}"' in page
    assert "Thing 59" in page
    assert "Thing 58" not in page


def test_an_event_tells_its_values_under_the_paths_that_conditions_know(client, rep):
    properties = {"plan": "team", "seats": 5, "tags": ["a", "b"], "empty": {}}
    event = make_event(lead=make_lead(), properties=properties, traits={"company": {"size": {"staff": 45}, "name": "Acme"}})

    context = client.get(f"/leads/{event.lead.uid}/events/{event.pk}/").context

    assert dict(context["properties"]) == {"plan": "team", "seats": "5", "tags": '["a", "b"]', "empty": "{}"}
    assert dict(context["traits"]) == {"company.size.staff": "45", "company.name": "Acme"}


def test_only_admins_are_led_to_the_delivery(client, rep):
    source, key = make_source()
    body = {"userId": "u1", "eventType": "SIGNED_UP", "email": "ada@acme.example"}
    client.post("/api/events", body, content_type="application/json", headers={"Authorization": f"Bearer {key}"})
    drain_inbox()
    event = Event.objects.get()
    address = f"/sources/{source.pk}/deliveries/{Delivery.objects.get().receipt}/"

    as_rep = client.get(f"/leads/{event.lead.uid}/events/{event.pk}/").content.decode()
    client.force_login(User.objects.create_superuser("root"))
    as_admin = client.get(f"/leads/{event.lead.uid}/events/{event.pk}/").content.decode()

    assert address not in as_rep
    assert address in as_admin


def test_an_event_of_another_lead_is_not_found(client, rep):
    event = make_event(lead=make_lead())

    assert client.get(f"/leads/{make_lead().uid}/events/{event.pk}/").status_code == 404


def test_an_event_is_shown_to_colleagues_only(client):
    event = make_event(lead=make_lead())
    address = f"/leads/{event.lead.uid}/events/{event.pk}/"

    anonymous = client.get(address)
    client.force_login(User.objects.create_user("nobody"))
    without_role = client.get(address)

    assert anonymous.url.startswith("/login/")
    assert without_role.status_code == 403


@pytest.mark.parametrize(
    ("kind", "words"),
    [("expiry", "Points expired after “Signed up”"), ("reset", "All engagement points taken back after “Signed up”"), ("fit", "Holds")],
)
def test_lines_that_no_event_gave_say_what_they_are(client, rep, model, kind, words):
    lead = make_lead()
    event = make_event(lead=lead)
    axis = "fit" if kind == "fit" else "engagement"
    make_entry(lead=lead, points=-10, version=model, kind=kind, axis=axis, event=event)
    make_entry(lead=lead, points=-10, version=model, kind="idle", rule="quiet")

    page = page_of(client, lead)

    assert words in page
    assert "Nothing done for long enough" in page


# --- what if --------------------------------------------------------------------------------------


def ask(client, lead, **data):
    """What would be if, as the page that works without JavaScript tells it."""
    return text_of(client.get(f"/leads/{lead.uid}/what-if/", data))


@pytest.fixture
def hot_model():
    return make_version(scoring={"rules": RULES}, gates=[HOT])


def test_a_supposed_event_tells_points_moves_and_why_not_more(client, rep, hot_model):
    lead = record("VIEWED_PRICING")

    page = ask(client, lead, type="Viewed pricing", times=3)

    assert "Viewed pricing, 3 times: 10 becomes 20" in page
    assert "+10 Viewed pricing 3× 2 of 3: counts 2 times a day" in page
    assert "From Cold to Sales qualified Ready for sales" in page


def test_what_is_supposed_is_what_the_engine_would_do(client, rep, hot_model, clock):
    lead = record("VIEWED_PRICING")
    supposed = ask(client, lead, type="DOWNLOADED_DOCS")

    clock.shift(timedelta(minutes=1))
    record("DOWNLOADED_DOCS", at=NOW + timedelta(minutes=1))

    lead.refresh_from_db()
    assert f"10 becomes {lead.score}" in supposed
    assert lead.score == 30


def test_nothing_is_written(client, rep, hot_model):
    lead = record("VIEWED_PRICING")
    before = list(FoldState.objects.values()), Event.objects.count(), Transition.objects.count(), ScoreEntry.objects.count()

    ask(client, lead, type="VIEWED_PRICING", times=20)
    ask(client, lead, days=400)

    lead.refresh_from_db()
    assert (list(FoldState.objects.values()), Event.objects.count(), Transition.objects.count(), ScoreEntry.objects.count()) == before
    assert (lead.score, lead.stage_id) == (10, "cold")


def test_what_is_still_missing_afterwards_is_told(client, rep, hot_model):
    page = ask(client, record("SIGNED_UP"), type="VIEWED_PRICING")

    assert "It would stay in Cold." in page
    assert "Still missing for Sales qualified" in page
    assert "1 of 3 in 7 days" in page
    assert "Needs 30 more points" in page


def test_properties_decide_and_numbers_are_numbers(client, rep, hot_model):
    lead = record("SIGNED_UP")

    enough = ask(client, lead, type="PLAN_CHOSEN", properties="seats=5\nplan=team")
    few = ask(client, lead, type="PLAN_CHOSEN", properties="seats=4")
    unused = ask(client, lead, type="SMILED")

    assert "+15 Team plan" in enough
    assert "The conditions of “Team plan” do not hold." in few
    assert "No rule gives points for “Smiled”." in unused


def test_a_day_apart_is_another_day(client, rep, hot_model):
    lead = record("SIGNED_UP")

    page = ask(client, lead, type="VIEWED_PRICING", times=3, apart="1d")

    assert "0 becomes 30" in page
    assert "Wed 11:00 (in 2 d)" in page


def test_time_that_passes_takes_points_back(client, rep, hot_model):
    lead = record("DOWNLOADED_DOCS")

    soon, late = ask(client, lead, days=10), ask(client, lead, days=31)

    assert "Nothing for 10 days: the score stays at 20" in soon
    assert "No points expire by then" in soon
    assert "Nothing for 31 days: 20 becomes 0" in late
    assert "−20 Downloaded the docs: points expired" in late


def test_a_visitor_and_an_excluded_lead_learn_why_nothing_would_move(client, rep, hot_model):
    visitor = make_lead(email="")
    excluded = make_lead(excluded=True)

    assert "a visitor passes no gate" in ask(client, visitor, type="VIEWED_PRICING", times=3)
    assert "Nothing would count: excluded from scoring." in ask(client, excluded, type="VIEWED_PRICING")


def test_without_a_model_nothing_would_count(client, rep):
    assert "no scoring model was published yet" in ask(client, make_lead(), type="VIEWED_PRICING")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"type": ""}, "This field is required."),
        ({"type": "…"}, "Write what they do in letters"),
        ({"type": "X", "times": 21}, "less than or equal to 20"),
        ({"type": "X", "properties": "a=1\nbroken"}, "Line 2 is no property"),
        ({"type": "X", "apart": "9w"}, "Select a valid choice"),
        ({"days": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_supposition_is_refused_beside_its_field(client, rep, model, data, said):
    lead = make_lead()

    page = client.get(f"/leads/{lead.uid}/what-if/", data)
    part = client.get(f"/leads/{lead.uid}/what-if/", data, **HTMX)

    assert (page.status_code, part.status_code) == (422, 422)
    assert said in unescape(page.content.decode())
    assert said in unescape(part.content.decode())
    assert part.headers["HX-Retarget"] == "#what-if"


def test_for_htmx_the_answer_comes_alone(client, rep, hot_model):
    part = client.get(f"/leads/{make_lead().uid}/what-if/", {"type": "VIEWED_PRICING"}, **HTMX).content.decode()

    assert "becomes" in part
    assert "<form" not in part


def test_the_form_proposes_what_rules_and_gates_know(client, rep):
    derive = [{"from": "PAGE_VIEWED", "as": "VIEWED_TERMS"}]
    make_version(scoring={"rules": RULES, "derive": derive}, gates=[HOT | {"conditions": [{"event": "DEMO_REQUESTED"}]}])
    lead = record("SMILED")
    make_event(lead=lead, type="LEAD_EDITED")

    page = client.get(lead.get_absolute_url()).content.decode()

    proposed = set(re.findall(r'<option value="([A-Z_]+)">', page))
    assert {"VIEWED_PRICING", "PLAN_CHOSEN", "PAGE_VIEWED", "VIEWED_TERMS", "DEMO_REQUESTED"} <= proposed
    assert "LEAD_EDITED" not in proposed


def test_supposing_costs_few_queries(client, rep, hot_model):
    lead = record("VIEWED_PRICING")
    address = f"/leads/{lead.uid}/what-if/?type=VIEWED_PRICING&times=20"
    client.get(address)

    with CaptureQueriesContext(connection) as queries:
        client.get(address)

    assert len(queries) <= 11


# --- what it costs --------------------------------------------------------------------------------


def test_a_long_history_costs_no_more_queries(client, rep, model):
    short, long = make_lead(), make_lead()
    for lead, times in ((short, 100), (long, 1000)):
        ScoreEntry.objects.bulk_create(
            ScoreEntry(
                lead=lead,
                first_lead=lead,
                axis="engagement",
                kind="points",
                cause=f"event:{n}",
                rule=f"rule-{n % 9}",
                raw=1,
                points=1,
                version=model,
                at=NOW - timedelta(hours=n),
            )
            for n in range(times)
        )
        Lead.objects.filter(pk=lead.pk).update(engagement=times)
        make_transition(lead=lead, to="mql", at=NOW - timedelta(days=1))
    address = "/leads/{}/part/score/?reach=all&as_of=2026-02-01".format
    client.get(address(short.uid), **HTMX)

    counts = []
    for lead in (short, long):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(lead.uid), **HTMX).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 15


def test_a_count_says_when_the_first_of_them_expires(client, rep):
    make_version(scoring={"rules": RULES}, gates=[HOT])
    lead = record("VIEWED_PRICING", "VIEWED_PRICING", at=NOW - timedelta(days=6, hours=21))

    assert "2 of 3 in 7 days; the first of them expires 13:59 (in 2 h)" in page_of(client, lead)


def test_doing_nothing_costs_what_idle_rules_say(client, rep):
    idle = [{"key": "quiet", "name": "Quiet", "after": "10d", "every": "10d", "points": -5}]
    back = {"key": "back", "name": "Went quiet", "from": "cold", "to": "lost", "conditions": [{"idle_for": "20d"}]}
    make_version(scoring={"rules": RULES, "idle": idle}, gates=[HOT, back])

    page = ask(client, record("DOWNLOADED_DOCS"), days=25)

    assert "Nothing for 25 days: 20 becomes 10" in page
    assert "−10 Quiet: nothing done for long enough 2×" in page
    assert "From Cold to Closed lost Went quiet, 22 Feb (in 20 d)" in page


def test_whom_the_model_excludes_gets_no_points_and_is_told_why(client, rep):
    make_version(scoring={"rules": RULES, "exclude": [{"field": "lead.email", "op": "ends_with", "value": "@rival.example"}]}, gates=[HOT])

    page = page_of(client, record("DOWNLOADED_DOCS", email="x@rival.example", traits={"email": "x@rival.example"}))

    assert "Excluded from scoring because email ends with “@rival.example”" in page
    assert "excluded from scoring, else +20" in page
