"""What the leads list does about campaigns: stop whatever runs for the ticked leads."""

from collections.abc import Iterable

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from campaigns.models import Enrollment
from campaigns.runs import exit_runs
from leads.access import rep_page, signed_in
from leads.forms_list import ChosenLeads
from leads.lead_filters import LeadFilter
from leads.models import User
from leads.scoring import lock_leads


@transaction.atomic
def stop_all(lead_pks: Iterable[int], by_user: User) -> int:
    """End every run of these leads because a colleague asks for it; returns how many were running."""
    locked = lock_leads(lead_pks)
    return exit_runs(Enrollment.objects.filter(lead__in=locked), f"stopped by {by_user}", timezone.now())


@require_POST
@rep_page
def stop_runs(request: HttpRequest) -> HttpResponse:
    """Stop the campaigns of the ticked leads, and say how many ran."""
    form = ChosenLeads(request.POST)
    back = LeadFilter.of_query(request.POST.get("view", "")).here()
    if not form.is_valid():
        messages.error(request, "Tick at least one lead first.")
    elif stopped := stop_all(form.leads().values_list("pk", flat=True), signed_in(request)):
        messages.success(request, "1 campaign run stopped." if stopped == 1 else f"{stopped} campaign runs stopped.")
    else:
        messages.success(request, "Nothing to stop: no campaign runs for them.")
    return redirect(f"{reverse('leads:list')}?{back}")
