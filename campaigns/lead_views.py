"""What a lead's page shows and does about campaigns: start, stop and skip; and forgetting the person altogether."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from campaigns.by_hand import NotSkipped, skip_step
from campaigns.enrollment import NotStartedError, start_by_hand, stop
from campaigns.erasure import forget_person
from campaigns.models import Campaign, Enrollment
from leads.access import rep_page, signed_in
from leads.models import Lead, normalize_email
from leads.privacy import InboxBusy
from leads.sentences import why_words
from leads.toasts import with_toast
from leads.views.lead import get_lead, may_forget

PAGE = "campaigns/lead_campaigns.html"
# As many runs as the panel shows.
SHOWN = 12
READ = 100


class StartForm(forms.Form):
    """Which campaign to start. Only those that run can be."""

    campaign = forms.ModelChoiceField(
        Campaign.objects.filter(status=Campaign.Status.ACTIVE).exclude(live=None).order_by("name"),
        to_field_name="key",
        empty_label="Choose a campaign",
        widget=forms.Select(attrs={"class": "form-select", "data-key": "e", "aria-keyshortcuts": "e", "title": "Start a campaign (e)"}),
        error_messages={"required": "Choose a campaign.", "invalid_choice": "This campaign does not run any more."},
    )


class ForgetForm(forms.Form):
    """Forgetting is confirmed by typing the address."""

    email = forms.CharField(
        label="Type the address to confirm",
        max_length=254,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "inputmode": "email", "autofocus": True}),
    )

    def __init__(self, *args: Any, lead: Lead, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lead = lead

    def clean_email(self) -> str:
        """The lead's own address."""
        email = normalize_email(self.cleaned_data["email"])
        if email != normalize_email(self.lead.email):
            raise ValidationError(f"This is not {self.lead.email}. Nobody was forgotten.")
        return email


def render_panel(request: HttpRequest, lead: Lead, *, form: StartForm | None = None, said: str = "", status: int = 200) -> HttpResponse:
    """The lead's runs, newest first, with what can be done; a page of its own without htmx."""
    context = {"lead": lead, "runs": runs_of(lead), "start_form": form or StartForm(), "said": said}
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, PAGE, context, status=status)
    panel = render(request, f"{PAGE}#panel", context, status=status)
    return trigger_client_event(panel, "lead-changed", {"part": "campaigns"}, after="swap") if form is None and said else panel


def runs_of(lead: Lead) -> list[tuple[Enrollment, int]]:
    """The running ones, then the newest others; of entries refused for the same reason only the newest, with their number."""
    rows = lead.enrollments.select_related("campaign", "version").order_by("-pk")[:READ]
    found: dict[tuple[object, ...], tuple[Enrollment, int]] = {}
    for run in sorted(rows, key=lambda run: run.state != Enrollment.State.ACTIVE):
        is_refused = run.state == Enrollment.State.REFUSED
        same = (run.campaign_id, run.reason) if is_refused else (run.pk,)
        newest, times = found.get(same, (run, 0))
        found[same] = (newest, times + 1)
    return list(found.values())[:SHOWN]


def answer(request: HttpRequest, lead: Lead, said: str, *, failed: bool = False) -> HttpResponse:
    """The panel with a toast, or back to the lead's page with a message."""
    if request.htmx:  # type: ignore[attr-defined]
        return with_toast(render_panel(request, lead, said=said), said, is_error=failed)
    (messages.error if failed else messages.success)(request, said)
    return redirect(lead)


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def lead_campaigns(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Show a lead's runs (GET), or start a campaign for it (POST)."""
    lead = get_lead(uid)
    if request.method != "POST":
        return render_panel(request, lead)
    form = StartForm(request.POST)
    if not form.is_valid():
        return render_panel(request, lead, form=form, status=422)
    campaign = form.cleaned_data["campaign"]
    try:
        run = start_by_hand(campaign, lead, signed_in(request))
    except NotStartedError as error:
        return answer(request, lead, str(error), failed=True)
    if run.state == Enrollment.State.REFUSED:
        return answer(request, lead, f"{campaign} not started: {why_words(run.reason)}.", failed=True)
    return answer(request, lead, f"{campaign} started.")


def find_run(uid: UUID, pk: int) -> tuple[Lead, Enrollment]:
    """The lead and one of its runs."""
    lead = get_lead(uid)
    return lead, get_object_or_404(Enrollment.objects.select_related("campaign", "version"), pk=pk, lead=lead)


@require_POST
@rep_page
def stop_run(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """End a run now."""
    lead, run = find_run(uid, pk)
    if stop(run, signed_in(request)):
        return answer(request, lead, f"{run.campaign} stopped.")
    return answer(request, lead, f"{run.campaign} had ended already.", failed=True)


@require_POST
@rep_page
def skip_run_step(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """Leave the next step of a run out."""
    lead, run = find_run(uid, pk)
    try:
        skip_step(run, request.POST.get("step", ""), by_user=signed_in(request))
    except NotSkipped as error:
        return answer(request, lead, str(error), failed=True)
    return answer(request, lead, f"Skipped a step of {run.campaign}.")


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def forget_lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Ask for the address (GET), and forget the person (POST). For admins, and for reps about their own leads."""
    lead = get_lead(uid)
    if not may_forget(lead, signed_in(request)):
        raise PermissionDenied
    form = ForgetForm(request.POST or None, lead=lead)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid() and try_to_forget(form):
            messages.success(request, "The person was forgotten. Their address is blocked, so that no mail ever goes there.")
            return HttpResponseClientRedirect("/") if request.htmx else redirect("leads:board")  # type: ignore[attr-defined]
    template = "campaigns/forget.html#form" if request.htmx else "campaigns/forget.html"  # type: ignore[attr-defined]
    return render(request, template, {"lead": lead, "form": form}, status=status)


def try_to_forget(form: ForgetForm) -> bool:
    """Forget; an inbox that is busy with the person right now is told in the form."""
    try:
        forget_person(form.cleaned_data["email"])
    except InboxBusy:
        form.add_error("email", "An event of this person is being recorded right now. Nothing was changed; try again in a minute.")
        return False
    return True
