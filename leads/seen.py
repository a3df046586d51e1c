"""Remembers which event types and properties there have been, so that whoever writes a condition can choose among them.

What a process has noted a moment ago it does not note again: a steady stream of events writes nothing here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any

from django.db import transaction

from leads.comparisons import is_number
from leads.masking import example_of
from leads.models import Event, SeenProperty
from leads.recording import Recorded

AGAIN = timedelta(minutes=10)
MAX_TYPES = 2000
MAX_PROPERTIES = 200
MAX_EXAMPLES = 3
ENOUGH = 20  # events of a group that are alike
MAX_WRITTEN = 150  # rows in one statement; the rest is noted with a later group
MAX_DEPTH = 3
MAX_PATH = 200
# Columns of a lead: known fields, which need not be seen first.
PERSON = frozenset({"name", "email", "phone", "title", "country", "timezone"})
MIXED = SeenProperty.Kind.MIXED

type Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one property has looked like. `noted_at`: when this process last knew it to be stored."""

    kind: str
    examples: tuple[Any, ...]
    last_at: datetime
    noted_at: datetime | None = None

    def has_kind(self, kind: str) -> bool:
        """Whether values of this kind were among them."""
        return kind in (self.kind, "") or self.kind == MIXED

    def has_all_of(self, kind: str) -> bool:
        """Whether a later value of this kind could not change it, but for the time."""
        return len(self.examples) == MAX_EXAMPLES and self.has_kind(kind)

    def shows(self, kind: str, example: Any) -> bool:
        """Whether this value would not change it, but for the time."""
        return self.has_kind(kind) and (example is None or example in self.examples)

    def with_later(self, other: "Sight") -> "Sight":
        """Both together."""
        kind = self.kind if other.kind in (self.kind, "") else other.kind if not self.kind else MIXED
        fresh = tuple(each for each in other.examples if each not in self.examples)
        examples = (*self.examples, *fresh)[:MAX_EXAMPLES]
        return replace(self, kind=kind, examples=examples, last_at=max(self.last_at, other.last_at))


@dataclass(slots=True)
class Memory:
    """What this process knows to be stored, by type and path."""

    types: dict[str, dict[str, Sight]] = field(default_factory=dict)
    full_until: datetime | None = None  # there are too many types; until then no new one is looked up

    def fresh(self, key: Key, now: datetime) -> Sight | None:
        """What is stored, if this process knew it a moment ago."""
        sight = self.types.get(key[0], {}).get(key[1])
        return sight if sight and sight.noted_at and now - sight.noted_at < AGAIN else None

    def has_room(self, key: Key, now: datetime) -> bool:
        """Whether it is known, or may become known."""
        known = self.types.get(key[0])
        if known is None:
            return self.full_until is None or now >= self.full_until
        return key[1] in known or len(known) < MAX_PROPERTIES


memory = Memory()


def forget() -> None:
    """Know nothing of what is stored."""
    memory.types, memory.full_until = {}, None


def note_seen(*, events: Sequence[Event], recorded: Recorded, **kwargs: Any) -> None:
    """Note types and properties that are new, or were not noted for a while, once the group is stored. Receiver of events_recorded."""
    found = news_in(events, recorded.types, recorded.now)
    news = {key: sight for key, sight in found.items() if memory.has_room(key, recorded.now)}
    if news:
        # A hint, no fact: it must neither hold up a group nor break it.
        transaction.on_commit(partial(write, news, recorded.now), robust=True)


def news_in(events: Iterable[Event], types: Mapping[int, tuple[str, ...]], now: datetime) -> dict[Key, Sight]:
    """What these events, which are in order, show that was not noted a moment ago.

    Looked at are their types, also derived ones, with their properties, and the traits they tell; of events that are alike
    in all these names only the first few, for the others would hardly show more.
    """
    found: dict[Key, Sight] = {}
    latest: dict[Key, datetime] = {}
    fresh = cache(partial(memory.fresh, now=now))

    def see(key: Key, value: Any, at: datetime) -> None:
        latest[key] = at
        before, kind = found.get(key) or fresh(key), kind_of(value)
        if before and before.has_all_of(kind):
            return
        example = example_of(key[1].rpartition(".")[2], value)
        if before is None or not before.shows(kind, example):
            sight = Sight(kind, () if example is None else (example,), at)
            found[key] = before.with_later(sight) if before else sight

    alike: Counter[tuple[tuple[str, ...], ...]] = Counter()
    for event in events:
        names = types.get(event.id, (event.type,))
        shape = (names, tuple(event.properties), tuple(event.traits))
        alike[shape] += 1
        if alike[shape] > ENOUGH:
            continue
        leaves = [(f"event.{path}", value) for path, value in flat(event.properties)]
        for name in names:
            latest[name, ""] = event.at
            if not fresh((name, "")):
                found[name, ""] = Sight("", (), event.at)
            for path, value in leaves:
                see((name, path), value, event.at)
        for path, value in traits_in(event.traits):
            see(("", path), value, event.at)
    return {key: replace(sight, last_at=latest[key]) for key, sight in found.items()}


