"""Some weeks of everything at once, for tests that compare what was foretold with what then happens."""

import json
import random
from datetime import timedelta

import msgspec
import time_machine
from django.utils import timezone

from leads import gates, intake, publishing, scoring, tasks, whatif
from leads.documents import ModelDoc
from leads.models import Delivery, Lead, Stage, WhatIf
from tests.factories import make_rep, make_source

STAGES_FORTH = ["mql", "sql", "won", "lost", "cold"]


def model(**changes):
    """A document with some of everything; `changes` replace parts of `scoring`, or `gates`."""
    gates_ = changes.pop("gates", None)
    scoring_ = {
        "rules": [
            {"key": "viewed", "name": "Viewed", "event": "A", "points": 10, "limit": {"times": 3, "per": "day"}, "expires_after": "5d"},
            {"key": "docs", "event": "B", "points": 20, "expires_after": "3d"},
            {"key": "left", "event": "C", "points": -15},
        ],
        "limits": {"floor": 0, "stop_above": 90, "fit_max": 20},
        "fit": [{"key": "cto", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15}],
    }
    return {
        "scoring": scoring_ | changes,
        "gates": gates_
        or [
            {
                "key": "interested",
                "from": "cold",
                "to": "mql",
                "conditions": [{"event": "A"}, {"event": "B", "times": {"at_least": 2}, "within": "2d"}],
            },
            {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 50}}]},
            {"key": "bought", "from": "sql", "to": "won", "conditions": [{"event": "D", "times": {"at_least": 2}}]},
        ],
    }


BIG = {"field": "company.employees", "op": "gt", "value": 5}
# Each differs from `model()` in another way.
DRAFTS = {
    "points": model(
        rules=[{"key": "viewed", "event": "A", "points": 35}, {"key": "docs", "event": "B", "points": 5, "expires_after": "20d"}]
    ),
    "gates": model(
        gates=[{"key": "any", "from": ["cold", "mql"], "to": "sql", "conditions": [{"event": "D"}, {"score": {"at_least": 20}}]}]
    ),
    "exclude": model(exclude=[{"field": "lead.email", "op": "starts_with", "value": "u1"}]),
    "idle and reset": model(
        idle=[{"key": "quiet", "after": "2d", "every": "2d", "points": -3}],
        rules=[{"key": "viewed", "event": "A", "points": 10}, {"key": "gone", "event": "C", "reset": "engagement"}],
    ),
    "company": model(
        gates=[
            {"key": "team", "from": "cold", "to": "mql", "conditions": [{"event": "A", "of": "company", "times": {"at_least": 3}}]},
            {"key": "still", "from": "mql", "to": "lost", "conditions": [{"idle_for": "4d"}]},
            {"key": "big", "from": "mql", "to": "sql", "match": "all", "conditions": [BIG, {"in_stage_for": "1d"}]},
        ],
        fit=[{"key": "big", "when": [BIG], "points": 6}],
    ),
}


def write_draft(document):
    """Make the draft say this."""
    publishing.replace_draft(msgspec.convert(document, ModelDoc))


def live_through(seed, *, days=30, steps=40):
    """Some people, their events (late ones too), hand moves and a second version on the way; up to now."""
    chance = random.Random(seed)
    rep, (source, _) = make_rep(), make_source()
    now = timezone.now() - timedelta(days=days)
    for step in range(steps):
        if step in (0, steps // 2):
            with time_machine.travel(now, tick=False):
                write_draft(model() if step else model(fit=[]))
                publish_from_now_on()
        now = min(now + timedelta(hours=chance.random() * 2 * 24 * days / steps), timezone.now())
        with time_machine.travel(now, tick=False):
            body = json.dumps([some_message(chance, now) for _ in range(chance.randint(1, 5))]).encode()
            Delivery.objects.create(source=source, door="events", body=body, message_count=1)
            intake.drain_all()
            if chance.random() < 0.15:
                move_somebody(chance, rep)
    scoring.apply_all_due()


def some_message(chance, now):
    """Somebody of ten people did one of four things, now or some hours ago."""
    hours = chance.choice([0, 0, 0, 1, 30, 100])
    user = f"u{chance.randint(1, 10)}"
    message = {"eventType": chance.choice("AAABBBBCCD"), "timestamp": (now - timedelta(hours=hours)).isoformat()}
    message |= {"anonymousId": "a1"} if chance.random() < 0.1 else {"userId": user}
    if chance.random() < 0.3 and "userId" in message:
        message["email"] = f"{user}@acme.example"
        message["traits"] = {"title": chance.choice(["CTO", "CEO"]), "company": {"employees": chance.choice([1, 9])}}
    return message


def move_somebody(chance, rep):
    """A colleague moves a lead, and sometimes takes it back."""
    leads = list(Lead.objects.known().order_by("pk"))
    if leads:
        lead = chance.choice(leads)
        moved = gates.move_by_hand(
            lead, Stage.objects.get(key=chance.choice([key for key in STAGES_FORTH if key != lead.stage_id])), by_user=rep
        )
        if chance.random() < 0.3:
            lead.refresh_from_db()
            if lead.stage_seq == moved.seq:
                gates.undo_move(moved, by_user=rep)


def publish_with_rescore():
    """Publish the draft for the past too, and let the workers score everything anew."""
    publishing.publish(rescore=True)
    tasks.advance_rescores()


def publish_from_now_on():
    """Publish the draft, and let the workers look at everybody."""
    publishing.publish()
    tasks.advance_rescores()


def standing():
    """Score and stage of everybody, by id."""
    return {pk: (score, stage) for pk, score, stage in Lead.objects.current().values_list("pk", "score", "stage_id")}


def left_by_the_killed(what_if, going_on, found):
    """State and leads done of a what-if whose worker was killed after its first chunk, while nobody may take it over yet; now they may."""
    token, _ = WhatIf.objects.due(timezone.now()).claim(1)
    whatif.save(what_if, token, done=what_if.done + next(going_on), result=msgspec.to_builtins(found))
    tasks.run_what_ifs()
    what_if.refresh_from_db()
    WhatIf.objects.update(lease_until=timezone.now() - timedelta(days=999))
    return what_if.state, what_if.done
