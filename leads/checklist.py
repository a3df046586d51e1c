"""A gate's conditions as a checklist: groups stay groups, each condition with its value now and what would complete it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from leads.comparisons import is_missing
from leads.condition_nodes import (
    MICROSECONDS,
    All,
    AnyOf,
    EventCount,
    Field,
    IdleFor,
    InStageFor,
    Leaf,
    Node,
    Not,
    Number,
    View,
    describe,
)
from leads.model_words import span_of, value_words
from leads.sentences import condition_words
from leads.templatetags.words import event_words

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OPPOSITES = [("is", "is_not"), ("contains", "not_contains"), ("in", "not_in"), ("exists", "missing")]
OPPOSITE = {one: other for pair in OPPOSITES for one, other in (pair, pair[::-1])}
OFTEN = {1: "once", 2: "twice"}


@dataclass(frozen=True, slots=True)
class Item:
    """One condition. `wanted` completes it; `at` is a moment that matters to it, and `at_words` what happens then."""

    text: str
    ok: bool
    current: str = ""
    wanted: str = ""
    at: datetime | None = None
    at_words: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which all must hold, or any one."""

    any_is_enough: bool
    parts: "list[Item | Group]"

    @property
    def ok(self) -> bool:
        """Whether enough of them hold."""
        return (any if self.any_is_enough else all)(part.ok for part in self.parts)

    @property
    def met(self) -> int:
        """How many of them hold."""
        return sum(part.ok for part in self.parts)


def make_checklist(node: Node, view: View, *, now: datetime) -> Group:
    """The conditions of a gate, checked for this moment."""
    part = part_of(node, view, now=now, negated=False)
    return part if isinstance(part, Group) else Group(any_is_enough=False, parts=[part])


def part_of(node: Node, view: View, *, now: datetime, negated: bool) -> Item | Group:
    """A condition as an item, several as a group; "none of them" is all of their opposites."""
    if isinstance(node, Not):
        return part_of(node.node, view, now=now, negated=not negated)
    if not isinstance(node, All | AnyOf):
        return item_of(node, view, now=now, negated=negated)
    any_is_enough = isinstance(node, AnyOf) != negated
    parts = flat((part_of(each, view, now=now, negated=negated) for each in node.nodes), any_is_enough=any_is_enough)
    return parts[0] if len(parts) == 1 else Group(any_is_enough, parts)


def flat(parts: Iterable[Item | Group], *, any_is_enough: bool) -> list[Item | Group]:
    """The parts, with those of an inner group of the same kind instead of that group."""
    found: list[Item | Group] = []
    for part in parts:
        found += part.parts if isinstance(part, Group) and part.any_is_enough == any_is_enough else [part]
    return found


def item_of(leaf: Leaf, view: View, *, now: datetime, negated: bool) -> Item:
    """One condition, in words."""
    ok = leaf.holds(view) != negated
    if negated and (turned := opposite(leaf)):
        leaf, negated = turned, False
    text = condition_words(f"not: {describe(leaf)}" if negated else describe(leaf))
    if isinstance(leaf, EventCount):
        return counted(leaf, view, Item(text, ok), now=now)
    if isinstance(leaf, InStageFor | IdleFor):
        return waited(leaf, view, Item(text, ok), now=now, negated=negated)
    if isinstance(leaf, Number):
        return scored(leaf, view, Item(text, ok), negated=negated)
    if isinstance(leaf, Field):
        return Item(text, ok, current_value(leaf, view))
    return Item(text, ok)


def opposite(leaf: Leaf) -> Leaf | None:
    """The condition that holds whenever this one doesn't, where there is one that reads well."""
    if isinstance(leaf, EventCount) and leaf.at_least is not None:
        return replace(leaf, at_least=None, at_most=leaf.at_least - 1)
    if isinstance(leaf, EventCount) and leaf.at_most is not None:
        return replace(leaf, at_most=None, at_least=leaf.at_most + 1)
    if isinstance(leaf, Field) and leaf.op in OPPOSITE:
        return replace(leaf, op=OPPOSITE[leaf.op])
    return None


# --- kinds of conditions --------------------------------------------------------------------------


def counted(leaf: EventCount, view: View, item: Item, *, now: datetime) -> Item:
    """How often it happened: "2 of 3 in 7 days; the first of them expires Tue 14:02"."""
    count = view.count(leaf)
    within = f" in {span_of(leaf.within // MICROSECONDS)}" if leaf.within is not None else ""
    until = view.until(leaf)
    at = None if until is None or not count else EPOCH + timedelta(microseconds=until)
    if leaf.at_least is None:
        current = f"{count or 'none'} so far{within}"
        return replace(item, current=current, at=at, at_words=f"{'it' if count == 1 else 'the first of them'} counts no more from")
    missing = leaf.at_least - count
    current = (
        "" if leaf.at_least == 1 and item.ok else f"not{within or ' yet'}" if leaf.at_least == 1 else f"{count} of {leaf.bound}{within}"
    )
    wanted = f"“{event_words(leaf.event)}” {often(missing)}{' more' if count else ''}" if missing > 0 and leaf.at_least > 1 else ""
    if wanted and leaf.of == "company":
        wanted += ", by anybody at the company"
    return replace(item, current=current, wanted=wanted, at=at, at_words=f"{'it' if count == 1 else 'the first of them'} expires")


def often(times: int) -> str:
    """So many times: "once", "twice", "3 times"."""
    return OFTEN.get(times, f"{times} times")


def waited(leaf: InStageFor | IdleFor, view: View, item: Item, *, now: datetime, negated: bool) -> Item:
    """How long it lasts already, and when that is long enough by itself."""
    seconds = view.seconds_in_stage() if isinstance(leaf, InStageFor) else view.seconds_idle()
    left = leaf.seconds - seconds
    if left <= 0:
        return replace(item, current=f"for {rough(seconds)}")
    at_words = "ends by itself" if negated else "by itself" if isinstance(leaf, InStageFor) else "when nothing happens until"
    return replace(item, current=f"{rough(seconds)} so far", at=now + timedelta(seconds=left), at_words=at_words)


def rough(seconds: float) -> str:
    """A span of time in its largest whole unit: "5 days", "3 hours"."""
    whole = int(seconds)
    return span_of(next((whole // size * size for size in (86_400, 3600, 60) if whole >= size), whole))


def scored(leaf: Number, view: View, item: Item, *, negated: bool) -> Item:
    """How many points there are, and how many more it takes."""
    points, until = view.number(leaf.axis), view.until(leaf)
    current = f"{points}, held" if view.held_back() else str(points)
    missing = 0 if negated else leaf.at_least - points
    axis = "" if leaf.axis == "score" else f"{leaf.axis} "
    wanted = f"{missing} more {axis}{'point' if missing == 1 else 'points'}" if missing > 0 else ""
    at = None if until is None else EPOCH + timedelta(microseconds=until)
    return replace(item, current=current, wanted=wanted, at=at, at_words="points begin to expire")


def current_value(leaf: Field, view: View) -> str:
    """What the compared fact is now."""
    value = leaf.current(view)
    return "not known" if is_missing(value) else ", ".join(map(value_words, value)) if isinstance(value, list) else value_words(value)
