"""Finds gates that would hand a lead round in a circle at one instant.

Gates may lead backwards, so circles are allowed, as long as no lead can go round one without anything
happening. A circle is refused unless two of its gates exclude each other: one needs what the other
forbids, for every way in which each of them can open. The proof is conservative, it knows
- an event at least n times against at most fewer times, in a window that is as long or longer,
- numbers whose ranges do not meet (`score` at least 80 against `lead.score` less than 40),
- `is` against another value or `is_not`, `exists` against `missing`, and anything against its `not`.
That evidence restarts after a move backwards is no excuse: such gates would throw a lead back at each new event. But for
a gate that leads backwards when a lead is idle, where what leads on at once needs an event or points: the first new event
ends idleness.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from leads.comparisons import NEGATIVE, is_number
from leads.conditions import All, AnyOf, EventCount, Field, IdleFor, Leaf, Node, Not, Number
from leads.documents import GateDoc
from leads.vocabulary import STAFF_TYPES, is_ours

OPPOSITES = NEGATIVE | {"missing": "exists"}


def find_cycle(gates: list[tuple[GateDoc, Node]], order: Sequence[str] = ()) -> list[GateDoc] | None:
    """The first circle of gates that can all be open at one instant, or None.

    Each gate comes with its conditions as one node; `order` are the stages from the first to the last.
    """
    facing = [(gate, positive(node)) for gate, node in gates]
    for gate, node in facing:
        for origin in gate.origins:
            if found := walk(origin, [(gate, node)], facing, order):
                return found
    return None


def walk(home: str, route: list[tuple[GateDoc, Node]], gates: list[tuple[GateDoc, Node]], order: Sequence[str]) -> list[GateDoc] | None:
    """Follow gates from the end of `route` back to the stage `home`, none of which excludes another."""
    last, condition = route[-1]
    rests = is_idle(condition) and leads_back(home if len(route) == 1 else route[-2][0].to, last.to, order)
    if last.to == home:
        return None if rests and is_woken(route[0][1]) else [gate for gate, _ in route]
    passed = {gate.to for gate, _ in route[:-1]}
    for gate, node in gates:
        fresh = last.to in gate.origins and gate.to not in passed and gate.to != last.to and not (rests and is_woken(node))
        if fresh and not any(exclude(node, other) for _, other in route) and (found := walk(home, [*route, (gate, node)], gates, order)):
            return found
    return None


def leads_back(start: str, end: str, order: Sequence[str]) -> bool:
    """Whether a move is one backwards."""
    return start in order and end in order and order.index(end) < order.index(start)


def is_idle(node: Node) -> bool:
    """Whether a gate opens only for somebody who has done nothing for a while."""
    if isinstance(node, AnyOf):
        return all(is_idle(part) for part in node.nodes)
    return any(is_idle(part) for part in node.nodes) if isinstance(node, All) else isinstance(node, IdleFor)


def is_woken(node: Node) -> bool:
    """Whether, after a move backwards, a gate opens only when the person does something: by an event of theirs, or by new points."""
    if isinstance(node, AnyOf):
        return all(is_woken(part) for part in node.nodes)
    if isinstance(node, All):
        return any(is_woken(part) for part in node.nodes)
    if isinstance(node, EventCount):
        least = node.at_least if node.at_least is not None else node.exactly or 0
        theirs = node.of != "company" and node.event not in STAFF_TYPES and not is_ours(node.event)
        return least > 0 and theirs
    return isinstance(node, Number)


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
