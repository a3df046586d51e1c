"""Entering a lead by hand."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from leads.access import rep_page, signed_in
from leads.editing import create_lead
from leads.forms_lead import LeadForm


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def new_lead(request: HttpRequest) -> HttpResponse:
    """The form, and the lead it becomes."""
    form = LeadForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "leads/new.html", {"form": form}, status=422 if request.method == "POST" else 200)
    user = signed_in(request)
    owner = user if form.cleaned_data["is_mine"] else None
    lead = create_lead(email=form.cleaned_data["email"], traits=form.traits(), owner=owner, by_user=user)
    messages.success(request, f"{lead} is entered.")
    return redirect(lead)
