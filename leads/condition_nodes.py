"""What a condition is once it is read: a tree of small immutable nodes that look at a lead through a View."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from leads.comparisons import is_missing

MICROSECONDS = 1_000_000
UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class View(Protocol):
    """What conditions may look at. Implement it by inheriting, so that `held_back` has its default."""

    def field(self, path: str) -> object:
        """The value at a path such as event.plan, lead.traits.seats or company.name. Raises KeyError when there is none."""

    def count(self, cond: "EventCount") -> int:
        """How many events count; may stop counting at `cond.need`."""

    def number(self, axis: str) -> int:
        """The points on the axis score, engagement or fit."""

    def seconds_in_stage(self) -> float:
        """For how long the lead has been in its stage."""

    def seconds_idle(self) -> float:
        """For how long the person has done nothing."""

    def in_campaign(self, cond: "InCampaign") -> bool:
        """Whether the lead has such a run."""

    def until(self, node: "Leaf") -> int | None:
        """When what counts for a condition now begins to fall away (µs since 1970); None: never, or the view doesn't know."""
        return None

    def held_back(self) -> str:
        """Why high scores do not count at the moment (evidence restarts after a move backwards); empty: they do."""
        return ""


class Check(NamedTuple):
    """One condition with its answer, for "what is missing".

    `until`: when what counts for it now begins to fall away, in µs since 1970; None: never, or nobody knows.
    """

    text: str
    ok: bool
    current: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """A comparison of one value: {field: lead.title, op: has_word, value: CTO}.

    `held` is its answer while high scores do not count, None when that does not concern it.
    """

    path: str
    op: str
    value: Any
    test: Callable[[Any], bool] = field(compare=False, repr=False)
    held: bool | None = None

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        if self.held is not None and view.held_back():
            return self.held
        try:
            value = view.field(self.path)
        except KeyError:
            value = None
        return self.test(value)

    def current(self, view: View) -> object:
        """The value compared, None when there is none."""
        try:
            return view.field(self.path)
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Number:
    """At least so many points: {score: {at_least: 80}}. `held` as in Field."""

    axis: str
    at_least: int
    held: bool = False

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        if view.number(self.axis) < self.at_least:
            return False
        return self.held if view.held_back() else True


@dataclass(frozen=True, slots=True)
class EventCount:
    """How often an event happened. Exactly one of at_least, at_most, exactly; `within` and `every` in µs.

    `key` names what is counted, whatever number is asked for: conditions with the same key share a counter.
    """

    event: str
    at_least: int | None
    at_most: int | None
    exactly: int | None
    within: int | None
    every: int | None
    since: str
    of: str
    when: "Node"
    key: str

    @property
    def need(self) -> int:
        """How many of the last times must be known to answer."""
        return self.at_least if self.at_least is not None else self.bound + 1

    @property
    def bound(self) -> int:
        """The number in the condition."""
        return next(number for number in (self.at_least, self.at_most, self.exactly) if number is not None)

    def accepts(self, count: int) -> bool:
        """Whether this many are as many as asked for."""
        if self.at_least is not None:
            return count >= self.at_least
        return count <= self.at_most if self.at_most is not None else count == self.exactly

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return self.accepts(view.count(self))


@dataclass(frozen=True, slots=True)
class InStageFor:
    """In the same stage for at least so many seconds: {in_stage_for: 7d}."""

    seconds: int

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return view.seconds_in_stage() >= self.seconds


@dataclass(frozen=True, slots=True)
class IdleFor:
    """Nothing done for at least so many seconds: {idle_for: 90d}. Our mails and staff's acts don't count as doing."""

    seconds: int

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return view.seconds_idle() >= self.seconds


@dataclass(frozen=True, slots=True)
class InCampaign:
    """A run (status active, completed or ever) of one campaign, or of any that is triggered this way (event, stage, …)."""

    key: str | None
    trigger: str | None
    status: str

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return view.in_campaign(self)


@dataclass(frozen=True, slots=True)
class All:
    """Every one of them; none at all is true."""

    nodes: tuple["Node", ...]

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        for node in self.nodes:  # noqa: SIM110 - asked at every fact; a generator would take twice as long
            if not node.holds(view):
                return False
        return True


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them."""

    nodes: tuple["Node", ...]

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return any(node.holds(view) for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    node: "Node"

    def holds(self, view: View) -> bool:
        """Whether it holds for what the view shows."""
        return not self.node.holds(view)


type Leaf = Field | Number | EventCount | InStageFor | IdleFor | InCampaign
type Node = Leaf | All | AnyOf | Not

ALWAYS = All(())


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    if isinstance(node, All | AnyOf):
        return node.nodes
    return (node.node,) if isinstance(node, Not) else ()


@lru_cache(maxsize=4096)
def split_path(path: str) -> tuple[str, str]:
    """The root of a path, and what is looked up there: lead.traits.seats → lead, seats; company.name → company, name."""
    root, _, rest = path.partition(".")
    return root, rest if root == "event" else rest.removeprefix("traits.")


def lookup(values: Mapping[str, Any], path: str) -> object:
    """The value at a dotted path inside nested mappings. Raises KeyError when there is none."""
    if path in values:
        return values[path]
    head, dot, rest = path.partition(".")
    inner = values[head]
    if not dot or not isinstance(inner, Mapping):
        raise KeyError(path)
    return lookup(inner, rest)


class EventView(View):
    """Sees nothing but the properties of one event: for the `when` of derived types and of event conditions."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self.properties = properties

    def field(self, path: str) -> object:
        """A property of the event."""
        return lookup(self.properties, split_path(path)[1])

    def count(self, cond: EventCount) -> int:
        """Nothing: one event counts no others."""
        return 0

    def number(self, axis: str) -> int:
        """Nothing: an event has no points of its own."""
        return 0

    def seconds_in_stage(self) -> float:
        """Nothing: an event stands in no stage."""
        return 0.0

    def seconds_idle(self) -> float:
        """Nothing: it is just happening."""
        return 0.0

    def in_campaign(self, cond: InCampaign) -> bool:
        """No: an event is in no campaign."""
        return False


