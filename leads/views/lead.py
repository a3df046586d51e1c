"""One lead: who it is, why its score is what it is, what happened, what can be done."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from leads.access import signed_in
from leads.forms import MoveForm
from leads.gates import StageChanged, move_by_hand
from leads.ledger import explain_score
from leads.models import Lead, Stage, Task
from leads.timeline import build_timeline


def render_lead(request: HttpRequest, lead: Lead, form: MoveForm, *, status: int = 200) -> HttpResponse:
    """The page of one lead, with `form` for the hand move."""
    context = {
        "lead": lead,
        "form": form,
        "stages": Stage.objects.all(),
        "ledger": explain_score(lead),
        "timeline": build_timeline(lead, now=timezone.now()),
        "identities": lead.identities.order_by("kind", "pk"),
        "tasks": Task.objects.filter(Q(lead=lead) | Q(colleagues=lead))
        .select_related("owner")
        .order_by("done_at", "due_at", "pk")
        .distinct(),
        "runs": lead.enrollments.select_related("campaign").order_by("-pk")[:20],
    }
    return render(request, "leads/lead.html", context, status=status)


@require_safe
@login_required
def lead_page(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Everything about one lead. A lead that was merged into another leads on to that one."""
    lead = get_object_or_404(Lead.objects.select_related("company", "company__owner", "owner", "stage", "merged_into"), uid=uid)
    if lead.merged_into:
        return redirect(lead.merged_into)
    return render_lead(request, lead, MoveForm(lead=lead))


@require_POST
@login_required
def move_lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Move a lead by hand; never refused for gates that are not met."""
    lead = get_object_or_404(Lead.objects.current().select_related("company", "owner", "stage"), uid=uid)
    form = MoveForm(request.POST, lead=lead)
    if not form.is_valid():
        return render_lead(request, lead, form, status=422)
    stage = form.cleaned_data["stage"]
    try:
        move_by_hand(lead, stage, by_user=signed_in(request), reason=form.cleaned_data["reason"], note=form.cleaned_data["note"])
    except StageChanged as error:
        messages.error(request, f"Not moved: somebody was quicker. {error}")
    else:
        messages.success(request, f"{lead} is now in {stage}.")
    return redirect(lead)
