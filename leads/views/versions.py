"""Published versions of the scoring model: the list, each one with the work it left to do, and the way back to it."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from leads import rescoring
from leads.access import marketer_page, signed_in
from leads.changes import DraftMoved
from leads.draft_forms import SeenForm
from leads.models import Lead, ScoringVersion
from leads.rescore_news import moves_of
from leads.scoring_draft import look, restore_version
from leads.shape import PublishError
from leads.versions import Job, jobs_of, newest_versions, published, sentences_of
from leads.views.scoring import PARTS, told

ON_A_PAGE = 30
MOVES_SHOWN = 10
TITLES = {part: title for part, (title, _) in PARTS.items()}


def find(number: int) -> ScoringVersion:
    """The version of an address, or 404."""
    return get_object_or_404(ScoringVersion.objects.select_related("published_by", "restores"), number=number)


def job_of(version: ScoringVersion) -> Job | None:
    """The work it left to do; versions from before there was such work have none."""
    return jobs_of([version]).get(version.pk)


@require_safe
@marketer_page
def versions(request: HttpRequest) -> HttpResponse:
    """All versions, newest first; `below` is where the page begins."""
    below = request.GET.get("below", "")
    rows = newest_versions(ON_A_PAGE, below=int(below) if below.isdecimal() and len(below) < 10 else None)
    jobs = jobs_of([row.version for row in rows])
    last = rows[-1].version.number if rows else 1
    live = ScoringVersion.objects.values_list("number", flat=True).first()
    context = {
        "versions": [(row, jobs.get(row.version.pk)) for row in rows],
        "older": last if last > 1 and len(rows) == ON_A_PAGE else None,
        "live_number": live,
    }
    return render(request, "leads/versions.html", context)


@never_cache
@require_safe
@marketer_page
def version_page(request: HttpRequest, number: int) -> HttpResponse:
    """What one version changed, what it says, and its work.

    `?back` asks before the draft is made to say it; `?past` before the live one scores the past too.
    """
    return answer(request, find(number), asks=next((word for word in ("back", "past") if word in request.GET), ""))


def answer(request: HttpRequest, version: ScoringVersion, *, asks: str, problem: str = "", status: int = 200) -> HttpResponse:
    """The page of a version, with the question `asks` (back or past) open, and what went wrong."""
    row, job = published(version), job_of(version)
    context: dict[str, Any] = {
        "version": version,
        "is_live": not ScoringVersion.objects.filter(number__gt=version.number).exists(),
        "changes": row.changes,
        "job": job,
        "moves": moves_of(job.row).select_related("lead", "from_stage", "to_stage").order_by("-pk")[:MOVES_SHOWN] if job else [],
        "parts": sentences_of(version.document, TITLES),
        "asks": asks,
        "problem": problem,
    }
    if asks:
        draft = look().draft
        context |= {"draft": draft, "others": draft.others, "lead_count": Lead.objects.current().count()}
    return render(request, "leads/version.html", context, status=status)


@require_POST
@marketer_page
def restore(request: HttpRequest, number: int) -> HttpResponse:
    """Make the draft say what this version says, and ask how to publish it."""
    version, form = find(number), SeenForm(request.POST)
    try:
        restore_version(version, form.cleaned_data["seen"] if form.is_valid() else "", by_user=signed_in(request))
    except (DraftMoved, PublishError) as error:
        return answer(request, version, asks="back", problem=told(error), status=422)
    return redirect(f"{reverse('leads:scoring')}?{urlencode({'review': '', 'restores': number})}#draft")


# --- the work it left to do ----------------------------------------------------------------------


@never_cache
@require_safe
@marketer_page
def job_part(request: HttpRequest, number: int) -> HttpResponse:
    """How far it is: the fragment that pages ask for while it runs; `?line` for the short one."""
    version = find(number)
    part = "line" if "line" in request.GET else "progress"
    return render(request, f"leads/_rescore.html#{part}", {"version": version, "job": job_of(version)})


@require_POST
@marketer_page
def pause(request: HttpRequest, number: int) -> HttpResponse:
    """Stop after the chunk that is being done."""
    return switch(request, number, rescoring.pause)


@require_POST
@marketer_page
def resume(request: HttpRequest, number: int) -> HttpResponse:
    """Go on."""
    return switch(request, number, rescoring.resume)


def switch(request: HttpRequest, number: int, change: Any) -> HttpResponse:
    """Pause or resume the work of a version; whoever comes too late sees how it stands."""
    version = find(number)
    if job := job_of(version):
        change(job.row)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(f"{reverse('leads:scoring-version', args=[number])}#job")
    return render(request, "leads/_rescore.html#progress", {"version": version, "job": job_of(version)})
