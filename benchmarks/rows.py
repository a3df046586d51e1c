"""The rows: what is measured against what."""

import itertools
import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import msgspec
from django.core.management import call_command
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from benchmarks.measure import Row
from leads import engine, intake, publishing, scoring
from leads.documents import ModelDoc
from leads.models import Delivery, Event, Lead, ScoreEntry, ScoringVersion, Source, Stage

MODEL = {
    "scoring": {
        "rules": [
            {
                "key": "viewed-pricing",
                "name": "Viewed pricing",
                "event": "VIEWED_PRICING",
                "points": 10,
                "limit": {"times": 3, "per": "day"},
            },
            {"key": "downloaded", "name": "Downloaded", "event": "DOWNLOADED_API_DOCS", "points": 20, "expires_after": "90d"},
            {"key": "abandoned", "name": "Abandoned", "event": "ABANDONED_CHECKOUT", "points": 15},
        ],
        "limits": {"stop_above": 300},
    },
    "gates": [
        {"key": "in", "from": "cold", "to": "mql", "conditions": [{"event": "SIGNED_UP"}]},
        {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}]},
    ],
}
TYPES = ["VIEWED_PRICING", "DOWNLOADED_API_DOCS", "ABANDONED_CHECKOUT", "SIGNED_UP", "SOMETHING_ELSE"]
EVENT_COLUMNS = (
    "lead_id first_lead_id source_id message_id type properties traits identifies historical verdict "
    "content_digest at received_at model_version_id"
).split()
EVENTS = 1000
PEOPLE = 1000
serial = itertools.count(1)
source: Source


def prepare() -> None:
    """Make the tables, a model, a source and the people."""
    global source
    call_command("migrate", verbosity=0)
    publishing.replace_draft(msgspec.convert(MODEL, ModelDoc))
    publishing.publish()
    source, _ = Source.create_with_key("Benchmark", "server")
    deliver(size=100, count=PEOPLE)
    intake.drain_all()


def close() -> None:
    """Let go of the database."""
    connection.close()


def vendor() -> str:
    """The database it ran on."""
    return connection.vendor


def messages(count: int) -> list[dict[str, object]]:
    """Events of known people, all with ids of their own."""
    chance = random.Random(next(serial))
    return [
        {"userId": f"user{(n * 7) % PEOPLE}", "eventType": chance.choice(TYPES), "messageId": f"m{next(serial)}", "properties": {"n": n}}
        for n in range(count)
    ]


def deliver(*, size: int, count: int) -> None:
    """Fill the inbox with requests of `size` events."""
    batch = messages(count)
    Delivery.objects.bulk_create(
        Delivery(source=source, door="events", body=json.dumps(batch[n : n + size]).encode(), message_count=size)
        for n in range(0, count, size)
    )


def drain() -> int:
    """Drain what is there; the number of events."""
    intake.drain_all()
    return EVENTS


def raw_sql() -> int:
    """The same rows without our layer: lock, insert events and ledger lines, one grouped update, commit; 500 at a time."""
    version = ScoringVersion.objects.latest("number").pk
    pks = list(Lead.objects.filter(is_known=True).order_by("pk").values_list("pk", flat=True)[:PEOPLE])
    now = datetime.now(UTC)
    for begin in range(0, EVENTS, 500):
        people = [pks[(begin + n) % len(pks)] for n in range(500)]
        with transaction.atomic(), connection.cursor() as cursor:
            marks = ", ".join(["%s"] * len(people))
            lock = " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
            cursor.execute(f"SELECT id FROM leads_lead WHERE id IN ({marks}) ORDER BY id{lock}", people)
            insert(
                cursor,
                Event,
                EVENT_COLUMNS,
                [(p, p, source.pk, f"r{next(serial)}", "X", "{}", "{}", True, False, "", "0" * 32, now, now, version) for p in people],
            )
            insert(
                cursor,
                ScoreEntry,
                [
                    "lead_id",
                    "first_lead_id",
                    "axis",
                    "kind",
                    "cause",
                    "rule",
                    "n",
                    "raw",
                    "points",
                    "reason",
                    "version_id",
                    "at",
                    "recorded_at",
                ],
                [(p, p, "engagement", "points", f"raw:{next(serial)}", "r", 1, 0, 0, "", version, now, now) for p in people[:300]],
            )
            cursor.execute(f"UPDATE leads_lead SET engagement = engagement + 0 WHERE id IN ({marks})", people)
    return EVENTS


def insert(cursor: object, model: type, columns: list[str], rows: list[tuple[object, ...]]) -> None:
    """One INSERT of many rows."""
    line = "(" + ", ".join(["%s"] * len(columns)) + ")"
    sql = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES " + ", ".join([line] * len(rows))
    cursor.execute(sql, [value for row in rows for value in row])  # type: ignore[attr-defined]


# --- the engine alone ---------------------------------------------------------------------------
def some_facts(count: int) -> list[engine.Fact]:
    """Facts of one lead, a minute apart."""
    chance, version = random.Random(1), ScoringVersion.objects.latest("number").pk
    return [
        engine.Fact(n * 60_000_000, 1, f"k{n}", f"event:{n}", chance.choice(TYPES), {"n": n}, {}, version, identifies=True, counts=True)
        for n in range(count)
    ]


def fold_row() -> Row:
    """The pure fold against looking each fact's rule up and adding its points."""
    facts, model = some_facts(20_000), scoring.live_model()
    assert model is not None
    stages = [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.all()]
    points = {"VIEWED_PRICING": 10, "DOWNLOADED_API_DOCS": 20, "ABANDONED_CHECKOUT": 15}

    def ours() -> int:
        until = facts[-1].at
        engine.fold(engine.start(stages), facts, {model.version: model}, stages=stages, until=until, live=model.version)
        return len(facts)

    def limit() -> int:
        total = 0
        for fact in facts:
            total += points.get(fact.type, 0)
        return len(facts)

    return Row("pure fold ÷ bare look-up loop", 0.10, ours, limit)


# --- accepting ----------------------------------------------------------------------------------
def accept_row() -> Row:
    """Accepting one event against a view that does nothing, both called without a server between."""
    key = Source.create_with_key("Accepting", "server")[1]
    factory = RequestFactory(headers={"Authorization": f"Bearer {key}"})
    match = resolve("/api/events")
    view = partial(match.func, **match.kwargs)

    def empty(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"{}", content_type="application/json")

    def call(target: object) -> int:
        for message in messages(200):
            target(factory.post("/api/events", json.dumps(message), content_type="application/json"))  # type: ignore[operator]
        return 200

    return Row(
        "accept of one event ÷ empty view", 0.15, lambda: call(view), lambda: call(empty), before=lambda: Delivery.objects.all().delete()
    )


def all_rows() -> Iterator[Row]:
    """Every row, in the order they are printed."""
    yield fold_row()
    for size, goal in ((1, 0.60), (100, 0.65)):
        yield Row(
            f"inbox drain, {size} a request ÷ raw same SQL", goal, drain, raw_sql, before=lambda size=size: deliver(size=size, count=EVENTS)
        )
    yield accept_row()


def naive_control_is_caught() -> bool:
    """Add points by read, add, save from eight threads: the sum of the ledger must differ from the column."""
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
