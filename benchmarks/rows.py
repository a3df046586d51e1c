"""The rows: what is measured, and against what."""

import copy
import io
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from benchmarks import raw, world
from benchmarks.measure import Row
from crm import refolding
from leads import engine, intake, scoring, whatif
from leads.fold_jobs import plan_jobs, stage_infos, versions_of
from leads.models import Delivery, Event, Lead, Source
from leads.versions_in_force import read_versions

FACTS = 20_000
REQUESTS = 200
# For `rebuild` and what-if: so many leads with so many facts each.
VETERANS, THEIR_FACTS = 200, 100


def all_rows() -> Iterator[Row]:
    """Every row, in the order they are printed; each makes what it needs when it is its turn."""
    yield fold_row()
    yield rebuild_row()
    yield what_if_row()
    yield drain_row(1, goal_on_postgresql=0.60)
    yield drain_row(100, goal_on_postgresql=0.65)
    yield accept_row()
    yield hot_lead_row()


# --- the engine alone -----------------------------------------------------------------------------


def some_facts(count: int) -> list[engine.Fact]:
    """Facts of one lead, a minute apart."""
    chance, model = random.Random(1), scoring.live_model()
    assert model is not None
    facts = []
    for n in range(count):
        properties = {"path": chance.choice(["/pricing", "/docs", "/"]), "plan": "team", "seats": chance.randint(1, 99)}
        kind = chance.choice(world.TYPES)
        facts.append(
            engine.Fact(n * 60_000_000, 1, f"m{n}", f"event:{n}", kind, properties, {}, model.version, identifies=True, counts=True)
        )
    return facts


def look_up(facts: list[engine.Fact], rules: dict[str, tuple[tuple[str, int], ...]]) -> int:
    """What every fold has to do at least: look up the fact's rules, add points, append a line for each."""
    lines: list[tuple[Any, ...]] = []
    engagement = 0
    for fact in facts:
        for key, points in rules.get(fact.type, ()):
            engagement += points
            lines.append((fact.at, "engagement", "points", fact.cause, key, points, points, "", fact.version))
    return len(facts)


def fold_row() -> Row:
    """The engine without a database, on one lead with every feature in its model, against a bare loop over the same facts.

    The loop knows no conditions, limits, expiry, fit, idleness, exclusion, counters, gates or time.
    """
    facts, model, stages = some_facts(FACTS), scoring.live_model(), stage_infos()
    assert model is not None
    rules = {kind: tuple((rule.key, rule.points) for rule in found) for kind, found in model.rules.items()}

    def ours() -> int:
        engine.fold(engine.start(stages), facts, {model.version: model}, stages=stages, until=facts[-1].at, live=model.version)
        return len(facts)

    def limit() -> int:  # many times: it takes so little that a glance of the scheduler elsewhere would decide
        return sum(look_up(facts, rules) for _ in range(20))

    return Row("pure fold ÷ bare look-up loop", 0.10, ours, limit)


def veterans() -> list[int]:
    """Ids of people at companies with a history of some length; made when there are none yet."""
    users = world.people("veteran", VETERANS)
    leads = Lead.objects.filter(identities__value__in=users).order_by("pk")
    chance = random.Random(2)
    while Event.objects.filter(lead__in=leads).count() < VETERANS * THEIR_FACTS:
        world.deliver([world.message(user, chance.choice(world.TYPES)) for user in users for _ in range(10)], size=500)
        intake.drain_all()
    return list(leads.values_list("pk", flat=True))


def folding_of(pks: list[int], *documents: dict[str, Any]) -> Callable[[], int]:
    """Folds all facts of these leads, loaded before, in memory, and again under each of the documents; returns how many facts that are."""
    versions, stages = read_versions(), stage_infos()
    leads = Lead.objects.select_related("company").in_bulk(pks)
    jobs = plan_jobs(leads, versions, stages, again=set(pks)).jobs
    models = versions.models(versions_of(jobs))
    worlds = [models, *({pk: engine.compile_model(document, pk) for pk in models} for document in documents)]

    def fold() -> int:
        for world_ in worlds:
            for job in jobs:
                job.fold(versions, world_, stages, now=timezone.now())
        return sum(len(job.facts) for job in jobs)

    return fold


def rebuild_row() -> Row:
    """`manage.py rebuild` of leads whose ledgers are right, from rows to rows, against folding the same facts in memory.

    It locks, loads events, their ledgers and the facts of colleagues, decodes JSON, folds, compares, and writes states and leads.
    """
    pks = veterans()
    fold = folding_of(pks)
    total = fold()

    def ours() -> int:
        for _ in refolding.rebuild(pks):
            pass
        return total

    return Row("rebuild ÷ pure fold of the same facts", 0.3, ours, fold)


