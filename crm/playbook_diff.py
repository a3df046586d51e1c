"""What two playbooks differ in, as lines a person can read, and what people have edited since one was applied."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from campaigns.models import Campaign
from crm.playbook_document import KINDS, MAPPINGS, SECTIONS, UNORDERED, plain, tidy
from leads import yaml_lines
from leads.models import DerivedType, Draft, Exclusion, FitRule, Gate, IdleRule, ScoringLimits, ScoringRule
from leads.shape import same

AUTHORED: dict[str, type[Draft]] = {
    "rules": ScoringRule,
    "fit": FitRule,
    "idle": IdleRule,
    "exclude": Exclusion,
    "limits": ScoringLimits,
    "derive": DerivedType,
    "gates": Gate,
    "campaigns": Campaign,
}


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing two playbooks are compared by: one entry of a list, or one mapping. `order` units hold keys in order."""

    name: str
    key: str
    value: Any

    @property
    def place(self) -> str:
        """How people find it: scoring.rules[viewed-pricing]."""
        name = f"scoring.{self.name}" if self.name in {"derive", "limits", "rules", "fit", "idle", "exclude"} else self.name
        return f"{name}[{self.key}]" if self.key else name


def units(document: dict[str, Any], sections: Iterable[str] = SECTIONS) -> dict[str, Unit]:
    """The units of some sections of a document (plain data), by place."""
    found: list[Unit] = []
    for section in sections:
        value = document.get(section)
        parts = value.items() if section == "scoring" and value else [(section, value)]
        for name, part in parts:
            if name in MAPPINGS:
                found += [Unit(name, "", plain(name, part))] if part else []
            else:
                found += [Unit(name, entry["key"], plain(name, entry)) for entry in part or []]
    return {unit.place: unit for unit in found}


def orders(document: dict[str, Any], sections: Iterable[str]) -> dict[str, list[str]]:
    """The keys of the lists whose order means something."""
    lists = [section for section in sections if section in KINDS and section not in MAPPINGS | UNORDERED]
    return {section: [entry["key"] for entry in document.get(section) or []] for section in lists}


def difference(was: dict[str, Any], now: dict[str, Any], sections: Iterable[str]) -> list[str]:
    """What changes from `was` to `now` in these sections, as lines: + added, - removed, ~ changed."""
    sections = list(sections)
    before, after = units(was, sections), units(now, sections)
    lines: list[str] = []
    for place in [*after, *(place for place in before if place not in after)]:
        lines += unit_difference(place, before.get(place), after.get(place))
    wanted = orders(now, sections)
    for section, keys in orders(was, sections).items():
        lines += order_difference(section, keys, wanted[section])
    return lines


def unit_difference(place: str, was: Unit | None, now: Unit | None) -> Iterator[str]:
    """The lines about one unit."""
    if was is None and now is not None:
        yield f"+ {place}"
        yield from (f"    {line}" for line in yaml_lines.write(tidy(now.value)).removesuffix("...\n").splitlines())
    elif was is not None and now is None:
        yield f"- {place}"
    elif was is not None and now is not None:
        yield from changes(place, was.value, now.value)


def changes(place: str, was: Any, now: Any) -> Iterator[str]:
    """Each value that differs inside one thing, with what it was and what it is."""
    if same(was, now):
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            yield from changes(f"{place}.{key}", was.get(key), now.get(key))
    elif keyed(was) and keyed(now):
        old, new = ({entry["key"]: entry for entry in entries} for entries in (was, now))
        for key in [*new, *(key for key in old if key not in new)]:
            yield from changes(f"{place}[{key}]", old.get(key), new.get(key))
        yield from order_difference(place, list(old), list(new))
    elif isinstance(was, str) and isinstance(now, str) and "\n" in was + now:
        yield f"~ {place}"
        yield from (f"    {line}" for line in list(difflib.unified_diff(was.splitlines(), now.splitlines(), lineterm="", n=0))[2:])
    elif was is None:
        yield f"+ {place}: {shown(now)}"
    elif now is None:
        yield f"- {place}: {shown(was)}"
    else:
        yield f"~ {place}: {shown(was)} → {shown(now)}"


def order_difference(place: str, was: list[str], now: list[str]) -> Iterator[str]:
    """A line when the keys that are in both stand in another order."""
    before, after = [key for key in was if key in now], [key for key in now if key in was]
    if before != after:
        yield f"~ {place}: order {', '.join(before)} → {', '.join(after)}"


def keyed(value: Any) -> bool:
    """Whether a value is a list of entries with keys."""
    return isinstance(value, list) and all(isinstance(entry, dict) and "key" in entry for entry in value)


def shown(value: Any) -> str:
    """A value on one line."""
    return yaml_lines.write_line(tidy(value))


def edits(base: dict[str, Any], now: dict[str, Any], wanted: dict[str, Any], sections: Iterable[str]) -> list[str]:
    """What people have changed since `base` and `wanted` would undo, with who did it."""
    sections = list(sections)
    before, present, after = units(base, sections), units(now, sections), units(wanted, sections)
    lines: list[str] = []
    for place in [*present, *(place for place in before if place not in present)]:
        then, current, goal = before.get(place), present.get(place), after.get(place)
        if not equal(then, current) and not equal(current, goal):
            first, *rest = unit_difference(place, then, current)
            lines += [f"{first} ({author(current)})", *rest]
    goals, currents = orders(wanted, sections), orders(now, sections)
    for section, keys in orders(base, sections).items():
        if currents[section] != goals[section]:
            lines += [f"{line} (by somebody)" for line in order_difference(section, keys, currents[section])]
    return lines


def equal(one: Unit | None, other: Unit | None) -> bool:
    """Whether both are missing, or both say the same."""
    return same(one and one.value, other and other.value)


def author(unit: Unit | None) -> str:
    """Who touched the rows of a unit last, and when, as far as it is known."""
    model = AUTHORED.get(unit.name) if unit else None
    if unit is None or model is None:
        return "by somebody"
    rows: list[Any] = list(model._default_manager.filter(**({"key": unit.key} if unit.key else {})))
    if isinstance(rows[0] if rows else None, Campaign):
        rows += list(rows[0].steps.all())
    row = max(rows, key=lambda row: row.edited_at, default=None)
    if row is None:
        return "by somebody"
    return f"by {row.edited_by or 'somebody'}, {timezone.localtime(row.edited_at):%Y-%m-%d %H:%M}"
