"""Sending one lead back from its page or its card: why, and where to."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods
from django_htmx.http import trigger_client_event

from leads import todos
from leads.access import rep_page, signed_in
from leads.gates import StageChanged
from leads.models import Lead, Task, Transition
from leads.sending_back import Offer, RejectForm, came_from
from leads.toasts import with_toast
from leads.views.lead import get_lead

PAGE = "leads/reject.html"


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def reject_lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Ask why and where to (GET), and send the lead back (POST)."""
    lead = get_lead(uid)
    if request.method != "POST":
        return ask(request, lead)
    form = RejectForm(request.POST)
    if not form.is_valid():
        return ask(request, lead, problem=form.problem, status=422)
    try:
        move, task = todos.reject_lead(lead, by_user=signed_in(request), **form.cleaned_data)
    except (todos.TooLate, StageChanged) as error:
        return tell(request, lead, str(error), is_error=True)
    return tell(request, lead, f"{lead} went back to {move.to_stage}.", undo=way_back(lead, move, task))


def ask(request: HttpRequest, lead: Lead, *, problem: str = "", status: int = 200) -> HttpResponse:
    """The dialog, and without JavaScript a page."""
    entry = lead.transitions.filter(to_stage=lead.stage).select_related("from_stage").order_by("-seq").first()
    context = {"lead": lead, "offer": Offer.load(), "came_from": came_from(entry), "problem": problem}
    return render(request, f"{PAGE}#dialog" if request.htmx else PAGE, context, status=status)  # type: ignore[attr-defined]


def way_back(lead: Lead, move: Transition, task: Task | None) -> str:
    """The address that takes the rejection back."""
    return reverse("leads:task-reopen", args=[task.pk]) if task else reverse("leads:undo-move", args=[lead.uid, move.pk])


def tell(request: HttpRequest, lead: Lead, said: str, *, undo: str = "", is_error: bool = False) -> HttpResponse:
    """Say what came of it, with the way back; the page below looks anew."""
    if request.htmx:  # type: ignore[attr-defined]
        answer = HttpResponse(status=204)
        for name in ("lead-changed", "refresh-board", "close-dialog"):
            answer = trigger_client_event(answer, name)
        return with_toast(answer, said, undo=undo, is_error=is_error)
    if is_error:
        messages.error(request, said)
    else:
        told = render_to_string(f"{PAGE}#told", {"lead": lead, "said": said, "undo": undo}, request)
        messages.success(request, mark_safe(told))  # noqa: S308 (escaped by the template)
    return redirect(lead)
