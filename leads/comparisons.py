"""How a condition compares a value: the operators, and what they mean for text, numbers, lists and nothing at all."""

import fnmatch
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

type Test = Callable[[Any], bool]

NUMBERS = (int, float, Decimal)


def is_number(value: object) -> bool:
    """Whether `value` is a number; true and false are not."""
    return isinstance(value, NUMBERS) and not isinstance(value, bool)


def is_missing(value: object) -> bool:
    """Whether there is nothing to compare: no value, or an empty text."""
    return value is None or value == ""


def _same(wanted: Any) -> Test:
    if isinstance(wanted, str):
        folded = wanted.casefold()
        return lambda value: isinstance(value, str) and value.casefold() == folded
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    return lambda value: is_number(value) and value == wanted


def _one_of(wanted: list[Any]) -> Test:
    tests = [_same(each) for each in wanted]
    return _any_item(lambda value: any(test(value) for test in tests))


def _any_item(test: Test) -> Test:
    """A list has what one of its items has."""
    return lambda value: any(map(test, value)) if isinstance(value, list) else test(value)


def _text(test: Callable[[str], bool]) -> Test:
    """An empty text is nothing."""
    return lambda value: isinstance(value, str) and value != "" and test(value.casefold())


def _contains(wanted: Any) -> Test:
    same = _same(wanted)
    part = wanted.casefold() if isinstance(wanted, str) else None

    def test(value: Any) -> bool:
        if isinstance(value, list):
            return any(map(same, value))
        return part is not None and isinstance(value, str) and part in value.casefold()

    return test


def _has_word(wanted: str) -> Test:
    pattern = re.compile(rf"(?<!\w){re.escape(wanted.casefold())}(?!\w)")
    return _any_item(_text(lambda text: pattern.search(text) is not None))


def _matches(wanted: str) -> Test:
    pattern = re.compile(fnmatch.translate(wanted.casefold()))
    return _any_item(_text(lambda text: pattern.match(text) is not None))


def _ordered(compare: Callable[[Any], bool], wanted: Any) -> Test:
    """Numbers compare with numbers and text with text; anything else is false, never an error."""
    if isinstance(wanted, str):
        return _text(compare)
    return lambda value: is_number(value) and compare(value)


def _fold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _greater(wanted: Any) -> Test:
    limit = _fold(wanted)
    return _ordered(lambda value: value > limit, wanted)


def _greater_or_same(wanted: Any) -> Test:
    limit = _fold(wanted)
    return _ordered(lambda value: value >= limit, wanted)


def _less(wanted: Any) -> Test:
    limit = _fold(wanted)
    return _ordered(lambda value: value < limit, wanted)


def _less_or_same(wanted: Any) -> Test:
    limit = _fold(wanted)
    return _ordered(lambda value: value <= limit, wanted)


def _between(wanted: list[Any]) -> Test:
    low, high = map(_fold, wanted)
    return _ordered(lambda value: low <= value <= high, wanted[0])


SCALAR, TEXT, ORDER, LIST, PAIR = (
    "a text, a number, true or false",
    "a text",
    "a number or a text",
    "a list of values",
    "a list of two numbers or two texts",
)

# Operators that are true for a value that is there: name → (what they compare with, how).
POSITIVE: dict[str, tuple[str, Callable[[Any], Test]]] = {
    "is": (SCALAR, _same),
    "contains": (SCALAR, _contains),
    "has_word": (TEXT, _has_word),
    "starts_with": (TEXT, lambda wanted: _text(lambda text: text.startswith(wanted.casefold()))),
    "ends_with": (TEXT, lambda wanted: _text(lambda text: text.endswith(wanted.casefold()))),
    "matches": (TEXT, _matches),
    "in": (LIST, _one_of),
    "gt": (ORDER, _greater),
    "gte": (ORDER, _greater_or_same),
    "lt": (ORDER, _less),
    "lte": (ORDER, _less_or_same),
    "between": (PAIR, _between),
}
# Operators that are also true when there is nothing: the opposite of …
NEGATIVE = {"is_not": "is", "not_contains": "contains", "not_in": "in"}
WITHOUT_VALUE = ("exists", "missing")
OPERATORS = (*POSITIVE, *NEGATIVE, *WITHOUT_VALUE)


def _scalar(value: object) -> bool:
    return isinstance(value, bool | str) or is_number(value)


def _is_kind(kind: str, value: Any) -> bool:
    if kind == LIST:
        return isinstance(value, list) and bool(value) and all(map(_scalar, value))
    if kind == PAIR:
        return isinstance(value, list) and len(value) == 2 and (all(map(is_number, value)) or all(isinstance(v, str) for v in value))
    if kind == TEXT:
        return isinstance(value, str)
    return _scalar(value) and not (kind == ORDER and isinstance(value, bool))


def value_problem(op: str, value: Any) -> str:
    """Why `op` cannot compare with `value`, as a sentence with the cure; empty when it can."""
    if op in WITHOUT_VALUE:
        return "" if value is None else f"{op} takes no value; leave value out"
    kind = POSITIVE[NEGATIVE.get(op, op)][0]
    if value is None:
        return f"{op} needs a value: {kind}"
    if value == "":
        return "an empty text compares with nothing; use op: missing or op: exists"
    return "" if _is_kind(kind, value) else f"{op} compares with {kind}, not with {value!r}"


def compile_test(op: str, value: Any) -> Test:
    """The test of one operator. A missing value (None, "") fails all but missing, is_not, not_contains and not_in.

    `op` and `value` must have passed `value_problem`.
    """
    if op == "exists":
        return lambda given: not is_missing(given)
    if op == "missing":
        return is_missing
    test = POSITIVE[NEGATIVE.get(op, op)][1](value)
    if op in NEGATIVE:
        return lambda given: is_missing(given) or not test(given)
    return test
