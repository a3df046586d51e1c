"""What one person does may open a gate for their colleagues: events that conditions count for a whole company."""

from collections.abc import Iterable, Sequence
from typing import Any

from leads.models import Event, Lead


def counted_events(companies: Iterable[int], types: frozenset[str]) -> Any:
    """The events of these companies' people that such conditions may count."""
    events = Event.objects.filter(lead__company__in=companies, lead__merged_into=None, type__in=types)
    return events.exclude(verdict=Event.Verdict.SUSPECT)


def news_for_colleagues(events: Sequence[Event], types: frozenset[str]) -> dict[int, list[Event]]:
    """New events that count for a whole company, by company."""
    news: dict[int, list[Event]] = {}
    for event in events:
        company = event.lead.company_id
        if company and event.type in types and event.verdict != Event.Verdict.SUSPECT:
            news.setdefault(company, []).append(event)
    return news


def people_of(companies: Any) -> set[int]:
    """The ids of everybody who works for these companies."""
    return set(Lead.objects.current().filter(company__in=companies).values_list("pk", flat=True))


def concerned_by(companies: Iterable[int], types: frozenset[str]) -> set[int]:
    """Everybody who works for one of these companies where something was done that counts for the whole of it.

    Usually nobody: that costs one query.
    """
    if not types:
        return set()
    busy = set(counted_events(companies, types).values_list("lead__company", flat=True).distinct())
    return people_of(busy) if busy else set()
