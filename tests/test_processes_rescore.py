"""Eight processes post a shuffled history while another version is published and history is scored again in the middle."""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.stack import ROOT, Stack, running

PLAYBOOK = """
version: 1
scoring:
  limits: {floor: 0, stop_above: 400, fit_max: 20}
  rules:
    - {key: viewed, event: VIEWED, points: 3, limit: {times: 3, per: day}, expires_after: 20d}
    - {key: read, event: READ, points: 5, expires_after: 10d}
    - {key: left, event: LEFT, reset: engagement}
    - {key: complained, event: COMPLAINED, points: -15}
  fit:
    - {key: cto, when: [{field: lead.title, op: has_word, value: CTO}], points: 15}
  idle:
    - {key: idle, after: 5d, every: 5d, points: -4}
gates:
  - {key: interested, from: cold, to: mql, conditions: [{event: READ, times: {at_least: 2}, within: 7d}]}
  - {key: hot, from: mql, to: sql, conditions: [{score: {at_least: 60}}]}
  - {key: signed, from: [mql, sql], to: won, match: all, conditions: [{event: SIGNED, of: company}, {event: PAID, of: company}]}
  - {key: quiet, from: mql, to: cold, conditions: [{idle_for: 25d}]}
"""
CHANGED = PLAYBOOK.replace("points: 3,", "points: 4,").replace("at_least: 60", "at_least: 50").replace("points: -4", "points: -2")
LEADS, EVENTS, POSTERS, BATCH = 50, 5_000, 8, 10
TYPES = ["VIEWED"] * 8 + ["READ"] * 5 + ["LOGGED_IN"] * 5 + ["COMPLAINED", "LEFT", "SIGNED", "PAID"]


def history(chance: random.Random) -> list[dict[str, object]]:
    """Events of 50 people at 10 companies over 60 days: a tenth comes twice, a fifth comes late, all of it shuffled a little."""
    now = datetime.now(UTC)
    messages: list[dict[str, object]] = []
    for number in range(EVENTS):
        who, at = number % LEADS, now - timedelta(days=60) + timedelta(days=59) * number / EVENTS
        message: dict[str, object] = {
            "userId": f"u{who}",
            "email": f"u{who}@firm{who % 10}.example",
            "eventType": chance.choice(TYPES),
            "messageId": f"m{number}",
            "timestamp": at.isoformat(),
        }
        if chance.random() < 0.1:
            message["traits"] = {"title": chance.choice(["CTO", "CEO"])}
        messages.append(message)
    places = [
        (n + (chance.randrange(EVENTS // 4) if chance.random() < 0.2 else chance.randrange(50)), message)
        for n, message in enumerate(messages)
    ]
    places += [(place + chance.randrange(200), message) for place, message in places if chance.random() < 0.1]
    return [message for _, message in sorted(places, key=lambda pair: pair[0])]


def start_posters(stack: Stack, messages: list[dict[str, object]]) -> list[subprocess.Popen[bytes]]:
    """Start processes that post the messages by turns."""
    batches = [messages[begin : begin + BATCH] for begin in range(0, len(messages), BATCH)]
    posters = []
    for number in range(POSTERS):
        file = stack.folder / f"poster{number}.json"
        file.write_text(json.dumps(batches[number::POSTERS]))
        command = [sys.executable, "-m", "tests.poster", str(stack.port), stack.key, str(file)]
        posters.append(subprocess.Popen(command, cwd=ROOT, env=stack.env))
    return posters


@pytest.mark.services
def test_a_rescore_in_the_middle_of_eight_posters_ends_where_a_rebuild_ends(tmp_path):
    with running(tmp_path, backend="postgres", playbook=PLAYBOOK) as stack:
        messages = history(random.Random(7))
        posters = start_posters(stack, messages)
        stack.until(lambda: stack.ask("Event.objects.count()") > EVENTS // 3, seconds=120, what="a third of the events is in")
        (tmp_path / "changed.yaml").write_text(CHANGED)
        stack.manage("playbook", "apply", str(tmp_path / "changed.yaml"), "--publish", "--rescore")
        assert [poster.wait() for poster in posters] == [0] * POSTERS
        open_work = "Delivery.objects.waiting().count() + Rescore.objects.exclude(state='done').count()"
        stack.until(lambda: stack.ask(open_work) == 0, seconds=180, what="everything is drained and scored again")
        stack.manage("tick")

        assert stack.ask("[Event.objects.count(), Lead.objects.current().count()]") == [EVENTS, LEADS]
        assert stack.ask("Event.objects.filter(model_version__number=1).count()") == 0
        assert stack.ask("Transition.objects.filter(to_stage='won').count()") > 0
        stack.manage("verify")
        assert "0 ledger lines appended" in stack.manage("rebuild", "--all")
        stack.manage("verify")
