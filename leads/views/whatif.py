"""Trying out the draft: what it would have done (what-if), and who would pass its gates now (simulator)."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import retarget

from leads import whatif as trying
from leads.access import marketer_page, signed_in
from leads.forms_whatif import WhatIfForm
from leads.models import Lead, ScoringVersion, WhatIf
from leads.replay import draft_to_try
from leads.shape import PublishError, same
from leads.simulator import simulate
from leads.simulator_page import Passings, newest_of
from leads.whatif_page import Result

PAST = 20
# What the simulator's page looks at while somebody waits for it; the rest is looked at in the background.
SECONDS = 2.0


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def start(request: HttpRequest) -> HttpResponse:
    """Compare the draft with what is live, over some days; below it what was compared before."""
    form = WhatIfForm(request.POST if request.method == "POST" else None)
    live = ScoringVersion.live()
    document, problems = draft_or_problems()
    if document is not None and request.method == "POST" and form.is_valid():
        return redirect("leads:whatif", trying.start(document, days=form.chosen, by_user=signed_in(request)).uid)
    context = {
        "form": form,
        "live": live,
        "problems": problems,
        "is_same": document is not None and live is not None and same(live.document, document),
        "past": WhatIf.objects.filter(kind=WhatIf.Kind.COMPARISON).select_related("by_user").defer("document", "result")[:PAST],
    }
    return render(request, "leads/whatif_start.html", context, status=422 if form.errors or (problems and form.is_bound) else 200)


def draft_or_problems() -> tuple[dict[str, Any] | None, list[str]]:
    """The draft as it would be published, or what keeps it from that."""
    try:
        return draft_to_try(), []
    except PublishError as error:
        return None, [str(problem) for problem in error.problems]


@never_cache
@require_safe
@marketer_page
def what_if_page(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One comparison or simulation: how far it is, then what it found. Once it is done, the progress asks for the whole page."""
    what_if = get_object_or_404(WhatIf.objects.select_related("by_user"), uid=uid)
    is_running = what_if.state == WhatIf.State.RUNNING
    context: dict[str, Any] = {
        "what_if": what_if,
        "again": "leads:simulator" if what_if.is_simulation else "leads:whatif-start",
        "is_running": is_running,
        "waits_for": trying.waits_for() if is_running else None,
        "is_stuck": is_running and WhatIf.objects.stuck().filter(pk=what_if.pk).exists(),
    }
    if what_if.is_simulation and what_if.result:
        context["passings"] = Passings.of(what_if)
    if request.htmx and is_running:  # type: ignore[attr-defined]
        return render(request, "leads/whatif.html#progress", context)
    if what_if.state == WhatIf.State.DONE and not what_if.is_simulation:
        result = Result(what_if)
        page = page_number(request, result)
        context |= {"result": result, "rows": result.rows(page), "page": page}
    if request.htmx:  # type: ignore[attr-defined]
        # What asked was the progress; now there is more to show than that.
        return retarget(render(request, "leads/whatif.html#whole", context), "#whole")
    return render(request, "leads/whatif.html", context)


def page_number(request: HttpRequest, result: Result) -> int:
    """The page asked for, the first when there is no such."""
    asked = request.GET.get("page", "")
    return int(asked) if asked.isdecimal() and int(asked) in result.pages else 1


@require_POST
@marketer_page
def cancel(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Stop a comparison that runs."""
    if not trying.cancel(get_object_or_404(WhatIf, uid=uid)):
        messages.info(request, "It had come to an end already.")
    return redirect("leads:whatif", uid)


@require_POST
@marketer_page
def go_on(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Let a comparison whose workers died try again where it stopped."""
    trying.go_on(get_object_or_404(WhatIf, uid=uid))
    return redirect("leads:whatif", uid)


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def simulator(request: HttpRequest) -> HttpResponse:
    """Gate by gate, who would pass now under the draft: as many leads as can be looked at at once, or all in the background."""
    document, problems = draft_or_problems()
    if document is None:
        return render(request, "leads/simulator.html", {"problems": problems}, status=422 if request.method == "POST" else 200)
    if request.method == "POST":
        return redirect("leads:whatif", trying.start_simulation(document, seconds=SECONDS, by_user=signed_in(request)).uid)
    passings = Passings(document, simulate(document, seconds=SECONDS))
    context: dict[str, Any] = {"passings": passings}
    if not passings.is_whole:
        context |= {"lead_count": Lead.objects.current().count(), "newest": newest_of(document)}
    return render(request, "leads/simulator.html", context)