def what_if_row() -> Row:
    """A what-if over 30 days, as the worker computes it, against folding the same facts in memory under both models, once each.

    It reads the histories, folds them as publishing would, replays the moves of these days from where each lead stood, and compares lines.
    """
    pks = veterans()
    tried = copy.deepcopy(world.MODEL)
    tried["scoring"]["rules"][0]["points"] = 12
    fold = folding_of(pks, tried)
    total = fold()

    def ours() -> int:
        tally = whatif.begin(30)
        tally.next_lead = pks[0] - 1
        for _ in whatif.compare(tried, tally):
            pass
        return total

    return Row("what-if ÷ pure fold under both models", 0.4, ours, fold)


# --- the drain ------------------------------------------------------------------------------------


def drain() -> int:
    """Drain what is there; the number of events."""
    intake.drain_all()
    return world.EVENTS


def drain_row(size: int, *, goal_on_postgresql: float) -> Row:
    """Draining requests with `size` events, every feature in the model, against `benchmarks.raw`: the same rows by the driver alone.

    On SQLite there is no goal: it writes the rows inside this process, in a third of the time, and what a drain does besides
    weighs three times as much.
    """
    goal = goal_on_postgresql if connection.vendor == "postgresql" else None
    users = world.people("user", world.EVENTS)
    written = raw.Written()

    def before_ours() -> None:
        world.deliver(world.messages(users), size=size)

    def before_limit() -> None:
        nonlocal written
        newest = Delivery.objects.order_by("-pk").values_list("pk", flat=True)
        written = raw.read_written(list(newest[: -(-len(users) // size)]))

    def limit() -> int:
        return raw.write_again(written)

    def after() -> None:
        raw.remove(written)

    return Row(f"inbox drain, {size} a request ÷ raw same SQL", goal, drain, limit, before_ours, before_limit, after)


def hot_lead_row() -> Row:
    """As many events about one lead as about many different ones: a busy lead must not slow the inbox down.

    Both are people without a company, or each of their events might concern colleagues.
    """
    crowd = world.crowd(world.CROWD)
    chance = random.Random(3)

    def fill(users: list[str]) -> Callable[[], None]:
        return lambda: world.deliver(world.messages(users), size=100)

    def before_limit() -> None:
        fill(chance.sample(crowd[1:], world.EVENTS))()

    return Row("one hot lead ÷ 10,000 leads", 0.7, drain, drain, fill(crowd[:1] * world.EVENTS), before_limit)


# --- accepting ------------------------------------------------------------------------------------


def accept_row() -> Row:
    """One event posted through WSGI, every middleware and the real view, stored and committed, against a view that does nothing.

    No server stands between; both requests are the same bytes for the same stack.
    """
    key = Source.create_with_key("Accepting", "server")[1]
    with override_settings(ROOT_URLCONF="benchmarks.urls"):
        handler = WSGIHandler()

    def post(path: str) -> int:
        with override_settings(ROOT_URLCONF="benchmarks.urls"):
            for message in (world.message("user1", "VIEWED_PRICING") for _ in range(REQUESTS)):
                assert call(handler, path, json.dumps(message).encode(), key) == "200 OK"
        return REQUESTS

    def empty_inbox() -> None:
        Delivery.objects.filter(source__name="Accepting").delete()

    return Row("accept of one event ÷ empty view", 0.15, lambda: post("/api/events"), lambda: post("/api/empty"), empty_inbox)


def call(handler: WSGIHandler, path: str, body: bytes, key: str) -> str:
    """One request, as a server makes it; its status line."""
    told = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "SERVER_NAME": settings.ALLOWED_HOSTS[0],
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http",
    }
    response = handler(environ, lambda status, headers, *_: told.append(status))
    b"".join(response)
    response.close()
    return str(told[0])


# --- the control ----------------------------------------------------------------------------------


def naive_control_is_caught() -> bool:
    """Add points by read, add, save from eight threads: that some get lost shows that the check of sums can fail."""
    lead = Lead.objects.create(name="Naive")
    start = threading.Barrier(8)

    def add() -> None:
        start.wait()
        for _ in range(25):
            read = Lead.objects.get(pk=lead.pk)
            read.engagement += 1
            read.save(update_fields=["engagement"])
        connection.close()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Lead.objects.get(pk=lead.pk).engagement != 8 * 25