WORDS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "not_contains": "does not contain",
    "has_word": "has the word",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "exists": "is known",
    "missing": "is not known",
}


def _value(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if isinstance(value, str) else str(value)


def _span(seconds: int) -> str:
    """A duration in words: 7 days, 30 minutes."""
    unit, length = next(((unit, length) for unit, length in UNITS if seconds >= length and seconds % length == 0), UNITS[-1])
    number = seconds // length
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _describe_field(node: Field) -> str:
    name = node.path.removeprefix("lead.").replace("traits.", "")
    if node.op == "between":
        return f"{name} is between {_value(node.value[0])} and {_value(node.value[1])}"
    return f"{name} {WORDS[node.op]}" + ("" if node.value is None else f" {_value(node.value)}")


def _describe_count(node: EventCount) -> str:
    times = f"{node.bound} time" if node.bound == 1 else f"{node.bound} times"
    if node.at_least is not None:
        text = node.event if node.at_least == 1 else f"{node.event} at least {times}"
    elif node.at_most == 0 or node.exactly == 0:
        text = f"never {node.event}"
    else:
        text = f"{node.event} {'at most' if node.at_most is not None else 'exactly'} {times}"
    if node.when != ALWAYS:
        text += f" where {describe(node.when)}"
    text += " by anybody at the company" if node.of == "company" else ""
    text += f" within {_span(node.within // MICROSECONDS)}" if node.within is not None else ""
    return text + (f", {_span(node.every // MICROSECONDS)} apart" if node.every is not None else "")


def _describe_campaign(node: InCampaign) -> str:
    which = node.key or f"any campaign triggered by {node.trigger}"
    return {"active": f"is in {which}", "completed": f"completed {which}", "ever": f"was ever in {which}"}[node.status]


def _describe_leaf(node: Leaf) -> str:
    if isinstance(node, Field):
        return _describe_field(node)
    if isinstance(node, Number):
        return f"{node.axis} at least {node.at_least}"
    if isinstance(node, EventCount):
        return _describe_count(node)
    if isinstance(node, InStageFor):
        return f"in this stage for {_span(node.seconds)}"
    if isinstance(node, IdleFor):
        return f"nothing done for {_span(node.seconds)}"
    return _describe_campaign(node)


def describe(node: Node) -> str:
    """The condition as a phrase: "VIEWED_PRICING at least 3 times within 7d, 30m apart"."""
    if isinstance(node, Not):
        return f"not ({describe(node.node)})"
    if isinstance(node, All | AnyOf):
        if not node.nodes:
            return "always"
        word = " and " if isinstance(node, All) else " or "
        parts = [f"({describe(n)})" if isinstance(n, All | AnyOf) and len(n.nodes) > 1 else describe(n) for n in node.nodes]
        return word.join(parts)
    return _describe_leaf(node)


def _current(node: Leaf, view: View) -> str:
    if isinstance(node, Field):
        value = node.current(view)
        text = "not known" if is_missing(value) else _value(value)
        held = view.held_back() if node.held is not None else ""
        return f"{text}, {held}" if held else text
    if isinstance(node, Number):
        held = view.held_back()
        return f"{view.number(node.axis)}, {held}" if held else str(view.number(node.axis))
    if isinstance(node, EventCount):
        return f"{view.count(node)}/{node.bound}" + (f" in {_span(node.within // MICROSECONDS)}" if node.within is not None else "")
    if isinstance(node, InStageFor):
        return _span(int(view.seconds_in_stage()))
    if isinstance(node, IdleFor):
        return _span(int(view.seconds_idle()))
    return "yes" if view.in_campaign(node) else "no"


def explain(node: Node, view: View) -> list[Check]:
    """One check for each leaf, in order; below a `not` a leaf is fine when it does not hold."""
    if isinstance(node, Not):
        return [Check(f"not ({check.text})", not check.ok, check.current, check.until) for check in explain(node.node, view)]
    if isinstance(node, All | AnyOf):
        return [check for inner in node.nodes for check in explain(inner, view)]
    return [Check(_describe_leaf(node), node.holds(view), _current(node, view), view.until(node))]
