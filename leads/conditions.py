"""The one condition language of rules, gates, guards and audiences: read, evaluate, explain."""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Never

from leads.comparisons import NEGATIVE, OPERATORS, compile_test, value_problem
from leads.condition_nodes import (
    ALWAYS,
    All,
    AnyOf,
    Check,
    EventCount,
    EventView,
    Field,
    IdleFor,
    InCampaign,
    InStageFor,
    Leaf,
    Node,
    Not,
    Number,
    View,
    children,
    describe,
    explain,
    lookup,
)
from leads.vocabulary import event_key, parse_duration

__all__ = [
    "ALWAYS",
    "All",
    "AnyOf",
    "Check",
    "ConditionError",
    "EventCount",
    "EventView",
    "Field",
    "IdleFor",
    "InCampaign",
    "InStageFor",
    "Leaf",
    "Node",
    "Not",
    "Number",
    "Place",
    "View",
    "children",
    "describe",
    "evaluate",
    "event_counts",
    "explain",
    "lookup",
    "parse",
]


class ConditionError(ValueError):
    """A condition that cannot be read: `path` says where in the structure, the message what and how to cure it."""

    def __init__(self, message: str, path: list[str | int]) -> None:
        super().__init__(message)
        self.path = path


class Place(StrEnum):
    """Where a condition stands; it decides what the condition may ask for."""

    EVENT = "the condition of an event"
    EXCLUDE = "an exclusion"
    RULE = "a scoring rule"
    FIT = "a fit rule"
    GATE = "a gate"
    TRIGGER = "a trigger"
    RUN = "a campaign's guard, goal or exit"
    AUDIENCE = "an audience"


NUMBERS = ("score", "engagement", "fit")
GROUPS = ("all", "any", "not")
LOOKS = ("field", "event", *NUMBERS, "in_stage_for", "idle_for", "campaign")
ALLOWED = {
    Place.EVENT: {"field"},
    Place.RULE: {"field"},
    Place.FIT: {"field"},
    Place.EXCLUDE: {"field"},
    Place.TRIGGER: {"field"},
    Place.GATE: {"field", "event", *NUMBERS, "in_stage_for", "idle_for"},
    Place.RUN: set(LOOKS),
    Place.AUDIENCE: set(LOOKS),
}
ROOTS = {
    Place.EVENT: ("event",),
    Place.RULE: ("event", "lead", "company"),
    Place.TRIGGER: ("event", "lead", "company"),
}
PERSON = ("name", "email", "phone", "title", "country", "timezone")
LEAD_FIELDS = (*PERSON, "stage", *NUMBERS, "value", "source")
# What the engine cannot know when it scores: these depend on moves, on the rule itself, or are no facts.
UNKNOWN = {
    Place.RULE: ("stage", "value", "source"),
    Place.FIT: ("stage", "value", "source", *NUMBERS),
    Place.EXCLUDE: ("stage", "value", "source", *NUMBERS),
    Place.GATE: ("value", "source"),
}
UPWARD = ("is", "in", "gt", "gte", "between")
DOWNWARD = ("lt", "lte", *NEGATIVE)
MAX_DEPTH = 12
MAX_TIMES = 1000


def evaluate(node: Node, view: View) -> bool:
    """Whether the condition holds for what the view shows."""
    return node.holds(view)


def event_counts(node: Node) -> list[EventCount]:
    """All event conditions inside, in order."""
    if isinstance(node, EventCount):
        return [node]
    return [count for child in children(node) for count in event_counts(child)]


def parse(conditions: list[Any] | dict[str, Any], *, place: Place) -> Node:
    """Read conditions; a list means all of them, an empty one is always true. Raises ConditionError."""
    return _Reader(place, (), negated=False).read(conditions)


def _suggest(word: object, known: Iterable[str]) -> str:
    """A cure for a misspelt word."""
    names = list(known)
    close = difflib.get_close_matches(str(word), names, n=1)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(names)}"


