"""The scoring model in plain sentences, as marketers read it: "+10 points, expires after 90 days"."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leads.condition_nodes import MICROSECONDS, UNITS, WORDS
from leads.conditions import (
    ALWAYS,
    All,
    AnyOf,
    ConditionError,
    EventCount,
    Field,
    IdleFor,
    InCampaign,
    InStageFor,
    Node,
    Not,
    Number,
    Place,
    parse,
)
from leads.templatetags.words import event_words, signed
from leads.vocabulary import parse_duration

Stages = Mapping[str, str]
PERIODS = {"half-year": "half a year"}
LIMITS: dict[str, str] = {
    "fit_max": "Fit counts at most {} points.",
    "fit_min": "Fit never falls below {} points.",
    "engagement_max": "Engagement counts at most {} points.",
    "stop_above": "Above {} engagement points nothing is added.",
    "floor": "Engagement never falls below {}.",
}


def span(duration: str) -> str:
    """A duration as people type it, in words: `90d` → "90 days"; unchanged when it cannot be read."""
    try:
        return span_of(int(parse_duration(duration).total_seconds()))
    except ValueError:
        return duration


def span_of(seconds: int) -> str:
    """So many seconds in words: "7 days", "90 minutes"."""
    unit, length = next(((unit, length) for unit, length in UNITS if seconds >= length and seconds % length == 0), UNITS[-1])
    number = seconds // length
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def points(number: int) -> str:
    """Points with their sign and their word: "+1 point", "−15 points"."""
    return f"{signed(number)} {'point' if abs(number) == 1 else 'points'}"


def stage_name(key: str, stages: Stages) -> str:
    """The stage as people call it."""
    return stages.get(key, key)


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words as one reads them: "a, b and c"."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


# --- the parts of a model -----------------------------------------------------------------------


def rule_sentence(rule: Mapping[str, Any], stages: Stages) -> str:
    """What a rule gives: "+10 points if plan is “team”, at most 3 times a day, expires after 90 days"."""
    text = "back to no engagement points" if rule.get("reset") else points(rule.get("points") or 0)
    text += clause(" if ", rule.get("when"), Place.RULE, stages)
    text += f", {limit_words(rule['limit'])}" if rule.get("limit") else ""
    return text + (f", expires after {span(rule['expires_after'])}" if rule.get("expires_after") else "")


def limit_words(limit: Mapping[str, Any]) -> str:
    """How often a rule grants: "at most 3 times a day"."""
    times = limit.get("times")
    often = "once" if times == 1 else f"{times} times"
    if limit.get("days"):
        return f"at most {often} in {limit['days']} {'day' if limit['days'] == 1 else 'days'}"
    period = limit.get("per") or "?"
    if period == "ever":
        return f"at most {often}"
    return f"at most {often} {'in ' if period in PERIODS else 'a '}{PERIODS.get(period, period)}"


def fit_sentence(fit: Mapping[str, Any], stages: Stages) -> str:
    """What a fit rule gives: "+15 points while title has the word “CTO”"."""
    return points(fit["points"]) + clause(" while ", fit.get("when"), Place.FIT, stages)


def idle_sentence(idle: Mapping[str, Any], stages: Stages) -> str:
    """What an idle rule gives: "−10 points after 30 days without doing anything, and again every 30 days"."""
    again = f", and again every {span(idle['every'])}" if idle.get("every") else ""
    return f"{points(idle['points'])} after {span(idle['after'])} without doing anything{again}"


def exclude_sentence(conditions: Any, stages: Stages) -> str:
    """For whom nothing counts: "No points, gates or campaigns for anybody whose email ends with “@example.com”"."""
    return f"No points, gates or campaigns while {conditions_phrase(conditions, Place.EXCLUDE, stages)}"


def derive_sentence(derive: Mapping[str, Any], stages: Stages) -> str:
    """What a derived type does: "Page viewed also counts as Viewed pricing when path is “/pricing”"."""
    text = f"{event_words(derive['from'])} also counts as {event_words(derive['as'])}"
    return text + clause(" when ", derive.get("when"), Place.EVENT, stages)


def limits_sentence(limits: Mapping[str, Any], stages: Stages) -> str:
    """The bounds of both axes."""
    said = [LIMITS[name].format(value) for name in LIMITS if (value := limits.get(name)) is not None]
    return " ".join(said) or "No limits."


def gate_sentence(gate: Mapping[str, Any], stages: Stages) -> str:
    """When a gate opens: "Marketing qualified → Sales qualified when any of: score is at least 80; …"."""
    origins = [gate["from"]] if isinstance(gate["from"], str) else gate["from"]
    origin = listed([stage_name(key, stages) for key in origins], "or") or "?"
    conditions = gate["conditions"] if isinstance(gate["conditions"], list) else [gate["conditions"]]
    said = [conditions_phrase([each], Place.GATE, stages) for each in conditions]
    match = f"{gate.get('match', 'any')} of: " if len(said) > 1 else ""
    return f"{origin} → {stage_name(gate['to'], stages)} when {match}{'; '.join(said) or 'never: it has no conditions'}"


# --- conditions ---------------------------------------------------------------------------------


def clause(word: str, raw: Any, place: Place, stages: Stages) -> str:
    """Conditions behind a word, nothing when there are none."""
    return word + conditions_phrase(raw, place, stages) if raw else ""


def conditions_phrase(raw: Any, place: Place, stages: Stages) -> str:
    """Conditions as a phrase; what cannot be read says so, and why."""
    try:
        return phrase(parse(raw, place=place), stages, place)
    except ConditionError as error:
        return f"(cannot be read: {error})"


def phrase(node: Node, stages: Stages, place: Place) -> str:
    """A condition as a phrase: "Viewed pricing at least 3 times within 7 days"."""
    if isinstance(node, Not):
        return none_phrase(node.node) if isinstance(node.node, InCampaign) else f"not ({phrase(node.node, stages, place)})"
    if isinstance(node, AnyOf) and (merged := merged_phrase(node, stages)):
        return merged
    if isinstance(node, All | AnyOf):
        return group_phrase(node, stages, place)
    if isinstance(node, EventCount):
        return count_phrase(node, stages, place)
    if isinstance(node, Field):
        return field_phrase(node, [node.value], stages)
    if isinstance(node, Number):
        return f"{node.axis} is at least {node.at_least}"
    if isinstance(node, InStageFor):
        return f"in the same stage for {span_of(node.seconds)}"
    if isinstance(node, IdleFor):
        return f"nothing done for {span_of(node.seconds)}"
    return campaign_phrase(node)


def group_phrase(node: All | AnyOf, stages: Stages, place: Place) -> str:
    """Several conditions in one phrase, inner groups in brackets."""
    if len(node.nodes) < 2:
        return phrase(node.nodes[0], stages, place) if node.nodes else "always"
    parts = [phrase(each, stages, place) for each in node.nodes]
    inner = [isinstance(each, All | AnyOf) and len(each.nodes) > 1 and not merged_phrase(each, stages) for each in node.nodes]
    words = [f"({part})" if nested else part for part, nested in zip(parts, inner, strict=True)]
    return (" and " if isinstance(node, All) else " or ").join(words)


def merged_phrase(node: All | AnyOf, stages: Stages) -> str:
    """Alternatives for one field said once: "title has the word “CTO” or “Architect”"; "" when they are not alike."""
    fields = [each for each in node.nodes if isinstance(each, Field)]
    alike = {(each.path, each.op) for each in fields}
    if not isinstance(node, AnyOf) or len(fields) != len(node.nodes) or len(alike) != 1 or len(fields) < 2 or fields[0].op == "between":
        return ""
    return field_phrase(fields[0], [each.value for each in fields], stages)


def field_phrase(node: Field, values: Sequence[Any], stages: Stages) -> str:
    """A comparison: "title has the word “CTO”"."""
    root, _, rest = node.path.partition(".")
    name = rest.removeprefix("traits.").replace("_", " ")
    name = f"company {name}" if root == "company" else name
    say: Callable[[Any], str] = (lambda key: stage_name(str(key), stages)) if node.path == "lead.stage" else value_words
    if node.op == "between":
        return f"{name} is between {say(values[0][0])} and {say(values[0][1])}"
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    said = [say(item) for item in flat if item is not None]
    return " ".join(filter(None, [name, WORDS[node.op], listed(said, "or")]))


def value_words(value: Any) -> str:
    """A value in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"“{value}”" if isinstance(value, str) else str(value)


