"""One condition as a row of inputs, and back: what people type stays text until it is read."""

import math
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from leads.comparisons import LIST, NEGATIVE, PAIR, POSITIVE, WITHOUT_VALUE, is_number
from leads.shape import same
from leads.vocabulary import DURATION, event_key

AXES = ("score", "engagement", "fit")
SPANS = ("in_stage_for", "idle_for")
TIMES = ("at_least", "at_most", "exactly")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: What a row may be about besides a field: a counted event, points, or time.
KINDS = ("event", *AXES, *SPANS)
OTHER = "other"
TYPES = ("text", "number", "flag")
FLAGS = {"yes": True, "no": False}
LARGEST = 2**53

type Condition = dict[str, Any]


class RowError(ValueError):
    """An input that can't be read: `name` says which one, the message what to do."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(slots=True)
class Row:
    """One condition as typed. `what`: the path of a field, a kind, "other" (its path is typed), or "" (not chosen yet)."""

    what: str = ""
    typed: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """What stands in one of its inputs."""
        return self.typed.get(name, "")

    @property
    def path(self) -> str:
        """The field it compares; "" when it is about something else."""
        return self.get("path").strip() if self.what == OTHER else "" if self.what in ("", *KINDS) else self.what

    @property
    def where(self) -> "Row":
        """Of a counted event: what its properties must be like, as a row of its own."""
        return Row(
            self.get("where-what"), {name.removeprefix("where-"): it for name, it in self.typed.items() if name.startswith("where-")}
        )


# --- from a condition ---------------------------------------------------------------------------


def row_of(condition: Any) -> Row | None:
    """The row that shows a condition; None when no row can say the same."""
    if not isinstance(condition, dict):
        return None
    try:
        row = field_row(condition) if "field" in condition else event_row(condition) if "event" in condition else plain_row(condition)
        return row if row and same(condition_of(row), without_defaults(condition)) else None
    except (RowError, TypeError, ValueError, LookupError):
        return None


def without_defaults(condition: Condition) -> Condition:
    """A condition as a row writes it: without what goes without saying."""
    defaults = {"times": {"at_least": 1}, "of": "lead", "since": "ever", "when": []}
    kept = {word: it for word, it in condition.items() if not ("event" in condition and word in defaults and same(it, defaults[word]))}
    when = kept.get("when")
    return kept | {"when": [when]} if isinstance(when, dict) else kept


def field_row(condition: Condition) -> Row | None:
    """A comparison as a row."""
    op, value = condition.get("op", ""), condition.get("value")
    items = value if isinstance(value, list) else [] if value is None else [value]
    kinds = {kind_of(item) for item in items}
    if len(kinds) > 1 or not all(map(is_typable, items)):
        return None
    kind = kinds.pop() if kinds else "text"
    texts = [text_of(item) for item in items]
    typed = {"op": op, "kind": kind, "value": "\n".join(texts)}
    if op == "between":
        typed |= {"value": texts[0], "value2": texts[1]}
    return Row(condition["field"], typed)


def event_row(condition: Condition) -> Row | None:
    """A counted event as a row."""
    condition = without_defaults(condition)
    [(word, number)] = condition.get("times", {"at_least": 1}).items()
    typed = {"event": condition["event"], "times": word, "number": text_of(number), "of": condition.get("of", "lead")}
    for name in ("within", "every"):
        typed |= span_inputs(condition[name], name) if name in condition else {}
    if "when" in condition:
        inner = field_row(condition["when"][0]) if len(condition["when"]) == 1 else None
        if inner is None:
            return None
        typed |= {"where-what": inner.what} | {f"where-{name}": it for name, it in inner.typed.items()}
    return Row("event", typed)


def plain_row(condition: Condition) -> Row | None:
    """Points or time as a row."""
    [(word, value)] = condition.items()
    if word in AXES:
        return Row(word, {"number": text_of(value["at_least"])})
    return Row(word, span_inputs(value, "span")) if word in SPANS else None


def span_inputs(duration: str, name: str) -> dict[str, str]:
    """A duration as a number and a unit."""
    match = DURATION.fullmatch(duration)
    if not match:
        raise RowError(name, "no duration")
    return {name: match[1], f"{name}-unit": match[2]}


def kind_of(value: Any) -> str:
    """How a value is typed."""
    return "flag" if isinstance(value, bool) else "number" if is_number(value) else "text"


def text_of(value: Any) -> str:
    """A value as it stands in an input."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else repr(value)


