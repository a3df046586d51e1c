"""A campaign in plain sentences, as marketers read it: who enters, what happens when, who leaves."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leads.conditions import Place
from leads.model_words import Stages, conditions_phrase, listed, span, stage_name
from leads.templatetags.words import event_words

Entry = Mapping[str, Any]
DAYS = {"mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday"}
CRON = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[a-z]{3}(?:[,-][a-z]{3})*)")
CLASSES = {
    "marketing": "marketing, only with consent",
    "product": "product, to users who have not opted out",
    "transactional": "transactional, always but for suppressed addresses",
}
# What each aspect of a campaign is called; the keys are those of a playbook.
ASPECTS = {
    "name": "Name",
    "class": "Class",
    "topic": "Topic",
    "trigger": "Starts",
    "audience": "Audience",
    "reentry": "Again",
    "goal": "Goal",
    "exits": "Exits",
    "exit_on_stage": "Won or lost",
    "window": "Sending hours",
    "cap": "Cap",
    "timezone": "Time zone",
    "tracking": "Clicks",
    "priority": "Priority",
}
DEFAULTS: dict[str, Any] = {"class": "marketing", "reentry": "once", "exit_on_stage": True, "tracking": True, "priority": 50}


def aspect_sentence(aspect: str, entry: Entry, stages: Stages, topics: Mapping[str, str]) -> str:
    """What the campaign says about one aspect, "" for nothing."""
    value = entry.get(aspect, DEFAULTS.get(aspect))
    if aspect in {"goal", "exits", "audience"}:
        place = Place.AUDIENCE if aspect == "audience" else Place.RUN
        return conditions_phrase(value, place, stages) if value else ""
    said: dict[str, Callable[[], str]] = {
        "class": lambda: CLASSES.get(str(value), str(value)),
        "topic": lambda: topics.get(str(value), str(value)) if value else "none",
        "trigger": lambda: trigger_sentence(value or {}, stages),
        "reentry": lambda: reentry_sentence(value),
        "exit_on_stage": lambda: "winning or losing the lead ends the run" if value else "the run goes on when the lead is won or lost",
        "window": lambda: window_sentence(value) if value else "as everywhere",
        "cap": lambda: cap_sentence(value) if value else "as everywhere",
        "tracking": lambda: "links are rewritten, so that clicks come back" if value else "links stay as they are, clicks are not seen",
    }
    return said[aspect]() if aspect in said else str(value or "")


def trigger_sentence(trigger: Any, stages: Stages) -> str:
    """What starts a run: "when somebody does: Downloaded API docs"."""
    if not isinstance(trigger, dict):
        return f"(cannot be read: {trigger!r})"
    when = f", if {conditions_phrase(trigger['when'], Place.TRIGGER, stages)}" if trigger.get("when") else ""
    if trigger.get("event"):
        return f"when this happens: {event_words(str(trigger['event']))}{when}"
    if trigger.get("stage"):
        return f"when a lead enters {stage_name(str(trigger['stage']), stages)}{when}"
    if trigger.get("schedule"):
        return cron_sentence(str(trigger["schedule"])) + (f" ({trigger['timezone']})" if trigger.get("timezone") else "")
    return "by hand only" if trigger.get("manual") else "never: nothing starts it yet"


def cron_sentence(line: str) -> str:
    """A cron line in words where they are simple: `0 10 * * tue` → "every Tuesday at 10:00"."""
    found = CRON.fullmatch(line.lower())
    if not found:
        return f"by the schedule {line}"
    minute, hour, days = found.groups()
    if days == "*":
        said = "day"
    elif "-" in days:
        said = f"day from {' to '.join(DAYS.get(day, day) for day in days.split('-'))}"
    else:
        said = listed([DAYS.get(day, day) for day in days.split(",")])
    return f"every {said} at {int(hour):02}:{int(minute):02}"


def reentry_sentence(reentry: Any) -> str:
    """Whether somebody may run through it again."""
    if isinstance(reentry, dict):
        if reentry.get("after"):
            return f"again, but not sooner than {span(str(reentry['after']))} after the last run began"
        return f"once for each value of {str(reentry.get('key', '?')).removeprefix('event.').replace('_', ' ')}"
    return "each time, though never twice at once" if reentry == "always" else "everybody once"


def window_sentence(window: Entry) -> str:
    """Sending hours."""
    return f"{window.get('days', 'mon-sun')}, {window.get('hours', '00:00-24:00')}"


def cap_sentence(cap: Entry) -> str:
    """The frequency cap."""
    return f"at most {listed([f'{cap[period]} a {period}' for period in ('day', 'week') if cap.get(period)])}"


# --- steps --------------------------------------------------------------------------------------


def step_kind(step: Entry) -> str:
    """message, notify or exit."""
    return next((kind for kind in ("message", "notify", "exit") if kind in step), "message")


def step_summary(step: Entry) -> str:
    """A step on one line: "Mail “Your first API call”"."""
    kind = step_kind(step)
    content = step.get(kind) or {}
    if kind == "message":
        return f"Mail “{content['subject']}”" if content.get("subject") else "Mail without a subject yet"
    if kind == "notify":
        return f"Tell the owner: {content.get('text') or 'nothing written yet'}"
    return "End the run" + (f": {content['why']}" if content.get("why") else "")


def wait_sentence(step: Entry, *, first: bool) -> str:
    """When a step is due: "3 days later"."""
    if not step.get("after"):
        return "at once"
    return f"{span(str(step['after']))} {'after that' if first else 'later'}"


def guard_sentence(step: Entry, stages: Stages) -> str:
    """What must hold for it, "" for nothing."""
    parts = [f"only if {conditions_phrase(step['when'], Place.RUN, stages)}"] if step.get("when") else []
    parts += [f"not more than {span(str(step['not_after']))} late"] if step.get("not_after") else []
    return "; ".join(parts)


def step_sentence(step: Entry, stages: Stages) -> str:
    """Everything a step says, for comparing two of them."""
    body = (step.get("message") or {}).get("body", "")
    parts: Sequence[str] = [wait_sentence(step, first=False), guard_sentence(step, stages), step_summary(step), body]
    return " · ".join(" ".join(part.split()) for part in parts if part)
