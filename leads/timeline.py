"""One timeline of a lead: what they did, how they moved, what we wrote and will write."""

from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby

from django.utils import timezone

from leads.models import Lead

# As many of each kind as a page shows; older ones are reached through the API.
NEWEST = 100


@dataclass(frozen=True)
class Entry:
    """One line: `row` is the Event, Transition or Message it stands for, `kind` says which."""

    at: datetime
    kind: str
    row: object


@dataclass(frozen=True)
class Timeline:
    """What is still to come, soonest last, then the past by day, newest first."""

    ahead: list[Entry]
    days: list[tuple[date, list[Entry]]]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show at all."""
        return not self.ahead and not self.days


def build_timeline(lead: Lead, *, now: datetime) -> Timeline:
    """Merge the newest events, transitions and messages of a lead."""
    entries = [
        *(Entry(event.at, "event", event) for event in lead.events.select_related("source").order_by("-at", "-pk")[:NEWEST]),
        *(
            Entry(move.at, "transition", move)
            for move in lead.transitions.select_related("from_stage", "to_stage", "actor", "reason").order_by("-seq")[:NEWEST]
        ),
        *(
            Entry(message.ended_at or message.due_at, "message", message)
            for message in lead.messages.select_related("enrollment__campaign").order_by("-pk")[:NEWEST]
        ),
    ]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    past = [entry for entry in entries if entry.at <= now]
    days = [(day, list(group)) for day, group in groupby(past, key=lambda entry: timezone.localdate(entry.at))]
    return Timeline([entry for entry in entries if entry.at > now], days)
