"""What a condition may look at, as it is offered to whoever writes one: with the kind of its values and a few examples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from leads.builder_rows import AXES, SPANS, text_of
from leads.conditions import ALLOWED, ROOTS, UNKNOWN, Place
from leads.masking import example_of
from leads.models import Company, Lead, SeenProperty
from leads.vocabulary import SHIPPED_TYPES

FEW = 3
LOOKED_AT = 50  # the newest leads, for examples
PERSON = {"name": "text", "email": "text", "phone": "text", "title": "text", "country": "text", "timezone": "text"}
STANDING = {"stage": "stage", "score": "number", "engagement": "number", "fit": "number"}
FIRM = {"name": "text", "domain": "text", "employees": "number", "industry": "text"}
MORE = {"event": "An event, counted", "in_stage_for": "Time in the stage", "idle_for": "Time without doing anything"} | {
    axis: f"{axis.capitalize()}, at least" for axis in AXES
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to look at. `fixed`: its values are of one kind for certain."""

    path: str
    label: str
    kind: str = "text"
    examples: tuple[str, ...] = ()
    fixed: bool = False

    @property
    def name(self) -> str:
        """Its name where it stands alone."""
        root = self.path.partition(".")[0]
        return f"{root} {self.label}" if root in ("company", "event") and root != self.path else self.label

    @property
    def words(self) -> str:
        """Its name with examples, for a list under a heading."""
        return f"{self.label} ({', '.join(self.examples)})" if self.examples else self.label


@dataclass(slots=True)
class Offer:
    """All there is to choose from: by headings; and the properties of events that are counted, by type."""

    headed: list[tuple[str, list[Choice]]] = field(default_factory=list)
    of_events: dict[str, list[Choice]] = field(default_factory=dict)

    def find(self, path: str, event: str = "") -> Choice | None:
        """The choice of that path, of the properties of `event` if that is given."""
        choices = self.of_events.get(event, []) if event else [choice for _, choices in self.headed for choice in choices]
        return next((choice for choice in choices if choice.path == path), None)


def offer(place: Place, *, event: str = "", counted: Iterable[str] = ()) -> Offer:
    """What a condition at this place may look at. `event`: the type it is about; `counted`: types whose properties are asked for."""
    wanted = set(counted)
    seen: dict[str, list[SeenProperty]] = {}
    for row in SeenProperty.objects.filter(type__in={event, "", *wanted}).exclude(path=""):
        seen.setdefault(row.type, []).append(row)
    roots = ROOTS.get(place, ("lead", "company"))
    headed = [("Event", of_event(seen.get(event, [])) if event else [])] if "event" in roots else []
    if "lead" in roots:
        traits = [of_trait(row) for row in seen.get("", [])]
        headed.append(("Lead", [*known_of_leads(place), *(each for each in traits if each.path.startswith("lead."))]))
        firm = known_of_companies()
        known = {choice.path for choice in firm}
        headed.append(("Company", [*firm, *(each for each in traits if each.path.startswith("company.") and each.path not in known)]))
    more = [Choice(kind, MORE[kind]) for kind in ("event", *AXES, *SPANS) if kind in ALLOWED[place]]
    return Offer(
        [(head, choices) for head, choices in [*headed, ("More", more)] if choices], {t: of_event(seen.get(t, [])) for t in wanted}
    )


def of_event(rows: list[SeenProperty]) -> list[Choice]:
    """Seen properties of one type."""
    return [Choice(row.path, row.path.removeprefix("event."), shown_kind(row), shown(row.examples)) for row in rows]


def of_trait(row: SeenProperty) -> Choice:
    """A seen trait of people or companies."""
    name = row.path.partition(".")[2].removeprefix("traits.")
    return Choice(row.path, name.replace("_", " "), shown_kind(row), shown(row.examples))


def shown_kind(row: SeenProperty) -> str:
    """How its values are typed at first."""
    return row.kind if row.kind in (SeenProperty.Kind.NUMBER, SeenProperty.Kind.FLAG) else "text"


def shown(values: Iterable[Any]) -> tuple[str, ...]:
    """Examples as text, each once."""
    return tuple(dict.fromkeys(text_of(value) for value in values if value not in (None, "")))[:FEW]


def known_of_leads(place: Place) -> list[Choice]:
    """The fields every lead has; names and phones are not shown, addresses masked."""
    rows = list(Lead.objects.known().order_by("-pk").values(*PERSON)[:LOOKED_AT])
    unknown = UNKNOWN.get(place, ())
    examples = {name: shown(example_of(name, row[name]) for row in rows) for name in PERSON}
    names = PERSON | {name: kind for name, kind in STANDING.items() if name not in unknown}
    return [Choice(f"lead.{name}", name, kind, examples.get(name, ()), fixed=True) for name, kind in names.items()]


def known_of_companies() -> list[Choice]:
    """The fields most companies have."""
    rows = Company.objects.order_by("-pk").values_list("name", "domain", "traits")[:LOOKED_AT]
    known = [{"name": name, "domain": domain} | {key: traits[key] for key in FIRM if key in traits} for name, domain, traits in rows]
    examples = {name: shown(each.get(name) for each in known) for name in FIRM}
    return [Choice(f"company.{name}", name, kind, examples[name], fixed=name in ("name", "domain")) for name, kind in FIRM.items()]


def known_types(derived: Iterable[str]) -> list[tuple[str, Any]]:
    """All event types to choose from, with when one happened last (None: never): those seen, shipped ones, and derived ones."""
    seen = dict(SeenProperty.objects.filter(path="").exclude(type="").values_list("type", "last_at"))
    return sorted((name, seen.get(name)) for name in {*seen, *SHIPPED_TYPES, *derived})