def is_typable(value: Any) -> bool:
    """Whether an input of one line gives the value back."""
    if isinstance(value, str):
        return bool(value.strip()) and not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in value)
    return is_number(value) or isinstance(value, bool)


# --- to a condition -----------------------------------------------------------------------------


def condition_of(row: Row) -> Condition:
    """The condition that a row says. Raises RowError."""
    if not row.what:
        raise RowError("what", "Choose what to look at, or remove this condition.")
    if row.what == "event":
        return event_condition(row)
    if row.what in AXES:
        return {row.what: {"at_least": read_whole(row, "number")}}
    if row.what in SPANS:
        return {row.what: read_span(row, "span")}
    return field_condition(row)


def field_condition(row: Row) -> Condition:
    """A comparison."""
    if not is_typable(row.path):
        raise RowError("path", "Write which field, for example lead.traits.seats.")
    op = row.get("op")
    if op in WITHOUT_VALUE:
        return {"field": row.path, "op": op}
    if NEGATIVE.get(op, op) not in POSITIVE:
        raise RowError("op", "Choose how to compare.")
    kind = POSITIVE[NEGATIVE.get(op, op)][0]
    if kind == PAIR:
        return {"field": row.path, "op": op, "value": [read_value(row, "value"), read_value(row, "value2")]}
    if kind == LIST:
        lines = [line for line in row.get("value").replace("\r\n", "\n").split("\n") if line.strip()]
        if not lines:
            raise RowError("value", "Write at least one value, each on a line of its own.")
        return {"field": row.path, "op": op, "value": [value_of(line, row.get("kind"), "value") for line in lines]}
    return {"field": row.path, "op": op, "value": read_value(row, "value")}


def event_condition(row: Row) -> Condition:
    """A counted event."""
    name, word = event_key(row.get("event")), row.get("times") or "at_least"
    if not name:
        raise RowError("event", "Write which event, for example VIEWED_PRICING.")
    if word not in TIMES:
        raise RowError("times", "Choose at least, at most or exactly.")
    number = read_whole(row, "number") if row.get("number").strip() else 1
    condition: Condition = {"event": name} | ({} if (word, number) == ("at_least", 1) else {"times": {word: number}})
    for span in ("within", "every"):
        condition |= {span: read_span(row, span)} if row.get(span).strip() else {}
    condition |= {"of": "company"} if row.get("of") == "company" else {}
    return condition | ({"when": [where_condition(row.where)]} if row.get("where-what") else {})


def where_condition(where: Row) -> Condition:
    """What the properties of a counted event must be like."""
    try:
        return field_condition(where)
    except RowError as error:
        raise RowError(f"where-{error.name}", str(error)) from error


def read_value(row: Row, name: str) -> Any:
    """One value of a comparison."""
    if not row.get(name).strip():
        raise RowError(name, "Write a value to compare with, or compare with “is known” or “is not known”.")
    return value_of(row.get(name), row.get("kind"), name)


def value_of(text: str, kind: str, name: str) -> Any:
    """A typed value: text, a number, or yes or no."""
    if kind == "flag":
        if text not in FLAGS:
            raise RowError(name, "Choose yes or no.")
        return FLAGS[text]
    if kind == "number":
        return read_number(text, name)
    if not is_typable(text):
        raise RowError(name, "There is a character in it that can't be seen; write it anew.")
    return text


def read_number(text: str, name: str) -> int | float:
    """A number as people write it."""
    text = text.strip()
    try:
        number = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise RowError(name, f"“{text[:40]}” is no number; write for example 20 or 2.5.") from None
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise RowError(name, "That number is too large.")
    return number


def read_whole(row: Row, name: str) -> int:
    """A whole number."""
    text = row.get(name).strip()
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 9:
        raise RowError(name, "Write a whole number, for example 3.")
    return int(text)


def read_span(row: Row, name: str) -> str:
    """A duration as a number and a unit."""
    number, unit = row.get(name).strip(), row.get(f"{name}-unit") or "d"
    if not number.isascii() or not number.isdigit() or len(number) > 5 or unit not in UNITS or not int(number):
        raise RowError(name, "Write for how long, for example 7 days.")
    return f"{number}{unit}"
