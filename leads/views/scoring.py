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
from leads.fuse import Forecast
from leads.models import FoldState, Lead
from leads.scoring_draft import SINGLE, Model, check_seen, discard_draft, foresee, look, publish_draft
from leads.shape import PublishError
from leads.versions import newest_versions, open_jobs

# Versions on the page; all of them have a page of their own.
SHOWN = 10
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


def answer(
    request: HttpRequest,
    model: Model,
    *,
    asks: str,
    problem: str = "",
    form: PublishForm | None = None,
    forecast: Forecast | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page, with the question `asks` (review or discard) open, what went wrong, and what is to be confirmed."""
    context: dict[str, Any] = {
        "model": model,
        "draft": model.draft,
        "mine": model.draft.by(signed_in(request)),
        "asks": asks if model.draft.changes or forecast else "",
        "problem": problem,
        "form": form or PublishForm(initial=going_back(request)),
        "forecast": forecast,
        "lead_count": Lead.objects.current().count() if asks == "review" else 0,
        "parts": [part_of(part, model) for part in PARTS],
        "versions": newest_versions(SHOWN),
        "jobs": open_jobs(),
        "broken_count": FoldState.objects.broken().count(),
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


def going_back(request: HttpRequest) -> dict[str, Any]:
    """What the publish form says at first, when the draft was just made to say what an earlier version says."""
    number = request.GET.get("restores", "")
    return {"restores": int(number), "note": f"Back to Version {number}"} if number.isdecimal() and len(number) < 10 else {}


@require_POST
@marketer_page
def publish(request: HttpRequest) -> HttpResponse:
    """Publish the draft that was looked at; if very many leads would move, ask once more."""
    form = PublishForm(request.POST)
    if not form.is_valid():
        return answer(request, look(), asks="review", problem=unreadable(form), form=form, status=422)
    data = form.cleaned_data
    history = data["scope"] == PublishForm.HISTORY
    try:
        check_seen(data["seen"])
        if data["sure"] != data["scope"] and (found := foresee(history=history)).asks:
            return answer(request, look(), asks="review", form=form, forecast=found)
        version = publish_draft(
            data["seen"], by_user=signed_in(request), note=data["note"], rescore=history, tell=data["tell"], restores=data["restores"]
        )
    except (DraftMoved, PublishError) as error:
        return answer(request, look(), asks="review", problem=told(error), form=form, status=422)
    scores = "It scores what happens from now on, and the past is scored anew." if history else "It scores what happens from now on."
    messages.success(request, f"{version} is live. {scores}")
    return redirect("leads:scoring")


def unreadable(form: PublishForm) -> str:
    """What is wrong with what was sent; the page itself sends only notes that are too long."""
    return "The note is too long; 300 characters are the most." if "note" in form.errors else str(DraftMoved())


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
