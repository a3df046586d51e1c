"""A re-score in real processes: the worker is killed in the middle, again and again, and nothing is lost or done twice."""

import pytest

from tests.stack import Stack, running

PLAYBOOK = """
version: 1
topics: [{{key: news, name: News}}]
scoring:
  rules:
    - {{key: viewed-pricing, name: Viewed pricing, event: VIEWED_PRICING, points: {points}}}
    - {{key: signed-up, name: Signed up, event: SIGNED_UP, points: 5}}
gates:
  - {{key: interested, from: cold, to: mql, conditions: [{{event: SIGNED_UP}}]}}
  - {{key: hot, from: mql, to: sql, conditions: [{{score: {{at_least: 80}}}}]}}
campaigns:
  - key: HOT
    name: Hot
    class: product
    trigger: {{stage: sql}}
    exit_on_stage: false
    steps: [{{key: hello, message: {{subject: Hello, body: Welcome}}}}]
"""
BACKENDS = [pytest.param("sqlite", marks=pytest.mark.embedded), pytest.param("postgres", marks=pytest.mark.services)]
PEOPLE, KILLS = 1000, 2
JOB = "list(Rescore.objects.values_list('state', 'done').latest('pk'))"
COUNTS = """{
    'scores': sorted(Lead.objects.values_list('score', flat=True).distinct()),
    'stages': sorted(Lead.objects.values_list('stage', flat=True).distinct()),
    'corrections': ScoreEntry.objects.filter(n=2).count(),
    'more': ScoreEntry.objects.filter(n__gt=2).count(),
    'moves': Transition.objects.filter(to_stage='sql').count(),
    'tasks': Task.objects.count(),
    'messages': Message.objects.count(),
    'told': list(Notification.objects.values_list('channel', 'title')),
    'pins': Event.objects.exclude(model_version__number=2).count(),
    'job': list(Rescore.objects.filter(version__number=2).values_list('state', 'done', 'changed', 'moved')),
}"""


def post_people(stack: Stack) -> None:
    """Everybody signs up and looks at the prices once."""
    for start in range(0, PEOPLE, 250):
        batch = []
        for number in range(start, start + 250):
            who = {"userId": f"u{number}", "email": f"u{number}@firm{number}.example"}
            batch += [who | {"eventType": kind, "messageId": f"{kind}-{number}"} for kind in ("SIGNED_UP", "VIEWED_PRICING")]
        assert stack.request("POST", "/api/events", batch)[0] == 200
    stack.until(lambda: stack.ask("Event.objects.count()") == 2 * PEOPLE, seconds=120, what="everything is recorded")
    stack.until(lambda: stack.ask("Delivery.objects.waiting().count()") == 0, seconds=60, what="everything is scored")


def kill_in_the_middle(stack: Stack) -> list[int]:
    """Kill the only worker each time it has done some more; how far the job was at each kill."""
    reached = [0]
    for number in range(KILLS):
        stack.until(lambda: stack.ask(JOB)[1] > reached[-1], seconds=60, what="the job goes on")
        stack.kill(f"worker{number}")
        reached.append(stack.ask(JOB)[1])
        stack.free_leases()
        stack.start(f"worker{number + 1}")
    return reached[1:]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rescore_whose_worker_is_killed_again_and_again_ends_verified(backend, tmp_path):
    with running(tmp_path, backend=backend, playbook=PLAYBOOK.format(points=1), workers=1) as stack:
        stack.manage("shell", "--no-imports", "-c", "from tests.factories import make_rep; make_rep(username='rep')")
        post_people(stack)
        (tmp_path / "playbook.yaml").write_text(PLAYBOOK.format(points=90))

        stack.manage("playbook", "apply", str(tmp_path / "playbook.yaml"), "--publish", "--rescore", "--move-anyway")
        reached = kill_in_the_middle(stack)
        stack.until(lambda: stack.ask(JOB)[0] == "done", seconds=120, what="the job is done")

        assert 0 < reached[0] < PEOPLE
        assert stack.ask(COUNTS) == {
            "scores": [95],
            "stages": ["sql"],
            "corrections": PEOPLE,
            "more": 0,
            "moves": PEOPLE,
            "tasks": PEOPLE,
            "messages": 0,
            "told": [["in_app", f"Re-score to Version 2: {PEOPLE} leads of yours are ready for sales"]],
            "pins": 0,
            "job": [["done", PEOPLE, PEOPLE, PEOPLE]],
        }
        assert stack.sink.accepted == []
        stack.manage("verify")
