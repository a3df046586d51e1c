"""Was it a person or a mail scanner? Staff know better sometimes; then everything that hangs on it is looked at again."""

from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from leads import scoring
from leads.intake import types_of
from leads.models import Event
from leads.recording import Recorded
from leads.signals import events_recorded


def judge(event_pks: Iterable[int], verdict: str) -> int:
    """Say who did these events; their leads are folded again, and what a person did triggers what it would have triggered.

    Returns how many verdicts changed.
    """
    with transaction.atomic():
        chosen = Event.objects.filter(pk__in=event_pks).exclude(verdict=verdict)
        leads = scoring.lock_leads(chosen.values_list("lead_id", flat=True))
        events = list(chosen.select_related("source").in_fact_order())
        Event.objects.filter(pk__in=[event.pk for event in events]).update(verdict=verdict)
        for event in events:
            event.lead, event.verdict = leads[event.lead_id], verdict
        if events:
            company = scoring.concerned_by_moves(lead.company_id for lead in leads.values())
            recorded = Recorded(
                timezone.now(), types_of(events, scoring.live_model()), frozenset(event.pk for event in events), {*leads, *company}
            )
            events_recorded.send(sender=None, events=events, recorded=recorded)
    return len(events)
