"""What each event type is used for: the rules, gates and campaigns that ask for it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from leads.models import ScoringVersion
from leads.vocabulary import event_key


@dataclass(frozen=True, slots=True)
class Use:
    """One thing that asks for a type: a rule, a gate, a campaign, or another type derived from it."""

    kind: str
    name: str


Teller = Callable[[], Iterable[tuple[str, Use]]]

_tellers: list[Teller] = []


def tell_uses(teller: Teller) -> None:
    """Let another room say what it uses event types for. Called in crm/wiring.py only."""
    if teller not in _tellers:
        _tellers.append(teller)


def uses_by_type() -> dict[str, list[Use]]:
    """Every use of every type, of what is live. As many queries as there are tellers."""
    found: dict[str, dict[Use, None]] = {}
    for teller in [model_uses, *_tellers]:
        for name, use in teller():
            found.setdefault(name, {})[use] = None
    return {name: list(uses) for name, uses in found.items()}


def model_uses() -> Iterator[tuple[str, Use]]:
    """What the live scoring model uses."""
    version = ScoringVersion.live()
    document = version.document if version else {}
    scoring = document.get("scoring", {})
    for rule in scoring.get("rules", []):
        yield event_key(rule["event"]), Use("rule", rule.get("name") or rule["key"])
    for derived in scoring.get("derive", []):
        yield event_key(derived["from"]), Use("type", derived["as"])
    for gate in document.get("gates", []):
        for name in events_in(gate):
            yield name, Use("gate", gate.get("name") or gate["key"])


def events_in(document: Any) -> Iterator[str]:
    """The event types named by triggers and conditions anywhere in a document."""
    if isinstance(document, dict):
        if isinstance(document.get("event"), str):
            yield event_key(document["event"])
        for part in document.values():
            yield from events_in(part)
    elif isinstance(document, list):
        for part in document:
            yield from events_in(part)
