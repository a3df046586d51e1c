"""What stands behind a lead's page: one event with all it said and what followed from it."""

import json
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from leads.access import rep_page, signed_in
from leads.ledger import lines_of
from leads.models import Event, ScoringVersion
from leads.outlook import gate_names
from leads.sentences import tell
from leads.timeline import place_of
from leads.views.lead import get_lead

# What is shown of one property; a longer value is cut.
LONGEST_VALUE = 2_000


@require_safe
@rep_page
def event(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """One event: what it said, where it came from, what it was worth, and what it opened. Only admins are led to its delivery."""
    lead = get_lead(uid)
    rows = Event.objects.select_related("source", "model_version", "delivery").defer("model_version__document", "delivery__body")
    found = get_object_or_404(rows, pk=pk, lead=lead)
    version = ScoringVersion.live()
    context = {
        "lead": lead,
        "event": found,
        "said": tell(found),
        "properties": shown(found.properties),
        "traits": shown(found.traits),
        "lines": lines_of(found, version),
        "moves": [(move, gate_names(version).get(move.gate, move.gate)) for move in moves_after(found)],
        "place": place_of(found),
        "delivery": found.delivery if signed_in(request).is_admin else None,
    }
    return render(request, "leads/event.html#window" if request.htmx else "leads/event.html", context)  # type: ignore[attr-defined]


def moves_after(found: Event) -> Any:
    """The moves that its gates made."""
    return found.lead.transitions.filter(event=found).select_related("from_stage", "to_stage").order_by("seq")


def shown(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Properties as people read them: texts as they are, anything else as JSON."""
    pairs = ((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) for name, value in values.items())
    return [(name, text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…") for name, text in pairs]
