"""Compares plain data with the typed documents and names everything that does not fit, with the cure.

msgspec itself stops at the first mistake; people who correct a file want to see all of them.
"""

import difflib
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

Path = tuple[str | int, ...]
NotBuilt = Mapping[tuple[type, str], str]
WORDS = {bool: "true or false", str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where in the document, the sentence with the cure, and the line if it stands in a file."""

    path: Path
    message: str
    line: int | None = None

    def __str__(self) -> str:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).removeprefix(".")
        return ": ".join(filter(None, [", ".join(filter(None, [f"line {self.line}" if self.line else "", place])), self.message]))


class PublishError(ValueError):
    """What cannot be published or applied as it stands; `problems` names everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def read[T](raw: Any, kind: type[T]) -> T:
    """Plain data as its typed document. Raises PublishError with everything that does not fit."""
    if problems := list(misfits(raw, kind, not_built={})):
        raise PublishError(problems)
    return msgspec.convert(raw, kind)


def canonical(raw: Any, kind: Any) -> Any:
    """Plain data as its typed document writes it, without what is default; unchanged when it does not fit."""
    try:
        return builtins(msgspec.convert(raw, kind))
    except msgspec.ValidationError:
        return raw


def builtins(doc: Any) -> Any:
    """A typed document as plain data, without what is default."""
    settle(doc)
    return msgspec.to_builtins(doc)


def settle(doc: Any) -> None:
    """Put the default itself wherever a document says the same: msgspec leaves out only what is the very same object."""
    if isinstance(doc, list):
        for item in doc:
            settle(item)
    if not isinstance(doc, msgspec.Struct):
        return
    for field in msgspec.structs.fields(doc):
        value = getattr(doc, field.name)
        settle(value)
        if isinstance(value, str) and value == field.default:
            setattr(doc, field.name, field.default)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are written alike; Python takes 1, 1.0 and true for equal."""
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def without_blanks(raw: dict[str, Any]) -> dict[str, Any]:
    """A mapping without the keys that say nothing: None, "", [], {}."""
    return {key: value for key, value in raw.items() if value not in (None, "", [], {})}


def misfits(value: Any, kind: Any, *, not_built: NotBuilt, path: Path = ()) -> Iterator[Problem]:
    """Everything in `value` that the type `kind` (a Struct, list, union or scalar) does not take."""
    part = matching_part(value, kind)
    if is_struct(part):
        yield from struct_misfits(value, part, not_built=not_built, path=path)
    elif get_origin(part) is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from misfits(item, get_args(part)[0], not_built=not_built, path=(*path, index))
    else:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            yield Problem(path, f"{shown(value)} is not {expected(kind)}{suggestion(value, choices(kind))}")


def struct_misfits(value: Any, struct: Any, *, not_built: NotBuilt, path: Path) -> Iterator[Problem]:
    """What is wrong with a mapping of known keys."""
    if not isinstance(value, dict):
        yield Problem(path, f"{shown(value)} is not a mapping; write it as key: value")
        return
    hints = get_type_hints(struct, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    unbuilt = False
    for key, item in value.items():
        if key in fields:
            yield from misfits(item, hints[fields[key].name], not_built=not_built, path=(*path, key))
        elif (struct, key) in not_built:
            unbuilt = True
            yield Problem((*path, key), f"not built yet: {not_built[struct, key]}")
        elif item is None and " " in key:
            yield Problem((*path, key), "unknown key; put a text that has a comma in it in quotes")
        else:
            yield Problem((*path, key), f"unknown key{suggestion(key, list(fields), known=True)}")
    for name, field in fields.items():
        if field.required and name not in value and not unbuilt:
            yield Problem(path, f"{name} is missing; add {name}: with {expected(hints[field.name])}")


def matching_part(value: Any, kind: Any) -> Any:
    """Of a union, the member that looks like the value; any other type itself."""
    if get_origin(kind) not in {Union, types.UnionType}:
        return kind
    for member in get_args(kind):
        if isinstance(value, dict) and is_struct(member):
            return member
        if isinstance(value, list) and get_origin(member) is list:
            return member
    return kind


def is_struct(kind: Any) -> bool:
    """Whether a type is a mapping of known keys."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def expected(kind: Any) -> str:
    """What a type takes, in words."""
    if get_origin(kind) is Annotated:
        return annotated_words(kind)
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(expected(member) for member in get_args(kind) if member is not type(None))
    if get_origin(kind) is Literal:
        return " or ".join(str(choice).lower() if choice is True else str(choice) for choice in get_args(kind))
    return "a mapping" if is_struct(kind) else WORDS.get(get_origin(kind) or kind, "a value")


def annotated_words(kind: Any) -> str:
    """The description of a type with bounds, or its bounds."""
    base, *metas = get_args(kind)
    for meta in metas:
        if getattr(meta, "description", None):
            return str(meta.description)
        if getattr(meta, "max_length", None):
            return f"text of {meta.min_length or 0} to {meta.max_length} characters"
        if getattr(meta, "ge", None) is not None:
            return f"{WORDS[base]} from {meta.ge}" + (f" to {meta.le}" if meta.le is not None else " up")
    return WORDS.get(base, "a value")


def choices(kind: Any) -> list[str]:
    """The words a type offers to choose from."""
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if isinstance(choice, str)]
    if get_origin(kind) in {Union, types.UnionType}:
        return [choice for member in get_args(kind) for choice in choices(member)]
    return []


def suggestion(word: Any, words: list[str], *, known: bool = False) -> str:
    """`; did you mean score?`, or with `known` the words there are when none is near."""
    near = difflib.get_close_matches(str(word), words, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known here: {', '.join(words)}" if known else ""


def shown(value: Any) -> str:
    """A value short enough for a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
