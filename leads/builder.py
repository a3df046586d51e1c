"""Conditions as groups of rows, "All of", "Any of", "None of", joined by "and", and back; deeper ones stay as they are."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from leads.builder_rows import Condition, Row, condition_of, row_of

ALL, ANY, NONE = "all", "any", "none"
GROUPS = {ALL: "All of", ANY: "Any of", NONE: "None of"}
MAX_GROUPS = 10
MAX_ROWS = 30


@dataclass(slots=True)
class Group:
    """Rows that are joined in one way."""

    kind: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Written:
    """Conditions as a document holds them; `match` is a gate's word for how they are joined."""

    conditions: Any
    match: str = ALL


# --- from a document ----------------------------------------------------------------------------


def groups_of(conditions: Any, match: str = ALL) -> list[Group] | None:
    """The groups that show the conditions; None when they are deeper than groups can be."""
    items = conditions if isinstance(conditions, list) else [conditions]
    if match == ANY and (len(items) > 1 or (items and row_of(items[0]))):
        rows = rows_of(items)
        return [Group(ANY, rows)] if rows else None
    groups: list[Group] = []
    for item in items:
        row = row_of(item)
        if row and groups and groups[-1].kind == ALL:
            groups[-1].rows.append(row)
            continue
        group = Group(ALL, [row]) if row else group_of(item)
        if group is None:
            return None
        groups.append(group)
    fits = len(groups) <= MAX_GROUPS and all(len(group.rows) <= MAX_ROWS for group in groups)
    return groups if fits else None


def group_of(item: Any) -> Group | None:
    """One mapping {all: […]}, {any: […]} or {not: …} as a group."""
    if not isinstance(item, dict) or len(item) != 1:
        return None
    [(word, inner)] = item.items()
    if word in (ALL, ANY) and isinstance(inner, list):
        rows = rows_of(inner)
        return Group(word, rows) if rows else None
    if word != "not":
        return None
    alternatives = inner[ANY] if isinstance(inner, dict) and list(inner) == [ANY] and isinstance(inner[ANY], list) else [inner]
    rows = rows_of(alternatives)
    return Group(NONE, rows) if rows else None


def rows_of(items: Sequence[Any]) -> list[Row] | None:
    """All items as rows; None when one of them is more than a row."""
    rows = [row for item in items if (row := row_of(item))]
    return rows if len(rows) == len(items) else None


# --- to a document ------------------------------------------------------------------------------


def written(groups: Sequence[Group]) -> list[Condition]:
    """The groups as a list of conditions that must all hold. Raises RowError."""
    conditions: list[Condition] = []
    for group, items in zip(groups, read_rows(groups), strict=True):
        if not items:
            continue
        if group.kind == ALL:
            conditions += items
        elif group.kind == ANY:
            conditions.append({ANY: items})
        else:
            conditions.append({"not": items[0] if len(items) == 1 else {ANY: items}})
    return conditions


def written_gate(groups: Sequence[Group]) -> Written:
    """The groups as a gate holds them: alternatives alone are its `match: any`. Raises RowError."""
    filled = [group for group in groups if group.rows]
    if len(filled) == 1 and filled[0].kind == ANY:
        return Written(read_rows(filled)[0], ANY)
    return Written(written(groups), ALL)


def kept(groups: Sequence[Group], before: Written, *, gate: bool) -> Written:
    """The groups as a document; as it was written `before` wherever they say the same. Raises RowError."""
    now = written_gate(groups) if gate else Written(written(groups))
    shown = groups_of(before.conditions, before.match)
    if shown is None:
        return now
    same_rows = [(group.kind, items) for group, items in zip(shown, read_rows(shown), strict=True)] == [
        (group.kind, items) for group, items in zip(groups, read_rows(groups), strict=True)
    ]
    return before if same_rows else now


def read_rows(groups: Sequence[Group]) -> list[list[Condition]]:
    """The conditions of each group. Raises RowError."""
    return [[condition_of(row) for row in group.rows] for group in groups]
