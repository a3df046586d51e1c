"""One UPDATE for many rows with different values, the same on PostgreSQL and SQLite."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def update_rows(
    model: type[models.Model], rows: Iterable[Sequence[Any]], *, columns: Sequence[str], unless_changed: Sequence[str] = ()
) -> list[int]:
    """Write `rows` in one statement and return the primary keys that were written.

    Each row is (primary key, *new values in the order of `columns`, *old values in the order of
    `unless_changed`). A row whose `unless_changed` fields no longer hold the old values is left alone,
    so this is also how many rows change state only if nobody was quicker. Writes are one
    `UPDATE … FROM (VALUES …)`, which both databases understand (SQLite ≥ 3.33).
    """
    rows = list(rows)
    if not rows:
        return []
    meta = model._meta
    fields: list[Any] = [meta.pk, *(meta.get_field(name) for name in (*columns, *unless_changed))]
    quote = connection.ops.quote_name
    table = quote(meta.db_table)
    line = "(" + ", ".join(placeholder(field) for field in fields) + ")"
    sets = ", ".join(f"{quote(field.column)} = v.column{i}" for i, field in enumerate(fields[1 : len(columns) + 1], start=2))
    olds = "".join(
        f" AND {table}.{quote(field.column)} = v.column{i}" for i, field in enumerate(fields[len(columns) + 1 :], start=len(columns) + 2)
    )
    pk = quote(fields[0].column)
    sql = (
        f"UPDATE {table} SET {sets} FROM (VALUES {', '.join([line] * len(rows))}) AS v "  # noqa: S608 - names come from the models
        f"WHERE {table}.{pk} = v.column1{olds} RETURNING {table}.{pk}"
    )
    params = [field.get_db_prep_save(value, connection) for row in rows for field, value in zip(fields, row, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]


def placeholder(field: Any) -> str:
    """One value of a VALUES line; PostgreSQL has to be told its type."""
    return f"%s::{field.rel_db_type(connection) if field.primary_key else field.db_type(connection)}" if is_postgresql() else "%s"


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL."""
    return connection.vendor == "postgresql"
