"""Many rows in one statement: PostgreSQL gets them as one JSON text, which neither side needs long to read; SQLite as values."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.models.expressions import RawSQL

type Rows = Sequence[Sequence[Any]]
PLAIN = frozenset({int, str, bool, type(None)})


def update_rows(
    model: type[models.Model], rows: Iterable[Sequence[Any]], *, columns: Sequence[str], unless_changed: Sequence[str] = ()
) -> list[int]:
    """Write `rows` in one statement.

    Each row is (primary key, *new values in the order of `columns`, *old values in the order of
    `unless_changed`). A row whose `unless_changed` fields no longer hold the old values is left alone,
    so this is also how many rows change state only if nobody was quicker: then the primary keys that
    were written are returned. Otherwise nothing is, for every row was.
    """
    rows = list(rows)
    if not rows:
        return []
    fields: list[Any] = [model._meta.pk, *(model._meta.get_field(name) for name in (*columns, *unless_changed))]
    names = [quote(field.column) for field in fields]
    table, pk, last = quote(model._meta.db_table), names[0], len(columns) + 1
    source, params = row_source(fields, rows)
    sets = ", ".join(f"{name} = v.c{i}" for i, name in enumerate(names[1:last], start=1))
    olds = "".join(f" AND {table}.{name} = v.c{i}" for i, name in enumerate(names[last:], start=last))
    answer = f" RETURNING {table}.{pk}" if unless_changed else ""
    sql = f"UPDATE {table} SET {sets} FROM {source} WHERE {table}.{pk} = v.c0{olds}{answer}"  # noqa: S608 - names of models
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()] if unless_changed else []


def insert_rows(
    model: type[models.Model],
    rows: Iterable[Sequence[Any]],
    *,
    columns: Sequence[str],
    ignore_conflicts: bool = False,
    returning: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """Insert `rows` in one statement; every column that is not among `columns` must have a default in the database, or allow null.

    Returns the `returning` columns of those that were really inserted.
    """
    rows = list(rows)
    if not rows:
        return []
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    into = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(quote(field.column) for field in fields)})"
    conflict = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    answer = f" RETURNING {', '.join(map(quote, returning))}" if returning else ""
    with connection.cursor() as cursor:
        if returning or is_postgresql():
            source, params = row_source(fields, rows)
            columns = ", ".join(f"c{i}" for i in range(len(fields)))
            # SQLite takes ON CONFLICT for a part of the join unless something stands between.
            cursor.execute(f"{into} SELECT {columns} FROM {source} WHERE true{conflict}{answer}", params)  # noqa: S608 - names of models
            return cursor.fetchall() if returning else []
        line = ", ".join(["%s"] * len(fields))
        cursor.executemany(f"{into} VALUES ({line}){conflict}", prepared(fields, rows))
    return []


def insert_one(row: models.Model) -> None:
    """Insert a new row without asking for its id: what `save` does, at a third of the cost. Raises IntegrityError."""
    sql, fields = insert_statement(type(row))
    with connection.cursor() as cursor:
        cursor.execute(sql, [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields])


@cache
def insert_statement(model: type[models.Model]) -> tuple[str, list[Any]]:
    """The INSERT of one row of a model, and the fields it takes."""
    fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns, marks = ", ".join(quote(field.column) for field in fields), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})", fields  # noqa: S608 - names of models


def among(values: Iterable[Any], kind: str = "bigint") -> Any:
    """What a `…__in` takes, for many values of a `kind` of column: on PostgreSQL one parameter instead of one for each."""
    if not is_postgresql():
        return list(values)
    # As one text: the driver would write each value by itself.
    items = map(quoted, values) if kind == "text" else map(str, values)
    return RawSQL(f"SELECT unnest(%s::{kind}[])", [f"{{{','.join(items)}}}"])  # noqa: S611 - one of our own words


def quoted(text: str) -> str:
    """A text as an item of an array of PostgreSQL (its manual, 8.15.6)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- how rows are sent ----------------------------------------------------------------------------


def row_source(fields: Sequence[Any], rows: Rows) -> tuple[str, list[Any]]:
    """The rows as something to select from, called v with the columns c0, c1, …, and its parameters."""
    if is_postgresql():
        kinds = ", ".join(f"c{i} {type_of(field)}" for i, field in enumerate(fields))
        line_of = line_type(len(fields))
        text = msgspec.json.encode([line_of(*row) for row in rows]).decode()
        return f"json_to_recordset(%s::json) AS v ({kinds})", [text]
    line = "(" + ", ".join(["%s"] * len(fields)) + ")"
    values = ", ".join([line] * len(rows))
    columns = ", ".join(f"column{i + 1} AS c{i}" for i in range(len(fields)))
    source = f"(SELECT {columns} FROM (VALUES {values})) AS v"  # noqa: S608 - placeholders
    return source, [value for row in prepared(fields, rows) for value in row]


@cache
def line_type(length: int) -> type[msgspec.Struct]:
    """A row of so many columns, written as {"c0": …, "c1": …}."""
    return msgspec.defstruct("Line", [f"c{i}" for i in range(length)])


def prepared(fields: Sequence[Any], rows: Rows) -> list[list[Any]]:
    """The values of rows as SQLite's driver takes them: numbers and texts are what they are already."""
    columns = [(field, isinstance(field, models.JSONField)) for field in fields]
    return [[prepared_value(value, field, is_json=is_json) for (field, is_json), value in zip(columns, row, strict=True)] for row in rows]


def prepared_value(value: Any, field: Any, *, is_json: bool) -> Any:
    """One value of a row."""
    if is_json and value is not None:
        return msgspec.json.encode(value).decode()
    return value if type(value) in PLAIN else field.get_db_prep_save(value, connections[DEFAULT_DB_ALIAS])


def type_of(field: Any) -> str:
    """The type of a column."""
    return str(field.rel_db_type(connection) if field.primary_key else field.db_type(connection))


def quote(name: str) -> str:
    """A name in SQL."""
    return str(connection.ops.quote_name(name))


def is_postgresql() -> bool:
    """Whether the database is PostgreSQL."""
    return connection.vendor == "postgresql"
