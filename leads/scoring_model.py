"""A published scoring model, compiled: rules, fit, gates and counters found by what the engine asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from leads.condition_nodes import ALWAYS, All, AnyOf, EventCount, EventView, Node, Not, children
from leads.conditions import Place, event_counts, parse
from leads.documents import FitDoc, GateDoc, LimitDoc, LimitsDoc, ModelDoc, RuleDoc
from leads.vocabulary import parse_duration

DAY = 86_400_000_000
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
class FitRule:
    """What it is worth who somebody is."""

    key: str
    points: int
    when: Node


@dataclass(frozen=True, slots=True)
class Gate:
    """A way out of some stages. `falling`: counters that can open it by the passing of time alone."""

    key: str
    origins: tuple[str, ...]
    to: str
    conditions: Node
    falling: tuple[EventCount, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """What the state counts for one event type: the last `need` times, `every` µs apart; `when` None: all of them."""

    key: str
    need: int
    every: int | None
    when: Node | None


@dataclass(frozen=True, slots=True)
class Model:
    """One version, ready to fold with. Immutable and shared between folds."""

    version: int
    limits: LimitsDoc
    rules: Mapping[str, tuple[Rule, ...]]
    fit: tuple[FitRule, ...]
    gates: Mapping[str, tuple[Gate, ...]]
    counters: Mapping[str, tuple[Counter, ...]]
    derived: Mapping[str, tuple[tuple[Node, str], ...]]
    counter_keys: frozenset[str]
    waiting: frozenset[str]  # stages with a gate that the passing of time alone can open

    def types_of(self, type: str, properties: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: A002
        """The type of an event and those derived from it, its own first."""
        rules = self.derived.get(type)
        if not rules:
            return (type,)
        view = EventView(properties)
        return tuple(dict.fromkeys([type, *(name for when, name in rules if when.holds(view))]))

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
    counts = [count for gate in gates for count in event_counts(gate.conditions)]
    return Model(
        version=version,
        limits=scoring.limits,
        rules=_grouped(rules),
        fit=tuple(sorted(map(_fit_rule, scoring.fit), key=lambda rule: rule.key)),
        gates=_grouped((origin, gate) for gate in gates for origin in gate.origins),
        counters=_counters(counts),
        derived=_grouped((each.from_, (parse(each.when, place=Place.EVENT), each.as_)) for each in scoring.derive),
        counter_keys=frozenset(count.key for count in counts),
        waiting=frozenset(origin for gate in gates if gate.falling for origin in gate.origins),
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
    when = parse(doc.when, place=Place.RULE)
    limit = None if doc.limit is None else _limit(doc.key, doc.limit)
    return Rule(doc.key, doc.points or 0, doc.reset is not None, None if when == ALWAYS else when, limit, _microseconds(doc.expires_after))


def _limit(key: str, doc: LimitDoc) -> Limit:
    if (doc.per is None) == (doc.days is None):
        raise ModelError(f"the limit of rule {key} needs either per or days; write {{times: {doc.times}, per: day}}")
    if doc.days is not None:
        return Limit(doc.times, doc.days * DAY, f"limit: {doc.times} in {doc.days} days")
    if doc.per is None or doc.per == "ever":
        return Limit(doc.times, None, f"limit: {doc.times} ever")
    return Limit(doc.times, PERIODS[doc.per] * DAY, f"limit: {doc.times} per {doc.per}")


def _fit_rule(doc: FitDoc) -> FitRule:
    return FitRule(doc.key, doc.points, parse(doc.when, place=Place.FIT))


def _gate(doc: GateDoc) -> Gate:
    conditions = parse(doc.conditions, place=Place.GATE)
    if doc.match == "any" and isinstance(conditions, All) and conditions.nodes:
        conditions = AnyOf(conditions.nodes)
    return Gate(doc.key, tuple(doc.origins), doc.to, conditions, tuple(_falling(conditions, negated=False)))


def _falling(node: Node, *, negated: bool) -> list[EventCount]:
    """The event conditions that can begin to hold because time passes: "at most", "exactly", and "not at least"."""
    if isinstance(node, EventCount):
        rising = node.at_most is not None if negated else node.at_least is not None
        return [] if node.within is None or rising else [node]
    return [count for child in children(node) for count in _falling(child, negated=negated != isinstance(node, Not))]


def _counters(counts: list[EventCount]) -> dict[str, tuple[Counter, ...]]:
    """One counter for each thing counted, keeping as many times as the most demanding condition needs."""
    need: dict[str, int] = {}
    for count in counts:
        need[count.key] = max(count.need, need.get(count.key, 0))
    once = {count.key: count for count in counts}.values()
    return _grouped(
        (count.event, Counter(count.key, need[count.key], count.every, None if count.when == ALWAYS else count.when)) for count in once
    )
