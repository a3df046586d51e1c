"""Forty days of everything at once: late facts, merges, hand moves, expiries, a publication half-way; in the end all adds up."""

import json
import random
from datetime import timedelta

import msgspec
import pytest
import time_machine
from django.utils import timezone

from crm.refolding import rebuild, rebuildable
from crm.verify import verify
from leads import gates, intake, notifications, publishing, scoring
from leads.documents import ModelDoc
from leads.models import Delivery, Lead, Stage
from tests.factories import make_rep, make_source

pytestmark = pytest.mark.django_db


def model(more):
    return {
        "scoring": {
            "rules": [
                {"key": "viewed", "event": "A", "points": 10 + more, "limit": {"times": 3, "per": "day"}, "expires_after": "5d"},
                {"key": "docs", "event": "B", "points": 20, "expires_after": "3d"},
                {"key": "left", "event": "C", "points": -15},
            ],
            "limits": {"floor": 0, "stop_above": 90, "fit_max": 20},
            "fit": [
                {"key": "cto", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15},
                {"key": "seats", "when": [{"field": "lead.traits.seats", "op": "gt", "value": 5}], "points": 15},
                {"key": "big", "when": [{"field": "company.employees", "op": "gt", "value": 5}], "points": 4},
            ],
        },
        "gates": [
            {
                "key": "interested",
                "from": "cold",
                "to": "mql",
                "conditions": [{"event": "A"}, {"event": "B", "times": {"at_least": 2}, "within": "2d"}],
            },
            {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 60 - more}}]},
            {"key": "cool", "from": "sql", "to": "lost", "conditions": [{"event": "A", "times": {"at_most": 0}, "within": "3d"}]},
        ],
    }


def publish(more):
    publishing.replace_draft(msgspec.convert(model(more), ModelDoc))
    publishing.publish()


def some_message(chance, now):
    message = {
        "eventType": chance.choice("ABBCD"),
        "timestamp": (now - timedelta(hours=chance.choice([0, 0, 0, 1, 30, 100]))).isoformat(),
    }
    who = chance.random()
    if who < 0.6:
        message["userId"] = chance.choice(["u1", "u2", "u3"])
    if who > 0.4:
        message["anonymousId"] = chance.choice(["a1", "a2", "a3"])
    if chance.random() < 0.1 and "userId" in message:
        message["email"] = message["userId"] + "@example.com"
    if chance.random() < 0.3:
        message["traits"] = {"title": chance.choice(["CTO", "CEO"]), "seats": chance.randint(1, 9)}
    if chance.random() < 0.3:
        about = {"employees": chance.choice([None, 1, 9])} | chance.choice([{}, {}, {"id": "c1"}, {"id": "c2"}, {"domain": "c2.example"}])
        message.setdefault("traits", {})["company"] = about
    return message


def some_hand_move(chance, rep):
    leads = list(Lead.objects.known().order_by("pk"))
    if leads:
        lead = chance.choice(leads)
        gates.move_by_hand(lead, chance.choice(list(Stage.objects.exclude(key=lead.stage_id))), by_user=rep)


def broken():
    return {finding.invariant.name: finding.rows[:4] for finding in verify() if finding.broken}


@pytest.mark.parametrize("seed", range(12))
def test_live_is_what_a_rebuild_gives(seed):
    chance = random.Random(seed)
    rep, (source, _) = make_rep(), make_source()
    publish(0)
    now = timezone.now() - timedelta(days=40)
    for step in range(60):
        now += timedelta(hours=chance.random() * 20)
        with time_machine.travel(now, tick=False):
            messages = [some_message(chance, now) for _ in range(chance.randint(1, 4))]
            body = json.dumps(messages).encode()
            Delivery.objects.create(source=source, door="events", body=body, message_count=len(messages))
            if chance.random() < 0.6:
                intake.drain_all()
            if chance.random() < 0.2:
                scoring.apply_all_due()
            if chance.random() < 0.1:
                some_hand_move(chance, rep)
            if step == 30:
                publish(5)
    intake.drain_all()
    notifications.send_all_due()
    assert broken() == {}

    scoring.apply_all_due()
    assert sum(lines for _, lines in rebuild(rebuildable())) == 0
    assert broken() == {}