def traits_in(traits: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Traits as conditions name them: lead.traits.seats, company.employees."""
    for path, value in flat(traits):
        root, _, rest = path.partition(".")
        if root == "company" and rest:
            yield path, value
        elif root not in PERSON and root != "company":
            yield f"lead.traits.{path}", value


def flat(values: Mapping[str, Any], depth: int = 1) -> Iterator[tuple[str, Any]]:
    """The values inside nested mappings with their dotted paths; without what conditions can't name."""
    for key, value in values.items():
        if value is None or not can_be_named(key):
            continue
        if isinstance(value, dict):
            inner = flat(value, depth + 1) if depth < MAX_DEPTH else ()
            yield from ((f"{key}.{path}", each) for path, each in inner)
        else:
            yield key, value


@lru_cache(maxsize=4096)
def can_be_named(key: str) -> bool:
    """Whether a condition can name a value by this key, perhaps among others."""
    return bool(key) and ".." not in key and key[-1] != "." and len(key) <= MAX_PATH // 4 and key.isprintable()


def kind_of(value: Any) -> str:
    """What kind of value it is; of a list, the kind of its first item."""
    if isinstance(value, str):
        return SeenProperty.Kind.TEXT
    if isinstance(value, list):
        return kind_of(value[0]) if value else ""
    if isinstance(value, bool):
        return SeenProperty.Kind.FLAG
    return SeenProperty.Kind.NUMBER if is_number(value) else SeenProperty.Kind.TEXT


def write(news: Mapping[Key, Sight], now: datetime) -> None:
    """Store what is new: never more than three statements, whatever came."""
    keys = sorted(news)[:MAX_WRITTEN]
    with transaction.atomic():
        load({name for name, _ in keys})
        rows = {key: memory.types[key[0]].get(key[1]) for key in make_room(keys, now)}
        merged = {key: before.with_later(news[key]) if before else news[key] for key, before in rows.items()}
        SeenProperty.objects.bulk_create(
            [row_of(key, sight) for key, sight in merged.items()],
            update_conflicts=True,
            unique_fields=["type", "path"],
            update_fields=["kind", "examples", "last_at"],
        )
    for (name, path), sight in merged.items():
        memory.types[name][path] = replace(sight, noted_at=now)


def row_of(key: Key, sight: Sight) -> SeenProperty:
    """A row (not saved)."""
    return SeenProperty(type=key[0], path=key[1], kind=sight.kind, examples=list(sight.examples), last_at=sight.last_at)


def load(names: set[str]) -> None:
    """Look up what is stored about these types."""
    for name in names:
        memory.types.setdefault(name, {})
    for row in SeenProperty.objects.filter(type__in=names):
        stored = Sight(row.kind, tuple(row.examples), row.last_at, noted_at=row.last_at)
        before = memory.types[row.type].get(row.path)
        memory.types[row.type][row.path] = before.with_later(stored) if before else stored


def make_room(keys: Sequence[Key], now: datetime) -> list[Key]:
    """The keys there is room for: known ones, and new ones as long as types and properties are not too many."""
    fresh = sorted({name for name, _ in keys if name and not memory.types[name]})
    left = max(MAX_TYPES - SeenProperty.objects.filter(path="").count(), 0) if fresh else 0
    for name in fresh[left:]:
        memory.full_until = now + AGAIN
        del memory.types[name]
    room = {name: MAX_PROPERTIES - len(paths) for name, paths in memory.types.items()}
    kept = []
    for name, path in keys:
        new = name in room and path not in memory.types[name]
        if name in room and (not new or room[name] > 0):
            kept.append((name, path))
            room[name] -= new
    return kept


# --- reading ------------------------------------------------------------------------------------


def seen_types() -> dict[str, datetime]:
    """All types there have been, with when one happened last."""
    return dict(SeenProperty.objects.filter(path="").exclude(type="").values_list("type", "last_at"))


def seen_properties(event_type: str) -> list[SeenProperty]:
    """The properties of one type, and the traits of people and companies."""
    return list(SeenProperty.objects.filter(type__in={event_type, ""}).exclude(path=""))
