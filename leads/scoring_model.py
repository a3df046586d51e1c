"""A published scoring model, compiled: rules, fit, gates and counters found by what the engine asks for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

import msgspec

from leads.condition_nodes import (
    ALWAYS,
    MICROSECONDS,
    All,
    AnyOf,
    EventCount,
    EventView,
    Field,
    IdleFor,
    InStageFor,
    Node,
    Not,
    Number,
    View,
    children,
)
from leads.conditions import Place, event_counts, parse
from leads.documents import FitDoc, GateDoc, IdleDoc, LimitDoc, LimitsDoc, ModelDoc, RuleDoc
from leads.of_company import OfCompany, asked_of_company
from leads.vocabulary import parse_duration

DAY = 86_400_000_000
# More points than anybody ever gets.
NEVER = 10**15
POINT_PATHS = frozenset({"lead.score", "lead.engagement", "lead.fit"})
PERIODS = {"day": 1, "week": 7, "month": 30, "quarter": 90, "half-year": 182, "year": 365}


class ModelError(ValueError):
    """A scoring model that cannot be compiled, with the cure."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `times` grants in a window of `window` µs; None: ever."""

    times: int
    window: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of event is worth: points, or a reset. `when` None: always. `expires_after` in µs."""

    key: str
    points: int
    resets: bool
    when: Node | None
    limit: Limit | None
    expires_after: int | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Within which engagement is held, with the reasons that lines give when they were cut; what is not set is out of reach."""

    stop_above: int
    top: int
    floor: int
    stops: str
    tops: str
    floors: str


@dataclass(frozen=True, slots=True)
class FitRule:
    """What it is worth who somebody is."""

    key: str
    points: int
    when: Node


@dataclass(frozen=True, slots=True)
class IdleRule:
    """What it is worth to do nothing for `after` µs, and again for every further `every` µs (None: once)."""

    key: str
    points: int
    after: int
    every: int | None


@dataclass(frozen=True, slots=True)
class Concerns:
    """What can make conditions hold besides time and news about the person: events of these types, points, anything they do."""

    types: frozenset[str] = frozenset()
    points: bool = False
    acts: bool = False

    def concerned(self, types: Sequence[str], points: bool, acted: bool) -> bool:  # noqa: FBT001 - asked at every fact
        """Whether something of the kind happened: events of these types, points, anything done."""
        return (self.points and points) or (self.acts and acted) or not self.types.isdisjoint(types)

    def __or__(self, other: "Concerns") -> "Concerns":
        """What can make one or the other hold."""
        return Concerns(self.types | other.types, self.points or other.points, self.acts or other.acts)


NOTHING = Concerns()


@dataclass(frozen=True, slots=True)
class Gate:
    """A way out of some stages. What can open it by the passing of time alone: `falling` counters, `stays` and `idles` (µs).

    `parts` are the conditions that must all hold, each with what can make it hold.
    """

    key: str
    origins: tuple[str, ...]
    to: str
    conditions: Node
    parts: tuple[tuple[Node, Concerns], ...]
    falling: tuple[EventCount, ...]
    stays: tuple[int, ...]
    idles: tuple[int, ...]

    def shut_by(self, view: View) -> Concerns | None:
        """What would have to happen, unless time passes, before it can be open; None: it is open."""
        for node, concerns in self.parts:
            if not node.holds(view):
                return concerns
        return None


@dataclass(frozen=True, slots=True)
class Waits:
    """What gates out of one stage wait for: counted events that leave their window (within), stays, idleness (shortest first), all µs."""

    falling: Mapping[str, int]
    stays: tuple[int, ...]
    idles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """What the state counts for one event type: the last `need` times, `every` µs apart; `when` None: all of them.

    `of_company`: what colleagues do counts too.
    """

    key: str
    need: int
    every: int | None
    when: Node | None
    of_company: bool


class Kind(NamedTuple):
    """What a fold does with events of some types at once."""

    types: tuple[str, ...]
    rules: tuple[Rule, ...]
    lone: Rule | None  # the only rule, if that gives points and asks for nothing
    counters: tuple[Counter, ...]
    derives: bool  # it may be of further types, going by its properties


