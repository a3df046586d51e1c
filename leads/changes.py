"""What people have changed in a draft since it was published, in words: the same for scoring and for campaigns."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from leads.models import Draft, User
from leads.shape import same


class DraftMoved(Exception):
    """The draft is not any more what somebody looked at before they published or discarded it."""

    def __init__(self) -> None:
        super().__init__("The draft has changed since you looked at it. Look again, then decide.")


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest thing a draft is compared by. `anchor` names its place on the page, `value` is what is compared."""

    anchor: str
    title: str
    value: Any
    sentence: str


@dataclass(frozen=True, slots=True)
class Author:
    """Who touched the rows of a unit last, and when."""

    user: User | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between what is live and the draft; `was` and `now` are sentences."""

    anchor: str
    kind: str
    title: str
    was: str = ""
    now: str = ""
    author: Author | None = None

    @property
    def words(self) -> list[tuple[str, str]]:
        """The sentences woven into one: runs of words that stayed (same), went (was) and came (now)."""
        return weave(self.was, self.now)


@dataclass(slots=True)
class DraftState:
    """A draft beside what is live. `problems`: by anchor, what keeps it from being published."""

    changes: list[Change]
    fingerprint: str
    problems: dict[str, list[str]] = field(default_factory=dict)
    is_live: bool = True

    def by(self, user: User) -> int:
        """How many of the changes are this colleague's."""
        return sum(1 for change in self.changes if change.author and change.author.user == user)

    @property
    def others(self) -> list[str]:
        """Names of everybody who changed something."""
        names = {str(change.author.user) for change in self.changes if change.author and change.author.user}
        return sorted(names)

    @property
    def problem_count(self) -> int:
        """How many things are to be mended."""
        return sum(len(sentences) for sentences in self.problems.values())

    def change_of(self, anchor: str) -> Change | None:
        """The change at this place."""
        return next((change for change in self.changes if change.anchor == anchor), None)


def compare(live: Iterable[Unit], draft: Iterable[Unit]) -> list[Change]:
    """What is added, changed or removed from `live` to `draft`."""
    was, now = {unit.anchor: unit for unit in live}, {unit.anchor: unit for unit in draft}
    changes = []
    for anchor, unit in now.items():
        before = was.get(anchor)
        if before is None:
            changes.append(Change(anchor, "added", unit.title, now=unit.sentence))
        elif not same(before.value, unit.value):
            changes.append(Change(anchor, "changed", unit.title, told(before, unit), told(unit, before)))
    gone = [unit for anchor, unit in was.items() if anchor not in now]
    return changes + [Change(unit.anchor, "removed", unit.title, was=unit.sentence) for unit in gone]


def told(unit: Unit, other: Unit) -> str:
    """A unit's sentence, with its name in front when that is what differs."""
    return unit.sentence if unit.title == other.title else f"{unit.title}: {unit.sentence}"


def reordered(anchor: str, title: str, was: list[str], now: list[str], names: Mapping[str, str]) -> list[Change]:
    """A change when the keys that are in both stand in another order."""
    before, after = [key for key in was if key in now], [key for key in now if key in was]
    if before == after:
        return []
    first, then = (", ".join(names.get(key, key) for key in keys) for keys in (before, after))
    return [Change(anchor, "changed", title, first, then)]


def sign(changes: Iterable[Change], authors: Mapping[str, Author]) -> list[Change]:
    """The changes with who made them, as far as it is known."""
    return [replace(change, author=authors.get(change.anchor)) for change in changes]


def author_of(*rows: Draft) -> Author:
    """Who edited one of these rows last."""
    row = max(rows, key=lambda row: row.edited_at)
    return Author(row.edited_by, row.edited_at)


def weave(was: str, now: str) -> list[tuple[str, str]]:
    """Two sentences as runs of words: same, was (only in the old one), now (only in the new one)."""
    if not was or not now:
        return [("was", was)] if was else [("now", now)]
    old, new = was.split(" "), now.split(" ")
    runs: list[tuple[str, str]] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            runs.append(("same", " ".join(old[a:b])))
            continue
        runs += [("was", " ".join(old[a:b]))] if b > a else []
        runs += [("now", " ".join(new[c:d]))] if d > c else []
    return runs


def fingerprint(*documents: Any) -> str:
    """A short name for exactly these documents: whoever publishes says which draft they looked at."""
    text = json.dumps(documents, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
