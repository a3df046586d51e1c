"""Leads whose score could not be computed: why, and trying again."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from leads.access import marketer_page, signed_in
from leads.broken_leads import try_again
from leads.models import FoldState

ON_A_PAGE = 50


@require_safe
@marketer_page
def broken(request: HttpRequest) -> HttpResponse:
    """The leads, the newest failure first; where in the code it happened is for admins."""
    states = FoldState.objects.broken().select_related("lead").defer("state")
    context = {"page": Paginator(states, ON_A_PAGE).get_page(request.GET.get("page")), "shows_tracebacks": signed_in(request).is_admin}
    return render(request, "leads/broken.html", context)


@require_POST
@marketer_page
def fold_again(request: HttpRequest) -> HttpResponse:
    """Try some of them again."""
    wanted = [int(pk) for pk in request.POST.getlist("lead")[:ON_A_PAGE] if pk.isdecimal() and len(pk) < 19]
    pks = list(FoldState.objects.broken().filter(pk__in=wanted).values_list("pk", flat=True))
    failed = try_again(pks)
    done = len(pks) - failed
    if done:
        messages.success(request, f"{done} {'score was' if done == 1 else 'scores were'} computed.")
    if failed:
        messages.error(
            request, f"{failed} still {'fails' if failed == 1 else 'fail'}; the reason stands beside {'it' if failed == 1 else 'them'}."
        )
    return redirect("leads:scoring-broken")
