"""The builder as a template draws it: what each row offers to choose from, what stands in it, and what is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leads.builder import GROUPS
from leads.builder_form import Builder
from leads.builder_rows import AXES, KINDS, OTHER, SPANS, UNITS, Row
from leads.comparisons import WITHOUT_VALUE
from leads.condition_nodes import WORDS
from leads.known_fields import MORE, Choice, Offer
from leads.vocabulary import event_key

OPS = {
    "text": "is is_not contains not_contains has_word starts_with ends_with matches in not_in exists missing".split(),
    "number": "is is_not gte gt lte lt between in not_in exists missing".split(),
    "flag": "is is_not exists missing".split(),
    "stage": "is is_not in not_in".split(),
}
OP_WORDS = WORDS | {"between": "is between"}
TYPE_WORDS = {"text": "text", "number": "number", "flag": "yes or no"}
JOINTS = {"all": "Each of these holds.", "any": "One of these is enough.", "none": "None of these may hold."}

type Option = tuple[str, str, bool]


@dataclass(slots=True)
class Comparison:
    """Operator and value. `before` stands before the names of its inputs; `kinds` is empty where the kind is fixed."""

    before: str
    row: Row
    ops: list[Option]
    kinds: list[Option]
    widget: str
    options: list[Option] = field(default_factory=list)
    examples: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Cell:
    """One row. `mode`: what kind of inputs it has: field, event, points, span, or "" (nothing chosen yet)."""

    before: str
    number: int
    row: Row
    mode: str
    headed: list[tuple[str, list[Option]]]
    remove: str
    errors: Mapping[str, str]
    comparison: Comparison | None = None
    where: Comparison | None = None
    where_options: list[Option] = field(default_factory=list)
    units: dict[str, list[Option]] = field(default_factory=dict)
    warning: str = ""

    @property
    def has_more(self) -> bool:
        """Whether more is asked of a counted event than how often it happened."""
        asked = any(self.row.get(name) for name in ("within", "every", "where-what")) or self.row.get("of") == "company"
        return asked or any(name.startswith(("within", "every", "where")) for name in self.errors)


@dataclass(slots=True)
class Box:
    """One group."""

    name: str
    kind: str
    label: str
    joint: str
    cells: list[Cell]


def boxes(builder: Builder, offer: Offer, stages: Mapping[str, str]) -> list[Box]:
    """The groups with their rows."""
    return [
        Box(f"g{place}", group.kind, GROUPS[group.kind], JOINTS[group.kind], list(cells(builder, place, offer, stages)))
        for place, group in enumerate(builder.groups)
    ]


def cells(builder: Builder, place: int, offer: Offer, stages: Mapping[str, str]) -> Iterable[Cell]:
    """The rows of one group."""
    for index, row in enumerate(builder.groups[place].rows):
        errors = builder.errors.get((place, index), {})
        before = f"g{place}r{index}-"
        cell = Cell(before, index + 1, row, mode_of(row), headed(row, offer), f"remove:{place}:{index}", errors)
        if cell.mode in ("", "field"):
            cell.comparison = comparison(before, row, offer.find(row.path), stages, errors)
        elif cell.mode == "event":
            add_where(cell, offer, stages)
        cell.units = {name: chosen(UNITS, row.get(f"{name}-unit") or "d") for name in ("within", "every", "span")}
        yield cell


def mode_of(row: Row) -> str:
    """What kind of inputs a row has."""
    if row.what in AXES:
        return "points"
    if row.what in SPANS:
        return "span"
    return row.what if row.what in ("", "event") else "field"


def headed(row: Row, offer: Offer) -> list[tuple[str, list[Option]]]:
    """What a row may look at, by headings; what it looks at now is among it."""
    found = [
        (head, [(each.path, each.name if each.path == row.what else each.words, each.path == row.what) for each in choices])
        for head, choices in offer.headed
    ]
    if row.what in MORE and not any(head == "More" and any(path == row.what for path, *_ in options) for head, options in found):
        found.append(("More", [(row.what, MORE[row.what], True)]))
    elif row.what not in ("", OTHER, *KINDS) and offer.find(row.what) is None:
        found.insert(0, ("As written", [(row.what, row.what, True)]))
    return found


def comparison(
    before: str, row: Row, choice: Choice | None, stages: Mapping[str, str], errors: Mapping[str, str], *, prefix: str = ""
) -> Comparison:
    """Operator and value of a field."""
    typed = row.get("kind") if row.get("kind") in OPS else "text"
    kind = "stage" if choice and choice.kind == "stage" else typed
    op = row.get("op")
    ops = OPS[kind] if not op or op in OPS[kind] else [*OPS[kind], op]
    fixed = choice is not None and choice.fixed and choice.kind in (kind, typed)
    found = Comparison(
        before,
        row,
        [(each, OP_WORDS.get(each, each), each == op) for each in ops],
        [] if fixed else chosen(TYPE_WORDS, typed),
        widget_of(kind, op),
        examples=choice.examples if choice else (),
        errors={name.removeprefix(prefix): text for name, text in errors.items() if name.startswith(prefix)},
    )
    values = row.get("value").split("\n")
    if kind == "stage":
        unknown = {key: key for key in values if key and key not in stages}
        found.options = [(key, name, key in values) for key, name in {**stages, **unknown}.items()]
    elif kind == "flag":
        found.options = chosen({"yes": "yes", "no": "no"}, row.get("value"))
    return found


def widget_of(kind: str, op: str) -> str:
    """Which input a value is typed into."""
    if op in WITHOUT_VALUE:
        return ""
    many = op in ("in", "not_in")
    if kind == "stage":
        return "stages" if many else "choice"
    if many:
        return "lines"
    if op == "between":
        return "pair"
    return "choice" if kind == "flag" else kind


def add_where(cell: Cell, offer: Offer, stages: Mapping[str, str]) -> None:
    """What the properties of a counted event must be like, if that is asked."""
    row, name = cell.row, event_key(cell.row.get("event"))
    known = {choice.path: choice.words for choice in offer.of_events.get(name, [])}
    wanted = row.get("where-what")
    cell.where_options = chosen(known | ({wanted: wanted} if wanted and wanted not in known else {}), wanted)
    if wanted:
        cell.where = comparison(f"{cell.before}where-", row.where, offer.find(wanted, name), stages, cell.errors, prefix="where-")


def chosen(words: Mapping[str, str], key: str) -> list[Option]:
    """Options with the chosen one marked."""
    return [(each, word, each == key) for each, word in words.items()]
