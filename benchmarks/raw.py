"""The limit of a drain: the rows that one wrote, written once more by the database driver alone.

No Django, no parsing, no rules, no looking up of people: what is left is what a database and its driver
must do for such rows, 500 events in a transaction: lock the leads; insert the events and read their ids;
insert as many ledger lines; replace as many states of the same size; update the leads; close the
deliveries; commit. PostgreSQL gets one array for each column and prepared statements, SQLite `executemany`.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from django.db import connection, models, transaction

from benchmarks.world import serial
from leads.models import Delivery, Event, FoldState, Lead, ScoreEntry

AT_ONCE = 500
EVENT = "lead_id first_lead_id source_id message_id type properties traits identifies historical verdict content_digest".split()
EVENT += "model_version_id delivery_id at received_at".split()
LINE = "lead_id first_lead_id axis kind cause rule n raw points reason version_id event_id at recorded_at".split()
STATE = ["state", "version_id", "due_at", "again", "error", "traceback", "failed_at"]
LEAD = ["engagement", "fit", "last_event_at", "last_event_type"]
DELIVERY = ["state", "processed_at", "stored", "duplicates", "rejected", "claim_token", "lease_until", "claim_count"]


@dataclass
class Written:
    """What a drain wrote, as plain values; the ids of events and deliveries are replaced when it is written again."""

    events: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # event → its ledger lines
    states: dict[int, list[Any]] = field(default_factory=dict)
    leads: dict[int, list[Any]] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)  # the drain's delivery → a copy of it that waits


def read_written(pks: Sequence[int]) -> Written:
    """What the drain of these deliveries wrote, and a waiting copy of each of them to close."""
    written = Written(deliveries=copy_deliveries(pks))
    written.events = list(Event.objects.filter(delivery__in=pks).order_by("pk").values("pk", *EVENT))
    for line in ScoreEntry.objects.filter(event__delivery__in=pks).order_by("pk").values(*LINE):
        written.lines.setdefault(line["event_id"], []).append(line)
    people = {event["lead_id"] for event in written.events}
    for pk, *values in FoldState.objects.filter(pk__in=people).values_list("pk", *STATE):
        written.states[pk] = [json.dumps(values[0]), *values[1:]]
    written.leads = {pk: values for pk, *values in Lead.objects.filter(pk__in=people).values_list("pk", *LEAD)}
    return written


def copy_deliveries(pks: Sequence[int]) -> dict[int, int]:
    """Waiting deliveries like these."""
    olds = list(Delivery.objects.filter(pk__in=pks).order_by("pk"))
    news = [
        Delivery(source=old.source, door=old.door, body=old.body, message_count=old.message_count, received_at=old.received_at)
        for old in olds
    ]
    Delivery.objects.bulk_create(news)
    return {old.pk: new.pk for old, new in zip(olds, news, strict=True)}


def remove(written: Written) -> None:
    """Take the second copy away: no sum of ledger lines is to be wrong because of it."""
    copies = list(written.deliveries.values())
    ScoreEntry.objects.filter(event__delivery__in=copies).delete()
    Event.objects.filter(delivery__in=copies).delete()
    Delivery.objects.filter(pk__in=copies).delete()


def write_again(written: Written) -> int:
    """Write it, 500 events at a time; the number of events."""
    connection.ensure_connection()
    for events in batched(written.events, AT_ONCE):
        with transaction.atomic():
            write_group(events, written)
    return len(written.events)


def write_group(events: Sequence[dict[str, Any]], written: Written) -> None:
    """One transaction."""
    now, people = datetime.now(UTC), sorted({event["lead_id"] for event in events})
    lock(people)
    deliveries = sorted({written.deliveries[event["delivery_id"]] for event in events})
    rows = []
    for event in events:
        name, content = f"raw{next(serial)}", (json.dumps(event["properties"]), json.dumps(event["traits"]))
        values = [event[column] for column in EVENT]
        values[3], values[5:7], values[12] = name, content, written.deliveries[event["delivery_id"]]
        rows.append(values)
    insert(Event, EVENT, rows)
    found = dict(read_back(deliveries))
    lines = []
    for event, row in zip(events, rows, strict=True):
        for line in written.lines.get(event["pk"], ()):
            pk = found[row[3]]
            lines.append([f"event:{pk}" if column == "cause" else pk if column == "event_id" else line[column] for column in LINE])
    insert(ScoreEntry, LINE, lines)
    insert(FoldState, ["lead_id", *STATE, "claim_count"], [[pk, *written.states[pk], 0] for pk in people], replace=STATE)
    update(Lead, LEAD, [[pk, *written.leads[pk]] for pk in people])
    update(Delivery, DELIVERY, [[pk, "processed", now, 1, 0, "[]", None, None, 0] for pk in deliveries])


# --- statements -----------------------------------------------------------------------------------


def execute(sql: str, rows: Sequence[Sequence[Any]] = (), *, columns: Sequence[Sequence[Any]] = ()) -> list[tuple[Any, ...]]:
    """Run a statement through the driver: once with arrays (PostgreSQL), once with `columns` as values or for every row (SQLite)."""
    if connection.vendor == "postgresql":
        import psycopg

        connection.connection.prepare_threshold = 1
        with psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(sql, columns, prepare=True)
            return cursor.fetchall() if cursor.description else []
    cursor = connection.connection.cursor(sqlite3.Cursor)
    if rows:
        cursor.executemany(sql, [[plain(value) for value in row] for row in rows])
        return []
    return list(cursor.execute(sql, columns))


def plain(value: Any) -> Any:
    """A value as Django stores it in SQLite."""
    if isinstance(value, datetime):
        return str(value.replace(tzinfo=None))
    return json.dumps(value) if isinstance(value, dict | list) else value


def types(model: type[models.Model], columns: Sequence[str]) -> list[str]:
    """The types of columns."""
    return [str(each.rel_db_type(connection)) for name in columns for each in [field_of(model, name)]]


def field_of(model: type[models.Model], column: str) -> Any:
    """The field that a column belongs to."""
    return next(each for each in model._meta.concrete_fields if each.column == column)


def arrays(model: type[models.Model], columns: Sequence[str]) -> str:
    """`unnest` of one array for each column."""
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in types(model, columns))})"


def insert(model: type[models.Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], *, replace: Sequence[str] = ()) -> None:
    """Insert rows, or replace them by their first column."""
    into = f"INSERT INTO {model._meta.db_table} ({', '.join(columns)})"
    sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in replace)
    conflict = f" ON CONFLICT ({columns[0]}) DO UPDATE SET {sets}" if replace else " ON CONFLICT DO NOTHING"
    if not rows:
        return
    if connection.vendor == "postgresql":
        execute(f"{into} SELECT * FROM {arrays(model, columns)}{conflict}", columns=[list(values) for values in zip(*rows, strict=True)])
    else:
        execute(f"{into} VALUES ({', '.join('?' * len(columns))}){conflict}", rows)


def update(model: type[models.Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Update rows by their primary key, which comes first."""
    table, names = model._meta.db_table, ", ".join(["pk", *columns])
    if connection.vendor == "postgresql":
        sets = ", ".join(f"{name} = v.{name}" for name in columns)
        sql = f"UPDATE {table} SET {sets} FROM {arrays(model, ['id', *columns])} AS v ({names}) WHERE {table}.id = v.pk"
        execute(sql, columns=[list(values) for values in zip(*rows, strict=True)])
    else:
        sets = ", ".join(f"{name} = ?" for name in columns)
        execute(f"UPDATE {table} SET {sets} WHERE id = ?", [[*values, pk] for pk, *values in rows])


def lock(people: Sequence[int]) -> None:
    """Lock the leads, in the order of their ids."""
    if connection.vendor == "postgresql":
        execute("SELECT id FROM leads_lead WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", columns=[list(people)])


def read_back(deliveries: Sequence[int]) -> list[tuple[Any, ...]]:
    """The message ids and ids of the events of some deliveries."""
    if connection.vendor == "postgresql":
        return execute("SELECT message_id, id FROM leads_event WHERE delivery_id = ANY(%s)", columns=[list(deliveries)])
    marks = ", ".join("?" * len(deliveries))
    return execute(f"SELECT message_id, id FROM leads_event WHERE delivery_id IN ({marks})", columns=list(deliveries))