def _digest(what: list[Any]) -> str:
    """A short stable name for a piece of JSON."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one place of the structure; knows where it is and whether it stands below an odd number of `not`."""

    place: Place
    path: tuple[str | int, ...]
    negated: bool

    def at(self, *steps: str | int) -> "_Reader":
        return replace(self, path=(*self.path, *steps))

    def fail(self, message: str) -> Never:
        raise ConditionError(message, list(self.path))

    def read(self, given: Any) -> Node:
        if len(self.path) > 2 * MAX_DEPTH:
            self.fail("these conditions nest too deeply; write them flatter")
        if isinstance(given, list):
            return All(tuple(self.at(i).read(each) for i, each in enumerate(given))) if given else ALWAYS
        if not isinstance(given, dict):
            self.fail(f"a condition is a mapping such as {{field: lead.title, op: is, value: CTO}}, not {given!r}")
        kinds = [key for key in given if key in LOOKS or key in GROUPS]
        if len(kinds) != 1:
            self.fail(self.which(given, kinds))
        if kinds[0] in GROUPS:
            return self.group(kinds[0], given)
        return self.look(kinds[0], given)

    def which(self, given: dict[str, Any], kinds: list[str]) -> str:
        if kinds:
            return f"one condition cannot ask for {' and '.join(kinds)}; make it two conditions"
        word = next(iter(given), "")
        return f"{word!r} is no condition; {_suggest(word, (*LOOKS, *GROUPS))}"

    def only(self, given: dict[str, Any], *known: str) -> None:
        for key in given:
            if key not in known:
                self.at(str(key)).fail(f"{key!r} does not belong here; {_suggest(key, known)}")

    def group(self, word: str, given: dict[str, Any]) -> Node:
        self.only(given, word)
        inner = self.at(word)
        if word == "not":
            return Not(replace(inner, negated=not self.negated).read(given[word]))
        if not isinstance(given[word], list) or not given[word]:
            inner.fail(f"{word} takes a list of at least one condition")
        nodes = tuple(inner.at(i).read(each) for i, each in enumerate(given[word]))
        return All(nodes) if word == "all" else AnyOf(nodes)

    def look(self, word: str, given: dict[str, Any]) -> Node:
        if word not in ALLOWED[self.place]:
            self.at(word).fail(f"{self.place} cannot ask for {word}; it may use {', '.join(sorted(ALLOWED[self.place]))}")
        if word in NUMBERS:
            return self.points(word, given)
        readers: dict[str, Callable[[dict[str, Any]], Node]] = {
            "field": self.field,
            "event": self.event,
            "in_stage_for": self.in_stage_for,
            "idle_for": self.idle_for,
            "campaign": self.campaign,
        }
        return readers[word](given)

    # --- fields

    def field(self, given: dict[str, Any]) -> Field:
        self.only(given, "field", "op", "value")
        path, op, value = given["field"], given.get("op"), given.get("value")
        self.check_path(path)
        if op not in OPERATORS:
            self.at("op").fail(f"{op!r} is no operator; {_suggest(op, OPERATORS)}" if op else f"op is missing; {_suggest('', OPERATORS)}")
        if problem := value_problem(op, value):
            self.at("value").fail(problem)
        held = None
        if self.place == Place.GATE and path.removeprefix("lead.") in NUMBERS and op in (DOWNWARD if self.negated else UPWARD):
            held = self.negated
        return Field(path, op, value, compile_test(op, value), held)

    def check_path(self, path: Any) -> None:
        here = self.at("field")
        roots = ROOTS.get(self.place, ("lead", "company"))
        root, _, rest = path.partition(".") if isinstance(path, str) else ("", "", "")
        if root not in roots or not rest or ".." in path or path.endswith("."):
            here.fail(f"{path!r} is no field for {self.place}; fields begin with {' or '.join(f'{r}.' for r in roots)}")
        if root != "lead" or (rest.startswith("traits.") and rest != "traits."):
            return
        if rest not in LEAD_FIELDS:
            known = [f"lead.{name}" for name in LEAD_FIELDS]
            here.fail(f"{path!r} is no field; {_suggest(path, known)} Everything else a lead told us is lead.traits.…")
        if rest in UNKNOWN.get(self.place, ()):
            here.fail(f"{self.place} cannot use {path}, which is not known when points are given; use it in a campaign's audience or guard")

    # --- numbers

    def points(self, axis: str, given: dict[str, Any]) -> Number:
        self.only(given, axis)
        here, bounds = self.at(axis), given[axis]
        if not isinstance(bounds, dict):
            here.fail(f"write {{{axis}: {{at_least: 80}}}}")
        here.only(bounds, "at_least")
        number = bounds.get("at_least")
        if not isinstance(number, int) or isinstance(number, bool):
            here.fail(f"at_least is a whole number, not {number!r}")
        return Number(axis, number, held=self.negated)

    # --- events

    def event(self, given: dict[str, Any]) -> EventCount:
        self.only(given, "event", "times", "within", "every", "of", "since", "when")
        name = given["event"]
        if not isinstance(name, str) or not name or event_key(name) != name:
            self.at("event").fail(f"{name!r} is no event type; write it like {event_key(str(name)) or 'VIEWED_PRICING'}")
        within, every, since, of = self.span(given, "within"), self.span(given, "every"), self.since(given), self.whose(given)
        when = given.get("when", [])
        key = _digest([name, within, every, since, of, when])
        node = replace(self, place=Place.EVENT, path=(*self.path, "when")).read(when)
        least, most, exactly = self.times(given)
        return EventCount(name, least, most, exactly, within, every, since, of, node, key)

    def times(self, given: dict[str, Any]) -> tuple[int | None, int | None, int | None]:
        """At least, at most, exactly: one of them is given."""
        here, times = self.at("times"), given.get("times", {"at_least": 1})
        if not isinstance(times, dict):
            here.fail("write times: {at_least: 3}")
        here.only(times, "at_least", "at_most", "exactly")
        if len(times) != 1:
            here.fail("give exactly one of at_least, at_most, exactly")
        [(word, number)] = times.items()
        least = 1 if word == "at_least" else 0
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= MAX_TIMES:
            here.at(word).fail(f"{word} is a whole number from {least} to {MAX_TIMES}, not {number!r}")
        return times.get("at_least"), times.get("at_most"), times.get("exactly")

    def since(self, given: dict[str, Any]) -> str:
        default = "run" if self.place == Place.RUN else "ever"
        since = given.get("since", default)
        if since not in ("ever", "run"):
            self.at("since").fail(f"since is ever or run, not {since!r}")
        if since == "run" and default == "ever":
            self.at("since").fail(f"{self.place} belongs to no run; leave since out")
        return str(since)

    def whose(self, given: dict[str, Any]) -> str:
        of = given.get("of", "lead")
        if of not in ("lead", "company"):
            self.at("of").fail(f"of is lead or company, not {of!r}")
        return str(of)

    def span(self, given: dict[str, Any], word: str) -> int | None:
        """A duration in µs."""
        if word not in given:
            return None
        try:
            duration = parse_duration(given[word])
        except ValueError as error:
            self.at(word).fail(str(error))
        if not duration:
            self.at(word).fail(f"{word} is longer than nothing; write for example 7d")
        return duration // timedelta(microseconds=1)

    # --- campaigns

    def in_stage_for(self, given: dict[str, Any]) -> InStageFor:
        self.only(given, "in_stage_for")
        return InStageFor((self.span(given, "in_stage_for") or 0) // 1_000_000)

    def idle_for(self, given: dict[str, Any]) -> IdleFor:
        self.only(given, "idle_for")
        return IdleFor((self.span(given, "idle_for") or 0) // 1_000_000)

    def campaign(self, given: dict[str, Any]) -> InCampaign:
        self.only(given, "campaign", "status")
        which, status = given["campaign"], given.get("status", "active")
        if status not in ("active", "completed", "ever"):
            self.at("status").fail(f"{status!r} is no status of a run; {_suggest(status, ('active', 'completed', 'ever'))}")
        if isinstance(which, str) and which:
            return InCampaign(which, None, status)
        here, triggers = self.at("campaign"), ("event", "stage", "schedule", "manual")
        if not isinstance(which, dict) or list(which) != ["trigger"]:
            here.fail("name a campaign by its key, or write {campaign: {trigger: event}}")
        if which["trigger"] not in triggers:
            here.at("trigger").fail(f"{which['trigger']!r} is no kind of trigger; {_suggest(which['trigger'], triggers)}")
        return InCampaign(None, which["trigger"], status)
