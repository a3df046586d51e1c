"""Finds gates that would hand a lead round in a circle at one instant.

Gates may lead backwards, so circles are allowed, as long as no lead can go round one without anything
happening. A circle is refused unless two of its gates exclude each other: one needs what the other
forbids, for every way in which each of them can open. The proof is conservative, it knows
- an event at least n times against at most fewer times, in a window that is as long or longer,
- numbers whose ranges do not meet (`score` at least 80 against `lead.score` less than 40),
- `is` against another value or `is_not`, `exists` against `missing`, and anything against its `not`,
- a stay (`in_stage_for`) of any length: who has just arrived has not stayed,
- idleness that leads backwards against something the person did: after a move backwards only new acts count, and they end idleness.
That evidence restarts after a move backwards is no other excuse: such gates would throw a lead back at each new event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from leads.comparisons import NEGATIVE, is_number
from leads.conditions import All, AnyOf, EventCount, Field, IdleFor, InStageFor, Leaf, Node, Not, Number
from leads.documents import GateDoc
from leads.vocabulary import STAFF_TYPES, is_ours

OPPOSITES = NEGATIVE | {"missing": "exists"}


def find_cycle(gates: list[tuple[GateDoc, Node]], stages: Sequence[str]) -> list[GateDoc] | None:
    """The first circle of gates that can all be open at one instant, or None.

    Each gate comes with its conditions as one node; `stages` are the keys in their order.
    """
    facing = [(gate, forward_only(positive(node)) if leads_forward(gate, stages) else positive(node)) for gate, node in gates]
    facing = [(gate, node) for gate, node in facing if not needs_stay(node)]
    for gate, node in facing:
        for origin in gate.origins:
            if found := walk(origin, [(gate, node)], facing):
                return found
    return None


def leads_forward(gate: GateDoc, stages: Sequence[str]) -> bool:
    """Whether a gate leads out of some stage to a later one."""
    places = {key: place for place, key in enumerate(stages)}
    return any(places.get(origin, 0) <= places.get(gate.to, 0) for origin in gate.origins)


def forward_only(node: Node) -> Node:
    """The conditions of a gate forwards: idleness says nothing there, for old evidence counts."""
    if isinstance(node, All | AnyOf):
        return type(node)(tuple(forward_only(part) for part in node.nodes))
    return InStageFor(0) if isinstance(node, IdleFor) else node


def needs_stay(node: Node) -> bool:
    """Whether a gate opens only for who has been in the stage for some time."""
    if isinstance(node, AnyOf):
        return bool(node.nodes) and all(map(needs_stay, node.nodes))
    if isinstance(node, All):
        return any(map(needs_stay, node.nodes))
    return isinstance(node, InStageFor) and node.seconds > 0


def walk(home: str, route: list[tuple[GateDoc, Node]], gates: list[tuple[GateDoc, Node]]) -> list[GateDoc] | None:
    """Follow gates from the end of `route` back to the stage `home`, none of which excludes another."""
    here = route[-1][0].to
    if here == home:
        return [gate for gate, _ in route]
    passed = {gate.to for gate, _ in route[:-1]}
    for gate, node in gates:
        fresh = here in gate.origins and gate.to not in passed and gate.to != here
        if fresh and not any(exclude(node, other) for _, other in route) and (found := walk(home, [*route, (gate, node)], gates)):
            return found
    return None


def positive(node: Node, *, negated: bool = False) -> Node:
    """The same condition, flat: every `not` moved down to the leaves, no group directly inside one of its own kind."""
    if isinstance(node, Not):
        return positive(node.node, negated=not negated)
    if isinstance(node, All | AnyOf):
        group = AnyOf if isinstance(node, AnyOf) != negated else All
        parts = [positive(part, negated=negated) for part in node.nodes]
        flat = [inner for part in parts for inner in (part.nodes if isinstance(part, group) else (part,))]
        return flat[0] if len(flat) == 1 else group(tuple(flat))
    if isinstance(node, Field):
        node = replace(node, held=None)
    elif isinstance(node, Number):
        node = replace(node, held=False)
    return flipped(node) if negated else node


def flipped(leaf: Leaf) -> Node:
    """The opposite of one leaf, as a leaf of its own where there is one."""
    if isinstance(leaf, EventCount) and leaf.at_least is not None:
        return replace(leaf, at_least=None, at_most=leaf.at_least - 1)
    if isinstance(leaf, EventCount) and leaf.at_most is not None:
        return replace(leaf, at_most=None, at_least=leaf.at_most + 1)
    return Not(leaf)


def exclude(one: Node, other: Node) -> bool:
    """Whether it is certain that the two never hold together."""
    if isinstance(one, AnyOf):
        return all(exclude(part, other) for part in one.nodes)
    if isinstance(other, AnyOf):
        return all(exclude(one, part) for part in other.nodes)
    if isinstance(one, All) or isinstance(other, All):
        firsts = any(exclude(part, other) for part in one.nodes) if isinstance(one, All) else False
        return firsts or (isinstance(other, All) and any(exclude(one, part) for part in other.nodes))
    return clash(one, other) or clash(other, one)


def clash(one: Node, other: Node) -> bool:
    """Whether two leaves contradict each other, looked at from `one`."""
    if isinstance(one, EventCount) and isinstance(other, EventCount):
        return counts_clash(one, other)
    if isinstance(other, Not) and one == other.node:
        return True
    if isinstance(one, IdleFor) and isinstance(other, EventCount):
        return other.of == "lead" and other.at_least is not None and other.event not in STAFF_TYPES and not is_ours(other.event)
    if isinstance(one, Field) and isinstance(other, Field) and one.path == other.path and fields_clash(one, other):
        return True
    return any(
        path == its and (low > high_of or low_of > high) for path, low, high in ranges(one) for its, low_of, high_of in ranges(other)
    )


def counts_clash(one: EventCount, other: EventCount) -> bool:
    """At least so many of one event, against at most fewer of it in a window as long or longer."""
    same = (one.event, one.when, one.every, one.of) == (other.event, other.when, other.every, other.of)
    least = one.at_least if one.at_least is not None else one.exactly
    most = other.at_most if other.at_most is not None else other.exactly
    if not same or least is None or most is None:
        return False
    return least > most and (one.within or inf) <= (other.within or inf)


def fields_clash(one: Field, other: Field) -> bool:
    """Two comparisons of the same field that contradict each other."""
    if OPPOSITES.get(other.op) == one.op:
        return folded(one.value) == folded(other.value)
    return one.op == other.op == "is" and folded(one.value) != folded(other.value)


def folded(value: object) -> object:
    """A value as comparisons see it: text without case."""
    return value.casefold() if isinstance(value, str) else value


def ranges(leaf: Node) -> Iterator[tuple[str, float, float]]:
    """Which numbers a leaf allows: (path, lowest, highest); an open end is moved by less than one could ever tell."""
    if isinstance(leaf, Number):
        yield f"lead.{leaf.axis}", leaf.at_least, inf
    elif isinstance(leaf, Not) and isinstance(leaf.node, Number):
        yield f"lead.{leaf.node.axis}", -inf, leaf.node.at_least - 1
    elif isinstance(leaf, Field) and leaf.op == "between" and is_number(leaf.value[0]):
        yield leaf.path, leaf.value[0], leaf.value[1]
    elif isinstance(leaf, Field) and is_number(leaf.value):
        tiny = abs(leaf.value) * 1e-12 + 1e-12
        bounds = {
            "is": (leaf.value, leaf.value),
            "gt": (leaf.value + tiny, inf),
            "gte": (leaf.value, inf),
            "lt": (-inf, leaf.value - tiny),
            "lte": (-inf, leaf.value),
        }
        if leaf.op in bounds:
            yield leaf.path, *bounds[leaf.op]
