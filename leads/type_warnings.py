"""Event types that a scoring model asks for and nobody has ever sent: perhaps misspelt, perhaps just early. A warning, no problem."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from leads.seen import seen_types
from leads.shape import Path
from leads.type_uses import events_in
from leads.vocabulary import SHIPPED_TYPES, event_key, is_reserved


def happening(document: Mapping[str, Any]) -> set[str]:
    """The types that have been seen, will be derived, or mean something from the start."""
    derived = {event_key(str(entry.get("as", ""))) for entry in document.get("scoring", {}).get("derive", [])}
    return {*seen_types(), *SHIPPED_TYPES, *derived}


def warning(name: str, known: Collection[str]) -> str:
    """What to say about a type; "" when there is nothing to say."""
    if not name or name in known or is_reserved(name):
        return ""
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} was never seen. " + (f"Did you mean {near[0]}?" if near else "It counts as soon as one arrives.")


def type_warnings(document: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """All warnings about a model, each with its place in the document."""
    known = happening(document)
    scoring = document.get("scoring", {})
    places: list[tuple[Path, list[Any], str]] = [
        (("scoring", "rules"), scoring.get("rules", []), "event"),
        (("scoring", "derive"), scoring.get("derive", []), "from"),
        (("gates",), document.get("gates", []), "conditions"),
    ]
    for path, entries, word in places:
        for index, entry in enumerate(entries):
            names = events_in(entry) if word == "conditions" else [event_key(str(entry.get(word, "")))]
            for name in dict.fromkeys(names):
                if text := warning(name, known):
                    yield (*path, index, word), text
