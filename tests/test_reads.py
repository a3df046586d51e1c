"""The doors that tell of leads: where somebody stands, and how that came about."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from campaigns.models import Message
from leads.models import Event, Identity, Lead, ScoreEntry, ScoringVersion, Stage, Transition
from tests.factories import make_event, make_lead, make_rep, make_source

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def get(client):
    """Ask with a read key."""
    _, key = make_source(scope="read")
    return lambda path, **query: client.get(path, query, headers={"authorization": f"Bearer {key}"})


def ago(**parts):
    return NOW - timedelta(**parts)


def make_line(lead, points, *, at, axis="engagement", event=None, **fields):
    version, _ = ScoringVersion.objects.get_or_create(number=3, defaults={"document": {}})
    event = event or make_event(lead=lead, at=at)
    defaults = {"kind": "points", "cause": event.cause, "rule": "viewed-pricing", "raw": points, "version": version, "event": event}
    return ScoreEntry.objects.create(lead=lead, first_lead=lead, axis=axis, points=points, at=at, **(defaults | fields))


def make_move(lead, to, *, at, **fields):
    seq = lead.transitions.count() + 1
    return Transition.objects.create(
        lead=lead, seq=seq, from_stage_id=lead.stage_id, to_stage=Stage.objects.get(key=to), engagement=0, fit=0, at=at, **fields
    )


def make_history():
    """A lead that warmed up over ten days: 10 points, mql, 20 points and 5 for fit, sql."""
    lead = make_lead(email="jane@acme.io", name="Jane", title="CTO", traits={"plan": "pro"}, first_seen_at=ago(days=10))
    make_line(lead, 10, at=ago(days=9))
    make_line(lead, 20, at=ago(days=5))
    make_line(lead, 5, at=ago(days=5), axis="fit", kind="fit", rule="cto")
    for to, days in (("mql", 8), ("sql", 4)):
        move = make_move(lead, to, at=ago(days=days), gate=to)
        Lead.objects.filter(pk=lead.pk).update(stage=to, stage_since=move.at, stage_seq=move.seq, engagement=30, fit=5)
        lead.refresh_from_db()
    return lead


# --- one lead ---


def test_a_lead_is_found_by_every_key(get):
    lead = make_history()
    lead.owner = make_rep(username="rita")
    lead.save()
    for kind, value in (("user_id", "u-1"), ("user_id", "u-2"), ("anonymous_id", "a-1")):
        Identity.objects.create(kind=kind, value=value, lead=lead, first_lead=lead)

    body = get(f"/api/leads/{lead.uid}").json()

    assert body == {
        "uid": str(lead.uid),
        "email": "jane@acme.io",
        "name": "Jane",
        "stage": "sql",
        "stage_since": "2026-02-25T12:00:00.123456Z",
        "score": 35,
        "engagement": 30,
        "fit": 5,
        "owner": "rita",
        "excluded": False,
        "identities": {"user_id": ["u-1", "u-2"], "anonymous_id": ["a-1"]},
        "traits": {"plan": "pro", "title": "CTO"},
    }
    for query in ({"email": "Jane@Acme.io"}, {"user_id": "u-2"}, {"anonymous_id": "a-1"}):
        assert get("/api/leads", **query).json() == {"results": [body], "next": None}
        assert get("/api/leads/", **query).json() == {"results": [body], "next": None}


def test_nobody_is_an_empty_list(get):
    assert get("/api/leads", email="nobody@acme.io").json() == {"results": [], "next": None}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "required"),
        ({"email": "a@b.io", "user_id": "u"}, "required"),
        ({"name": "Jane"}, "required"),
        ({"email": "a\x00b"}, "invalid_character"),
        ({"email": "a@b.io", "as_of": "2026-03-01"}, "invalid_datetime"),
        ({"email": "a@b.io", "as_of": "2026-03-01T12:00:01Z"}, "as_of_in_future"),
    ],
)
def test_a_bad_question_is_400(get, query, code):
    response = get("/api/leads", **query)

    assert response.status_code == 400
    assert set(response.json()) == {"code", "message"}
    assert response.json()["code"] == code


def test_an_unknown_lead_is_404(get):
    for path in ("", "/ledger", "/events", "/transitions", "/messages"):
        response = get(f"/api/leads/00000000-0000-4000-8000-000000000000{path}")

        assert response.status_code == 404
        assert response.json()["code"] == "not_found"


def test_a_merged_lead_leads_to_its_survivor(get):
    last = make_lead(name="Last")
    middle = make_lead(merged_into=last)
    first = make_lead(merged_into=middle)

    assert get(f"/api/leads/{first.uid}").json()["uid"] == str(last.uid)


@pytest.mark.parametrize("scope", ["server", "browser"])
def test_only_a_read_key_reads(client, scope):
    lead = make_lead()
    _, key = make_source(scope=scope)

    for path in ("", f"/{lead.uid}", f"/{lead.uid}/ledger", f"/{lead.uid}/events", f"/{lead.uid}/transitions", f"/{lead.uid}/messages"):
        refused = client.get(f"/api/leads{path}", headers={"authorization": f"Bearer {key}"})
        nobody = client.get(f"/api/leads{path}")

        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert (nobody.status_code, nobody.json()["code"]) == (401, "invalid_credentials")


def test_reading_is_get_only(get, client):
    assert client.post("/api/leads").status_code == 405
    assert client.options("/api/leads").status_code == 405


# --- as of ---


@pytest.mark.parametrize(
    ("days", "stage", "since", "engagement", "fit"),
    [
        (11, "cold", 10, 0, 0),
        (9, "cold", 10, 10, 0),
        (8, "mql", 8, 10, 0),
        (5, "mql", 8, 30, 5),
        (4, "sql", 4, 30, 5),
        (0, "sql", 4, 30, 5),
    ],
)
def test_as_of_tells_how_it_stood_then(get, days, stage, since, engagement, fit):
    lead = make_history()

    body = get(f"/api/leads/{lead.uid}", as_of=ago(days=days).isoformat()).json()

    assert body["stage"] == stage
    assert body["stage_since"] == ago(days=since).isoformat().replace("+00:00", "Z")
    assert (body["engagement"], body["fit"], body["score"]) == (engagement, fit, engagement + fit)
    assert get("/api/leads", email="jane@acme.io", as_of=ago(days=days).isoformat()).json()["results"] == [body]


def test_as_of_is_exact_to_the_microsecond_and_forgives_an_unescaped_plus(get):
    lead = make_history()
    before = ago(days=9) - timedelta(microseconds=1)

    assert get(f"/api/leads/{lead.uid}", as_of=before.isoformat().replace("+", " ")).json()["engagement"] == 0
    assert get(f"/api/leads/{lead.uid}", as_of=ago(days=9).isoformat().replace("+", " ")).json()["engagement"] == 10


def test_a_lead_that_never_moved_has_always_stood_there(get):
    lead = make_lead(stage_since=ago(days=3))

    body = get(f"/api/leads/{lead.uid}", as_of=ago(days=1).isoformat()).json()

    assert (body["stage"], body["stage_since"], body["score"]) == ("cold", "2026-02-26T12:00:00.123456Z", 0)


# --- lists ---


def test_the_ledger_explains_every_point(get):
    lead = make_history()
    clicked = make_event(lead=lead, type="EMAIL_CLICKED", message_id="click-1", at=ago(days=1))
    make_line(lead, 0, at=ago(days=1), event=clicked, raw=2, rule="clicked", reason="limit: 1 per day")
    make_line(lead, -10, at=ago(hours=1), kind="expiry", cause="expiry:event:1", rule="viewed-pricing")
    ScoreEntry.objects.filter(kind="expiry").update(event=None)

    body = get(f"/api/leads/{lead.uid}/ledger").json()

    assert body["next"] is None
    assert [line["points"] for line in body["results"]] == [-10, 0, 5, 20, 10]
    assert body["results"][0]["event"] is None
    assert body["results"][1] == {
        "at": "2026-02-28T12:00:00.123456Z",
        "axis": "engagement",
        "points": 0,
        "raw": 2,
        "rule": "clicked",
        "version": 3,
        "event": "click-1",
        "kind": "points",
        "reason": "limit: 1 per day",
    }


def test_events_are_told_as_they_were_stored(get):
    lead = make_lead()
    source, _ = make_source(name="website")
    properties = {"big": 10**29, "text": "\ufffd ü", "n": 1.5}
    make_event(lead=lead, type="VIEWED", message_id="m-1", source=source, properties=properties, at=ago(days=1), received_at=NOW)

    assert get(f"/api/leads/{lead.uid}/events").json()["results"] == [
        {
            "messageId": "m-1",
            "type": "VIEWED",
            "properties": properties,
            "at": "2026-02-28T12:00:00.123456Z",
            "received_at": "2026-03-01T12:00:00.123456Z",
            "source": "website",
        }
    ]


def test_transitions_say_why_and_who(get):
    lead = make_lead()
    asked = make_event(lead=lead, message_id="m-1", at=ago(days=2))
    make_move(lead, "mql", at=ago(days=2), gate="warm", event=asked, recorded_at=NOW)
    make_move(lead, "lost", at=ago(days=1), actor=make_rep(username="rita"), recorded_at=NOW)

    by_hand, by_gate = get(f"/api/leads/{lead.uid}/transitions").json()["results"]

    assert by_gate == {
        "at": "2026-02-27T12:00:00.123456Z",
        "recorded_at": "2026-03-01T12:00:00.123456Z",
        "from": "cold",
        "to": "mql",
        "gate": "warm",
        "event": "m-1",
        "actor": None,
        "reason": None,
    }
    assert (by_hand["gate"], by_hand["event"], by_hand["actor"]) == (None, None, "rita")


def test_messages_tell_what_was_sent_and_what_was_not(get):
    lead = make_lead()
    Message.objects.create(lead=lead, first_lead=lead, step="welcome", due_at=NOW, state="skipped", reason="no_consent", subject="Hi")

    assert get(f"/api/leads/{lead.uid}/messages").json() == {
        "results": [
            {
                "campaign": None,
                "step": "welcome",
                "channel": "email",
                "state": "skipped",
                "due_at": "2026-03-01T12:00:00.123456Z",
                "sent_at": None,
                "subject": "Hi",
                "reason": "no_consent",
            }
        ],
        "next": None,
    }


def test_pages_follow_each_other_without_gaps_or_repeats(get):
    lead = make_lead()
    for number in range(7):
        make_event(lead=lead, message_id=str(number), at=ago(days=number // 3))
    path = f"/api/leads/{lead.uid}/events"
    seen, cursor = [], None

    while True:
        body = get(path, limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [row["messageId"] for row in body["results"]]
        make_event(lead=lead, at=NOW)  # what is new does not move the pages
        cursor = body["next"]
        if not cursor:
            break

    assert seen == ["2", "1", "0", "5", "4", "3", "6"]


@pytest.mark.parametrize(
    "cursor", ["x", "!!", "MTow", "MTotMQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6MQ", "MTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "é"]
)
def test_a_made_up_cursor_is_400(get, cursor):
    response = get(f"/api/leads/{make_lead().uid}/ledger", cursor=cursor)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e3", "²"])
def test_a_page_has_1_to_200_rows(get, limit):
    response = get(f"/api/leads/{make_lead().uid}/ledger", limit=limit)

    assert (response.status_code, response.json()["code"]) == (400, "invalid_limit")


def test_a_list_costs_the_same_however_long_it_is(get, django_assert_max_num_queries):
    lead = make_history()
    get(f"/api/leads/{lead.uid}")
    for number in range(30):
        make_line(lead, 1, at=ago(minutes=number))

    with django_assert_max_num_queries(2):
        assert len(get(f"/api/leads/{lead.uid}/ledger").json()["results"]) == 33
    assert Event.objects.count() == 33
