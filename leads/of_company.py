"""What people of one company share: events that count for all of them, and what is said about the company."""

from collections.abc import Iterable
from dataclasses import dataclass

from leads.condition_nodes import EventCount, Field, Node, children
from leads.documents import DeriveDoc


@dataclass(frozen=True, slots=True)
class OfCompany:
    """What a model asks of somebody's colleagues. False in itself when that is nothing."""

    types: frozenset[str] = frozenset()  # stored types of events that conditions may count for the whole company
    facts: bool = False  # whether conditions look at `company.*`, which any colleague may tell

    def __or__(self, other: "OfCompany") -> "OfCompany":
        return OfCompany(self.types | other.types, self.facts or other.facts)

    def __bool__(self) -> bool:
        return bool(self.types) or self.facts


def asked_of_company(counts: Iterable[EventCount], derive: Iterable[DeriveDoc], nodes: Iterable[Node | None]) -> OfCompany:
    """What a model asks with these counts, derived types and conditions: types that are, or may become, counted for a company."""
    wanted = {count.event for count in counts if count.of == "company"}
    return OfCompany(frozenset(wanted | {each.from_ for each in derive if each.as_ in wanted}), asks_of_company(nodes))


def asks_of_company(nodes: Iterable[Node | None]) -> bool:
    """Whether one of these conditions looks at a fact about the company."""
    return any(_looks(node) for node in nodes if node is not None)


def _looks(node: Node) -> bool:
    if isinstance(node, Field):
        return node.path.startswith("company.")
    return any(map(_looks, children(node)))
