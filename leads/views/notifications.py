"""The bell, and what it rang for."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from leads.access import rep_page, signed_in
from leads.models import Notification

ON_A_PAGE = 50


@require_safe
@rep_page
def bell(request: HttpRequest) -> HttpResponse:
    """How many are unread: the fragment that pages ask for every half minute."""
    return render(request, "leads/bell.html", {"is_refresh": True})


@require_safe
@rep_page
def notifications(request: HttpRequest) -> HttpResponse:
    """Everything told to me, newest first."""
    user = signed_in(request)
    told = Notification.objects.told_to(user).select_related("lead", "lead__company")
    page = Paginator(told, ON_A_PAGE).get_page(request.GET.get("page"))
    return render(request, "leads/notifications.html", {"page": page, "has_unread": Notification.objects.unread(user).exists()})


@require_safe
@rep_page
def open_notification(request: HttpRequest, pk: int) -> HttpResponse:
    """Lead on to the lead it is about, and remember that it was read."""
    user = signed_in(request)
    told = get_object_or_404(Notification.objects.told_to(user).select_related("lead"), pk=pk)
    if told.read_at is None and "prefetch" not in request.headers.get("Sec-Purpose", ""):
        Notification.objects.unread(user).filter(pk=pk).update(read_at=timezone.now())
    return redirect(told.lead) if told.lead else redirect("leads:notifications")


@require_POST
@rep_page
def mark_all_read(request: HttpRequest) -> HttpResponse:
    """Mark everything told to me as read."""
    Notification.objects.unread(signed_in(request)).update(read_at=timezone.now())
    return redirect("leads:notifications")
