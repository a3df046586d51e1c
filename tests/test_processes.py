"""Real processes: two workers on one hot lead, and workers killed in the middle of everything."""

import random
import threading
import time

import pytest

from tests.stack import Stack, running

PLAYBOOK = """
version: 1
topics: [{key: news, name: News}]
scoring:
  rules:
    - {key: viewed-pricing, name: Viewed pricing, event: VIEWED_PRICING, points: 1}
    - {key: signed-up, name: Signed up, event: SIGNED_UP, points: 5}
gates:
  - {key: interested, from: cold, to: mql, conditions: [{event: SIGNED_UP}]}
  - {key: hot, from: mql, to: sql, conditions: [{score: {at_least: 80}}]}
campaigns:
  - key: WELCOME
    name: Welcome
    class: product
    trigger: {event: SIGNED_UP}
    reentry: once
    exit_on_stage: false
    steps: [{key: hello, message: {subject: "Hello {{ lead.name | default: 'there' }}", body: "Welcome.\\n\\nYours"}}]
"""
BACKENDS = [pytest.param("sqlite", marks=pytest.mark.embedded), pytest.param("postgres", marks=pytest.mark.services)]


def event(user: str, number: int, kind: str = "VIEWED_PRICING") -> dict[str, object]:
    return {"userId": user, "email": f"{user}@example.com", "eventType": kind, "messageId": f"{user}-{number}"}


OPEN_WORK = "Delivery.objects.waiting().count() + Enrollment.objects.active().count() + Message.objects.open().count()"
COUNTS = """{
    'events': Event.objects.count(),
    'points': ScoreEntry.objects.aggregate(Sum('points'))['points__sum'],
    'columns': Lead.objects.aggregate(Sum('score'))['score__sum'],
    'at_sales': Transition.objects.filter(to_stage='sql').count(),
    'tasks': Task.objects.count(),
    'runs': Enrollment.objects.exclude(state='refused').count(),
    'messages': Message.objects.count(),
    'sent': Message.objects.filter(state='sent').count(),
    'unknown': Message.objects.filter(state='unknown').count(),
}"""


def finished(stack: Stack) -> None:
    """Wait until nothing is on its way any more."""
    stack.until(lambda: stack.ask(OPEN_WORK) == 0, seconds=150, what="every delivery, run and message has come to its end")


@pytest.mark.parametrize("backend", BACKENDS)
def test_four_hundred_events_of_one_lead_from_eight_posters_to_two_workers_lose_nothing(backend, tmp_path):
    with running(tmp_path, backend=backend, playbook=PLAYBOOK) as stack:
        stack.manage("shell", "--no-imports", "-c", "from tests.factories import make_rep; make_rep(username='rep')")
        messages = [event("hot", number, "SIGNED_UP" if number % 40 == 0 else "VIEWED_PRICING") for number in range(400)]

        receipts = stack.post_all(messages + messages[:50])
        finished(stack)

        counts = stack.ask(COUNTS)
        assert len(receipts) == 450
        assert counts["events"] == 400
        assert counts["points"] == counts["columns"] == 390 + 10 * 5
        assert (counts["at_sales"], counts["tasks"], counts["runs"]) == (1, 1, 1)
        assert [to for _, to in stack.sink.accepted if to == "hot@example.com"] == ["hot@example.com"]
        stack.manage("verify")


NAIVE = """
import threading
from django.db import connection
from leads.models import *
lead = Lead.objects.create(name='naive')
version = ScoringVersion.objects.first()
gate = threading.Barrier(8)
def add(poster):
    gate.wait()
    for n in range(50):
        now = Lead.objects.get(pk=lead.pk)
        now.engagement = now.engagement + 1
        ScoreEntry.objects.create(lead=lead, first_lead=lead, axis='engagement', kind='points', cause=f'naive:{poster}', rule='r', n=n + 1,
                                  raw=1, points=1, version=version, at=now.created_at)
        now.save(update_fields=['engagement'])
    connection.close()
threads = [threading.Thread(target=add, args=(poster,)) for poster in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_check_catches_a_naive_read_add_save(backend, tmp_path):
    with Stack(tmp_path, backend=backend) as stack:
        (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
        stack.manage("playbook", "apply", str(tmp_path / "playbook.yaml"), "--publish")

        stack.manage("shell", "--no-imports", "-c", NAIVE)

        counts = stack.ask(COUNTS)
        assert counts["points"] == 400
        assert counts["columns"] < 400
        with pytest.raises(AssertionError, match="ledger_sums_to_the_score"):
            stack.manage("verify")


def kill_now_and_then(stack: Stack, *, kills: int, seed: int) -> None:
    """SIGKILL the only worker at random moments while it works, and start the next one."""
    chance = random.Random(seed)
    for number in range(kills):
        time.sleep(chance.uniform(2.5, 4.5))
        stack.kill(f"worker{number}")
        stack.free_leases()
        stack.start(f"worker{number + 1}")


def survive(folder, *, backend: str, kills: int, seed: int = 1) -> dict[str, int]:
    """500 deliveries and 200 sends under `kills` kills of the worker; what was counted at the end."""
    with running(folder, backend=backend, playbook=PLAYBOOK, workers=1) as stack:
        messages = [event(f"user{number % 200}", number, "SIGNED_UP" if number < 200 else "VIEWED_PRICING") for number in range(500)]
        killer = threading.Thread(target=kill_now_and_then, args=(stack,), kwargs={"kills": kills, "seed": seed})
        killer.start()
        receipts = stack.post_all(messages, posters=2)
        killer.join()
        stack.free_leases()
        finished(stack)

        stack.manage("verify")
        twice = len(stack.sink.received_twice())
        return stack.ask(COUNTS) | {"receipts": len(receipts), "received": len(stack.sink.accepted), "received_twice": twice}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_worker_killed_five_times_loses_nothing_and_does_nothing_twice(backend, tmp_path):
    counts = survive(tmp_path, backend=backend, kills=5)

    assert counts["receipts"] == counts["events"] == 500
    assert counts["points"] == counts["columns"] == 200 * 5 + 300
    assert counts["messages"] == 200
    assert counts["sent"] + counts["unknown"] == 200
    assert counts["received_twice"] == 0
    assert counts["received"] >= counts["sent"]
    assert counts["unknown"] <= 5 * 3
