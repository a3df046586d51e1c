"""The dry run's page: one campaign, one lead, one event, and what would happen, through the production code path."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods

from campaigns.models import Campaign
from campaigns.receipts import why, worded
from campaigns.specimen import find_lead, latest_event, suggested_leads
from crm.simulation import Plan, SimulationError, simulate
from leads.access import marketer_page
from leads.models import Lead


class DryRunForm(forms.Form):
    """For whom, and what starts it."""

    lead = forms.CharField(label="For", max_length=254, help_text="An address, or the lead's user id.")
    start = forms.ChoiceField(choices=[("event", "event"), ("hand", "hand")], required=False)
    properties = forms.JSONField(required=False, label="Properties of the event", initial=dict)

    def clean_lead(self) -> Lead:
        """The lead that is meant."""
        lead = find_lead(self.cleaned_data["lead"])
        if lead is None:
            raise forms.ValidationError("Nobody we know has this address or id. Write it as it stands on the lead's page.")
        return lead

    def clean_properties(self) -> dict[str, Any]:
        """A mapping."""
        value = self.cleaned_data.get("properties") or {}
        if not isinstance(value, dict):
            raise forms.ValidationError('Write the properties as a mapping, for example {"plan": "team"}.')
        return value


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def dry_run(request: HttpRequest, key: str) -> HttpResponse:
    """Ask (GET), or play it and undo it (POST)."""
    campaign = get_object_or_404(Campaign.objects.select_related("live"), key=key)
    trigger = campaign.live.document.get("trigger", {}) if campaign.live else {}
    leads = suggested_leads(campaign)
    form = DryRunForm(request.POST) if request.method == "POST" else DryRunForm(initial=first_guess(campaign, leads))
    plan: Plan | None = None
    problem = ""
    if form.is_bound and form.is_valid():
        by_event = bool(trigger.get("event")) and form.cleaned_data["start"] != "hand"
        event = {"eventType": trigger["event"], "metadata": form.cleaned_data["properties"]} if by_event else None
        try:
            plan = simulate(campaign, form.cleaned_data["lead"], event=event)
        except SimulationError as error:
            problem = str(error)
    context: dict[str, Any] = {
        "campaign": campaign,
        "form": form,
        "event": trigger.get("event"),
        "leads": leads,
        "plan": plan,
        "problem": problem,
    }
    if plan:
        context |= {"ending": ending(plan), "lines": [(line, line.why and worded(line.why)) for line in plan.lines]}
    return render(request, "campaigns/dry_run.html", context, status=422 if form.is_bound and not form.is_valid() else 200)


def ending(plan: Plan) -> str:
    """How it would end, as a sentence."""
    state, _, reason = plan.outcome.partition(": ")
    if state == "refused":
        return f"They would not enter: {why(reason)}."
    return f"In the end: {state}{f', {why(reason)}' if reason else ''}."


def first_guess(campaign: Campaign, leads: list[Lead]) -> dict[str, Any]:
    """The lead who was in it last, and the properties of what started it then."""
    if not leads:
        return {}
    event = latest_event(campaign, leads[0])
    return {"lead": leads[0].email, "properties": event.properties if event else {}}
