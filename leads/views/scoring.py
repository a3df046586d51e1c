"""The scoring model: what is live, what is draft, and publishing it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from leads.access import marketer_page, signed_in
from leads.changes import DraftMoved
from leads.draft_entries import ORDERED
from leads.draft_forms import PublishForm, SeenForm
from leads.models import ScoringVersion
from leads.scoring_draft import NOTHING, SINGLE, Model, differences, discard_draft, look, publish_draft, stage_names
from leads.shape import PublishError

VERSIONS = 10
# Title, and what it is about.
PARTS = {
    "gates": ("Gates", "When a lead moves from one stage to another."),
    "rules": ("Rules", "What it is worth when somebody does something."),
    "fit": ("Fit", "What it is worth who somebody is, as long as it holds."),
    "idle": ("Quiet", "What it is worth when somebody does nothing."),
    "limits": ("Limits", "How far points go."),
    "exclude": ("Not counted", "For whom nothing counts: own staff, competitors, students."),
    "derive": ("Derived types", "A second name for some events, which rules and gates can use."),
}


@require_safe
@marketer_page
def scoring(request: HttpRequest) -> HttpResponse:
    """What is live and what is draft, in sentences; `?review` asks before publishing, `?discard` before discarding."""
    asks = next((word for word in ("review", "discard") if word in request.GET), "")
    return answer(request, look(), asks=asks)


def answer(request: HttpRequest, model: Model, *, asks: str, problem: str = "", note: str = "", status: int = 200) -> HttpResponse:
    """The page, with the question `asks` (review or discard) open, and what went wrong."""
    context: dict[str, Any] = {
        "model": model,
        "draft": model.draft,
        "mine": model.draft.by(signed_in(request)),
        "asks": asks if model.draft.changes else "",
        "problem": problem,
        "form": PublishForm(initial={"seen": model.draft.fingerprint, "note": note}),
        "parts": [part_of(part, model) for part in PARTS],
        "versions": history(),
    }
    return render(request, "leads/scoring.html", context, status=status)


def part_of(part: str, model: Model) -> dict[str, Any]:
    """One part of the model for the page. Of limits and exclusion there is at most one row."""
    title, about = PARTS[part]
    lines = model.lines[part]
    problems = model.draft.problems.get(part, [])
    add = reverse("leads:scoring-new", args=[part])
    if part in SINGLE:
        # There is only one, and then it is a line.
        add = "" if lines else reverse("leads:scoring-entry", args=[part, "edit"])
    return {"key": part, "title": title, "about": about, "lines": lines, "add": add, "problems": problems, "ordered": part in ORDERED}


def history() -> list[dict[str, Any]]:
    """The last versions, each with what it changed."""
    versions = list(ScoringVersion.objects.select_related("published_by")[: VERSIONS + 1])
    stages = stage_names()
    before = [version.document for version in versions[1:]] + [NOTHING]
    shown = list(zip(versions, before, strict=False))[:VERSIONS]
    return [{"version": version, "changes": differences(was, version.document, stages)} for version, was in shown]


@require_POST
@marketer_page
def publish(request: HttpRequest) -> HttpResponse:
    """Publish the draft that was looked at."""
    form = PublishForm(request.POST)
    if not form.is_valid():
        return answer(request, look(), asks="review", problem="The note is too long; 300 characters are the most.", status=422)
    note = form.cleaned_data["note"]
    try:
        version = publish_draft(form.cleaned_data["seen"], by_user=signed_in(request), note=note)
    except (DraftMoved, PublishError) as error:
        return answer(request, look(), asks="review", problem=told(error), note=note, status=422)
    messages.success(request, f"{version} is live. It scores what happens from now on.")
    return redirect("leads:scoring")


@require_POST
@marketer_page
def discard(request: HttpRequest) -> HttpResponse:
    """Make the draft say again what is live."""
    form = SeenForm(request.POST)
    try:
        version = discard_draft(form.cleaned_data["seen"] if form.is_valid() else "", by_user=signed_in(request))
    except (DraftMoved, PublishError) as error:
        return answer(request, look(), asks="discard", problem=told(error), status=422)
    messages.success(request, f"Discarded. The draft says again what {str(version).lower()} says.")
    return redirect("leads:scoring")


def told(error: Exception) -> str:
    """Why it was not done; what stands beside the lines is not said twice."""
    if isinstance(error, PublishError):
        return "Not done. " + " ".join(f"{str(problem)[:1].upper()}{str(problem)[1:]}." for problem in error.problems[:3])
    return str(error)
