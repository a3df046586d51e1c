"""How leads get into a stage, in words, read from the live gates."""

from typing import Any

from leads.models import Stage
from leads.templatetags.words import event_words


def describe_arrivals(stage: Stage, document: dict[str, Any]) -> str:
    """For an empty column: "Leads arrive when they reach 80 points or do one of these: demo requested, teammate invited"."""
    gates = [gate for gate in document.get("gates", []) if gate.get("to") == stage.key]
    ways = list(dict.fromkeys(way for gate in gates for way in ways_in(gate)))
    if stage.position == 0 and not ways:
        return "Everybody starts here."
    if not ways:
        return "Leads arrive when somebody moves them here."
    return f"Leads arrive with {join(ways)}, or when somebody moves them here."


def ways_in(gate: dict[str, Any]) -> list[str]:
    """The conditions of one gate, each a way in; joined to one when all of them must hold."""
    conditions = gate.get("conditions", [])
    if isinstance(conditions, dict):
        return [describe(conditions)]
    ways = [describe(condition) for condition in conditions]
    return ways if gate.get("match", "any") == "any" else [" and ".join(ways)]


def describe(condition: Any) -> str:
    """One condition in a few words."""
    if not isinstance(condition, dict):
        return "what a gate asks for"
    for axis, word in (("score", "points"), ("engagement", "points for what they do"), ("fit", "points for who they are")):
        if axis in condition and isinstance(condition[axis], dict):
            return f"{condition[axis].get('at_least')} {word}"
    if "event" in condition:
        return describe_event(condition)
    if "in_stage_for" in condition:
        return f"{condition['in_stage_for']} in the stage before"
    for word in ("any", "all"):
        if word in condition:
            return (" or " if word == "any" else " and ").join(describe(inner) for inner in condition[word])
    return "what a gate asks for"


def describe_event(condition: dict[str, Any]) -> str:
    """An event condition: "viewed pricing (3 times in 7d)"."""
    times, within = condition.get("times"), condition.get("within")
    if times == {"at_most": 0}:
        return f"no “{event_words(condition['event'])}”" + (f" for {within}" if within else "")
    least = times.get("at_least", times.get("exactly", 1)) if isinstance(times, dict) else 1
    often = f"{least} times" if least != 1 else ""
    inside = f"in {within}" if within else ""
    detail = " ".join(part for part in (often, inside) if part)
    return f"“{event_words(condition['event'])}”" + (f" {detail}" if detail else "")


def join(ways: list[str]) -> str:
    """A list as people say it: "a, b or c"."""
    return ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])} or {ways[-1]}"
