"""What stands behind a lead's page: one event with all that followed from it, and what would be if."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_htmx.http import reswap, retarget

from leads.access import rep_page, signed_in
from leads.forms_lead import DeedForm, QuietForm
from leads.ledger import lines_of
from leads.models import Event, Lead, ScoringVersion, Stage
from leads.outlook import gate_names, look_ahead
from leads.rehearsal import Supposition, rehearse
from leads.sentences import tell
from leads.timeline import place_of
from leads.views.lead import get_lead, what_if_part

WHAT_IF = "leads/lead_what_if.html"

# What is shown of one property; a longer value is cut.
LONGEST_VALUE = 2_000


@require_safe
@rep_page
def event(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """One event, perhaps a colleague's that meant something for this lead: what it said, where it came from, what it was worth and opened.

    Only admins are led to its delivery.
    """
    lead = get_lead(uid)
    rows = Event.objects.select_related("lead", "source", "model_version", "delivery").defer("model_version__document", "delivery__body")
    caused = Exists(lead.entries.filter(event=OuterRef("pk"))) | Exists(lead.transitions.filter(event=OuterRef("pk")))
    found = get_object_or_404(rows.filter(Q(lead=lead) | caused), pk=pk)
    version = ScoringVersion.live()
    context = {
        "lead": lead,
        "event": found,
        "said": tell(found),
        "properties": shown(found.properties),
        "traits": shown(found.traits),
        "lines": lines_of(found, lead, version),
        "moves": [(move, gate_names(version).get(move.gate, move.gate)) for move in moves_after(found, lead)],
        "place": place_of(found),
        "delivery": found.delivery if signed_in(request).is_admin else None,
    }
    return render(request, "leads/event.html#window" if request.htmx else "leads/event.html", context)  # type: ignore[attr-defined]


def moves_after(found: Event, lead: Lead) -> Any:
    """The moves of a lead that its gates made."""
    return lead.transitions.filter(event=found).select_related("from_stage", "to_stage").order_by("seq")


def shown(values: Mapping[str, Any], within: str = "") -> list[tuple[str, str]]:
    """Properties as people read them: texts as they are, objects under the paths conditions know, anything else as JSON."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            rows += shown(value, f"{within}{name}.")
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((f"{within}{name}", text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"))
    return rows


# --- what if --------------------------------------------------------------------------------------


@require_safe
@rep_page
def what_if(request: HttpRequest, uid: UUID) -> HttpResponse:
    """What would come of something the lead might do, or of nothing at all. Asking changes nothing, so it is a GET."""
    lead = get_lead(uid)
    version, stages = ScoringVersion.live(), list(Stage.objects.all())
    deed = DeedForm(request.GET) if "type" in request.GET else DeedForm()
    quiet = QuietForm(request.GET) if "days" in request.GET else QuietForm()
    asked = deed if deed.is_bound else quiet
    context = {"lead": lead, "version": version} | what_if_part(version) | {"deed_form": deed, "quiet_form": quiet}
    if asked.is_valid():
        context |= suppose(lead, version, stages, Supposition(**asked.cleaned_data))
    status = 422 if asked.is_bound and asked.errors else 200
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, WHAT_IF, context, status=status)
    if status == 200 and asked.is_bound:
        return render(request, f"{WHAT_IF}#answer", context)
    return retarget(reswap(render(request, f"{WHAT_IF}#panel", context, status=status), "outerHTML"), "#what-if")


def suppose(lead: Lead, version: ScoringVersion | None, stages: Sequence[Stage], supposed: Supposition) -> dict[str, Any]:
    """The answer for the page; nothing is folded where nothing counts."""
    now = timezone.now()
    context: dict[str, Any] = {"supposed": supposed, "soon": now + timedelta(minutes=1)}
    if version is None or lead.excluded:
        return context | {"outlook": look_ahead(lead, version, stages, now=now)}
    return context | {"rehearsal": rehearse(lead, version, stages, supposed, now=now)}
