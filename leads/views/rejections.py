"""What sales rejects: the report for whoever edits the rules."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from leads.access import marketer_page
from leads.rejections import DAYS, ENOUGH, MOST, report_rejections


@require_safe
@marketer_page
def rejections(request: HttpRequest) -> HttpResponse:
    """Which rules and gates bring leads that sales sends back."""
    context = {"report": report_rejections(now=timezone.now()), "days": DAYS, "enough": ENOUGH, "most": MOST}
    return render(request, "leads/rejections.html", context)