def count_phrase(node: EventCount, stages: Stages, place: Place) -> str:
    """How often something happened: "Viewed pricing at least 3 times within 7 days, 30 minutes apart"."""
    text = event_words(node.event) + (f" where {phrase(node.when, stages, Place.EVENT)}" if node.when != ALWAYS else "")
    often = "once" if node.bound == 1 else f"{node.bound} times"
    if node.at_most == 0 or node.exactly == 0:
        text += " did not happen"
    elif node.at_least != 1:
        word = "at least" if node.at_least is not None else "at most" if node.at_most is not None else "exactly"
        text += f" {word} {often}"
    text += " by anybody at the company" if node.of == "company" else ""
    text += f" within {span_of(node.within // MICROSECONDS)}" if node.within is not None else ""
    text += f", {span_of(node.every // MICROSECONDS)} apart" if node.every is not None else ""
    return text + (" at any time" if place == Place.RUN and node.since == "ever" and node.within is None else "")


def campaign_phrase(node: InCampaign) -> str:
    """Being in a campaign: "is in API_DEEP_DIVE_SEQUENCE"."""
    which = node.key or f"a campaign started by {trigger_word(node)}"
    return {"active": f"is in {which}", "completed": f"completed {which}", "ever": f"was ever in {which}"}[node.status]


def none_phrase(node: InCampaign) -> str:
    """Not being in a campaign."""
    which = node.key or f"any campaign started by {trigger_word(node)}"
    return {"active": f"is not in {which}", "completed": f"did not complete {which}", "ever": f"was never in {which}"}[node.status]


def trigger_word(node: InCampaign) -> str:
    """What starts such campaigns."""
    return {"event": "an event", "stage": "a stage", "schedule": "a schedule", "manual": "hand"}.get(node.trigger or "", str(node.trigger))