@dataclass(frozen=True, slots=True)
class Model:
    """One version, ready to fold with. Immutable and shared between folds."""

    version: int
    limits: LimitsDoc
    bounds: Bounds | None  # None: engagement has none
    rules: Mapping[str, tuple[Rule, ...]]
    fit: tuple[FitRule, ...]
    idle: tuple[IdleRule, ...]
    idle_first: int | None  # the shortest time (µs) after which an idle rule gives
    exclude: Node | None
    gates: Mapping[str, tuple[Gate, ...]]
    counters: Mapping[str, tuple[Counter, ...]]
    derived: Mapping[str, tuple[tuple[Node, str], ...]]
    needs: Mapping[str, int]  # counter → how many times it keeps
    waits: Mapping[str, Waits]  # stage → what its gates wait for, if the passing of time alone can open one
    concerns: Mapping[str, Concerns]  # stage → what can open a gate out of it, besides time and news about the person
    of_company: OfCompany
    # What folds found out about types of events, as long as no other version takes part.
    kinds: dict[str | tuple[str, ...], Kind] = field(default_factory=dict, init=False, compare=False, repr=False)

    def counts_within(self, other: "Model") -> bool:
        """Whether everything this version counts, `other` counted too, and listened to colleagues if this one does."""
        if self.of_company.facts and not other.of_company.facts:
            return False
        return all(other.needs.get(key, 0) >= need for key, need in self.needs.items())

    def types_of(self, type: str, properties: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: A002
        """The type of an event and those derived from it, its own first."""
        rules = self.derived.get(type)
        if not rules:
            return (type,)
        view = EventView(properties)
        types: tuple[str, ...] = (type,)
        for when, name in rules:
            if name not in types and when.holds(view):
                types = (*types, name)
        return types

    def rules_for(self, types: tuple[str, ...]) -> tuple[Rule, ...]:
        """The rules for an event with these types, by key."""
        if len(types) == 1:
            return self.rules.get(types[0], ())
        return tuple(sorted((rule for name in types for rule in self.rules.get(name, ())), key=lambda rule: rule.key))


def compile_model(document: dict[str, Any], version: int) -> Model:
    """Compile what ScoringVersion.document holds. Raises ConditionError, ModelError or msgspec.ValidationError."""
    doc = msgspec.convert(document, ModelDoc)
    scoring = doc.scoring
    rules = sorted(((rule.event, _rule(rule)) for rule in scoring.rules), key=lambda pair: pair[1].key)
    gates = [_gate(gate) for gate in doc.gates]
    by_origin = _grouped((origin, gate) for gate in gates for origin in gate.origins)
    idle = tuple(sorted(map(_idle_rule, scoring.idle), key=lambda rule: rule.key))
    counts = [count for gate in gates for count in event_counts(gate.conditions)]
    fit = tuple(sorted(map(_fit_rule, scoring.fit), key=lambda rule: rule.key))
    exclude = parse(scoring.exclude, place=Place.EXCLUDE) if scoring.exclude else None
    conditions = [*(rule.when for _, rule in rules), *(rule.when for rule in fit), exclude, *(gate.conditions for gate in gates)]
    return Model(
        version=version,
        limits=scoring.limits,
        bounds=_bounds(scoring.limits),
        rules=_grouped(rules),
        fit=fit,
        idle=idle,
        idle_first=min((rule.after for rule in idle), default=None),
        exclude=exclude,
        gates=by_origin,
        counters=_counters(counts),
        derived=_grouped((each.from_, (_bare(parse(each.when, place=Place.EVENT)) or ALWAYS, each.as_)) for each in scoring.derive),
        needs=_needs(counts),
        waits={stage: waits for stage, found in by_origin.items() if (waits := _waits(found))},
        concerns={stage: reduce(or_, map(_of_gate, found)) for stage, found in by_origin.items()},
        of_company=asked_of_company(counts, scoring.derive, conditions),
    )


def _grouped[T](pairs: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    found: dict[str, list[T]] = {}
    for key, item in pairs:
        found.setdefault(key, []).append(item)
    return {key: tuple(items) for key, items in found.items()}


def _microseconds(duration: str | None) -> int | None:
    return None if duration is None else parse_duration(duration) // timedelta(microseconds=1)


def _rule(doc: RuleDoc) -> Rule:
    if doc.expires_after is not None and not _microseconds(doc.expires_after):
        raise ModelError(f"the points of rule {doc.key} expire at once; write for example expires_after: 90d")
    when = _bare(parse(doc.when, place=Place.RULE))
    limit = None if doc.limit is None else _limit(doc.key, doc.limit)
    return Rule(doc.key, doc.points or 0, doc.reset is not None, when, limit, _microseconds(doc.expires_after))


def _bare(node: Node) -> Node | None:
    """All of a single condition is that condition, all of none is no condition: these are asked at every fact."""
    if not isinstance(node, All) or len(node.nodes) > 1:
        return node
    return node.nodes[0] if node.nodes else None


def _limit(key: str, doc: LimitDoc) -> Limit:
    if (doc.per is None) == (doc.days is None):
        raise ModelError(f"the limit of rule {key} needs either per or days; write {{times: {doc.times}, per: day}}")
    if doc.days is not None:
        return Limit(doc.times, doc.days * DAY, f"limit: {doc.times} in {doc.days} days")
    if doc.per is None or doc.per == "ever":
        return Limit(doc.times, None, f"limit: {doc.times} ever")
    return Limit(doc.times, PERIODS[doc.per] * DAY, f"limit: {doc.times} per {doc.per}")


def _bounds(doc: LimitsDoc) -> Bounds | None:
    if (doc.stop_above, doc.engagement_max, doc.floor) == (None, None, None):
        return None
    return Bounds(
        stop_above=NEVER if doc.stop_above is None else doc.stop_above,
        top=NEVER if doc.engagement_max is None else doc.engagement_max,
        floor=-NEVER if doc.floor is None else doc.floor,
        stops=f"stops above {doc.stop_above}",
        tops=f"at most {doc.engagement_max}",
        floors=f"not below {doc.floor}",
    )


def _fit_rule(doc: FitDoc) -> FitRule:
    return FitRule(doc.key, doc.points, parse(doc.when, place=Place.FIT))


def _idle_rule(doc: IdleDoc) -> IdleRule:
    after, every = _microseconds(doc.after), _microseconds(doc.every)
    if not after or every == 0:
        raise ModelError(f"idle rule {doc.key} would give points all the time; write for example after: 30d, every: 30d")
    return IdleRule(doc.key, doc.points, after, every)


def _gate(doc: GateDoc) -> Gate:
    conditions = parse(doc.conditions, place=Place.GATE)
    if doc.match == "any" and isinstance(conditions, All) and conditions.nodes:
        conditions = AnyOf(conditions.nodes)
    ripening = _ripening(conditions)
    stays = tuple(leaf.seconds * MICROSECONDS for leaf in ripening if isinstance(leaf, InStageFor))
    idles = tuple(leaf.seconds * MICROSECONDS for leaf in ripening if isinstance(leaf, IdleFor))
    parts = tuple((node, _concerns(node)) for node in (conditions.nodes if isinstance(conditions, All) else (conditions,)))
    return Gate(doc.key, tuple(doc.origins), doc.to, conditions, parts, tuple(_falling(conditions, negated=False)), stays, idles)


def _waits(gates: Iterable[Gate]) -> Waits | None:
    """What these gates wait for, None when it is nothing."""
    falling = {count.key: count.within for gate in gates for count in gate.falling if count.within}
    stays = tuple(stay for gate in gates for stay in gate.stays)
    idles = tuple(sorted(idle for gate in gates for idle in gate.idles))
    return Waits(falling, stays, idles) if falling or stays or idles else None


def _ripening(node: Node) -> list[InStageFor | IdleFor]:
    """The conditions that begin to hold after some time, wherever they stand: looked at once too often does no harm."""
    if isinstance(node, InStageFor | IdleFor):
        return [node]
    return [leaf for child in children(node) for leaf in _ripening(child)]


def _concerns(node: Node, *, negated: bool = False) -> Concerns:
    """What can make a condition hold. More events make "at least" hold, and never "at most"."""
    if isinstance(node, EventCount):
        rises = node.exactly is not None or (node.at_least is None) == negated
        return Concerns(types=frozenset({node.event})) if rises else NOTHING
    if isinstance(node, Field | Number):
        return Concerns(points=isinstance(node, Number) or node.path in POINT_PATHS)
    if isinstance(node, IdleFor):
        return Concerns(acts=negated)
    inner = (_concerns(child, negated=negated != isinstance(node, Not)) for child in children(node))
    return reduce(or_, inner, NOTHING)


def _of_gate(gate: Gate) -> Concerns:
    """What can open a gate."""
    return reduce(or_, (concerns for _, concerns in gate.parts), NOTHING)


def _falling(node: Node, *, negated: bool) -> list[EventCount]:
    """The event conditions that can begin to hold because time passes: "at most", "exactly", and "not at least"."""
    if isinstance(node, EventCount):
        rising = node.at_most is not None if negated else node.at_least is not None
        return [] if node.within is None or rising else [node]
    return [count for child in children(node) for count in _falling(child, negated=negated != isinstance(node, Not))]


def _needs(counts: list[EventCount]) -> dict[str, int]:
    """How many times each thing counted has to be remembered: as many as the most demanding condition needs."""
    need: dict[str, int] = {}
    for count in counts:
        need[count.key] = max(count.need, need.get(count.key, 0))
    return need


def _counters(counts: list[EventCount]) -> dict[str, tuple[Counter, ...]]:
    """One counter for each thing counted, by event type."""
    need, once = _needs(counts), {count.key: count for count in counts}.values()
    return _grouped(
        (count.event, Counter(count.key, need[count.key], count.every, _bare(count.when), count.of == "company")) for count in once
    )


def merge_counters(models: Iterable[Model]) -> Mapping[str, tuple[Counter, ...]]:
    """What several versions count, together."""
    models = list(models)
    if len(models) == 1:
        return models[0].counters
    found: dict[str, dict[str, Counter]] = {}
    for model in models:
        for name, counters in model.counters.items():
            at = found.setdefault(name, {})
            for counter in counters:
                if counter.key not in at or at[counter.key].need < counter.need:
                    at[counter.key] = counter
    return {name: tuple(counters.values()) for name, counters in found.items()}


def needs_of(*models: Model | None) -> dict[str, int]:
    """How many times each thing is remembered that any of these versions counts."""
    needs: dict[str, int] = {}
    for model in models:
        for key, need in model.needs.items() if model else ():
            needs[key] = max(need, needs.get(key, 0))
    return needs
