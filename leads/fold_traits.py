"""What is known about a person and their company while facts are folded: the last word on each thing counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from leads.fold_facts import Fact
from leads.fold_state import State
from leads.fold_view import FoldView
from leads.scoring_model import Model


def learn(state: State, traits: Mapping[str, Any]) -> None:
    """Last writer wins, key by key; nothing (null) forgets. Another company id is another company."""
    for key, value in traits.items():
        if key != "company":
            _set(state.traits, key, value)
            continue
        about = {"name": value} if isinstance(value, str) else value
        if not isinstance(about, Mapping):
            continue
        if "id" in about and about["id"] != state.company.get("id", about["id"]):
            state.company = {}
        for name, said in about.items():
            state.shared.pop(name, None)
            _set(state.company, name, said)


def hear(state: State, traits: Mapping[str, Any]) -> bool:
    """What a colleague told about the company counts until the person says otherwise; nothing (null) forgets.

    Tells whether something was said that was not known.
    """
    about, is_news = traits.get("company"), False
    if not isinstance(about, Mapping):
        return False
    for name, said in about.items():
        is_news = is_news or state.shared.get(name, state.company.get(name)) != said
        if said is None:
            state.company.pop(name, None)
        _set(state.shared, name, said)
    return is_news


def is_excluded(state: State, facts: Sequence[Fact], live: Model | None) -> bool:
    """Whether the live version excludes the person, going by what is known after all facts."""
    if live is None or live.exclude is None:
        return False
    told = [fact for fact in facts if fact.traits]
    if not told and state.version == live.version and state.events:
        return state.excluded
    known = state
    if told:
        known = State(state.stage, traits=dict(state.traits), company=dict(state.company), shared=dict(state.shared))
    for fact in told:
        (hear if fact.colleague else learn)(known, fact.traits)
    return live.exclude.holds(FoldView(known, 0))


def _set(values: dict[str, Any], key: str, value: object) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
