"""The leads as a table: sorted, filtered, done something with several at once, taken away as CSV."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leads.access import rep_page, signed_in
from leads.csv_export import export
from leads.forms import BoardMoveForm, BoardUndoForm
from leads.forms_list import ChosenLeads, GiveForm
from leads.gates import StageChanged, move_by_hand
from leads.hand_moves import undo_all
from leads.lead_filters import KINDS, LeadFilter, Page, chips, choose_leads, page_of
from leads.lead_owners import give
from leads.models import Lead, MergeReview, Source, Stage, Transition, User
from leads.views.imports import csv_response

PAGE = "leads/list.html"
HEADS = {
    "name": "Name",
    "company": "Company",
    "stage": "Stage",
    "score": "Score",
    "owner": "Owner",
    "active": "Last activity",
    "created": "Created",
}


@never_cache
@require_safe
@rep_page
def lead_list(request: HttpRequest) -> HttpResponse:
    """One page of the table; filters, order and place are in the address."""
    user, filters = signed_in(request), LeadFilter(request.GET)
    leads = choose_leads(filters, user)
    total, page = leads.count(), page_of(leads, filters)
    if not page.leads and (filters.value("after") or filters.value("before")) and total:
        return redirect(f"{reverse('leads:list')}?{filters.query()}")  # the lead the page began at is gone
    context = table_context(filters, page, total) | filter_context(filters)
    answer = render(request, part_of(request), context)
    if request.htmx:  # type: ignore[attr-defined]
        # The address people see and share; while somebody types it is not one more step back.
        header = "HX-Replace-Url" if is_typing(request) else "HX-Push-Url"
        answer[header] = f"{reverse('leads:list')}?{filters.here()}".rstrip("?")
    return answer


def is_typing(request: HttpRequest) -> bool:
    """Whether htmx asks for the table alone."""
    return bool(request.htmx.target == "leads-live")  # type: ignore[attr-defined]


def part_of(request: HttpRequest) -> str:
    """The template, or the part of it that htmx asks for: while somebody types, only the table."""
    if not request.htmx:  # type: ignore[attr-defined]
        return PAGE
    return f"{PAGE}#live" if is_typing(request) else f"{PAGE}#page"


def table_context(filters: LeadFilter, page: Page, total: int) -> dict[str, Any]:
    """The rows, the heads with their addresses, the way to the pages before and after."""
    sort = filters.order
    heads = [
        {
            "key": key,
            "label": label,
            "query": filters.query_sorted_by(key),
            "direction": ("descending" if sort.startswith("-") else "ascending") if sort.removeprefix("-") == key else "",
        }
        for key, label in HEADS.items()
    ]
    return {
        "filters": filters,
        "page": page,
        "total": total,
        "heads": heads,
        "view": filters.here(),
        "earlier": filters.query(before=page.earlier) if page.earlier else "",
        "later": filters.query(after=page.later) if page.later else "",
        "query": filters.query(),
        "is_fresh": not total and not filters.narrows,
        "in_doubt": MergeReview.objects.open().count(),
    }


def filter_context(filters: LeadFilter) -> dict[str, Any]:
    """What can be filtered by, and what is."""
    stages = list(Stage.objects.all())
    owners = list(User.objects.reps().order_by("first_name", "username"))
    sources = list(Source.objects.order_by("name"))
    return {
        "stages": stages,
        "owners": owners,
        "sources": sources,
        "kinds": KINDS.items(),
        "chips": chips(filters, stages=stages, owners=owners, sources=sources),
        "values": {name: filters.value(name) or "" for name in filters.fields},
    }


def back_to_list(view: str) -> HttpResponse:
    """To the same page of the list."""
    return redirect(f"{reverse('leads:list')}?{LeadFilter.of_query(view).here()}")


@require_POST
@rep_page
def give_leads(request: HttpRequest) -> HttpResponse:
    """Hand the ticked leads to somebody."""
    user = signed_in(request)
    form = GiveForm(request.POST, by_user=user)
    if not form.is_valid():
        return refuse(request, form)
    owner = form.cleaned_data["owner"]
    changed = give(form.leads().values_list("pk", flat=True), owner, by_user=user)
    whose = "yours" if owner == user else f"{owner}’s" if owner else "nobody’s"
    verb = "is" if changed == 1 else "are"
    messages.success(request, f"{count(changed)} {verb} now {whose}." if changed else f"Nothing changed: already {whose}.")
    return back_to_list(form.cleaned_data["view"])


@require_POST
@rep_page
def move_leads(request: HttpRequest) -> HttpResponse:
    """Move the ticked leads by hand, one by one; asks for the reason first where one is needed."""
    form = BoardMoveForm(request.POST)
    if not form.leads:
        return refuse(request, ChosenLeads(QueryDict(), initial={}), view=request.POST.get("view", ""))
    if not form.is_valid():
        return render(request, "leads/list_move.html", {"form": form}, status=422)
    data, user = form.cleaned_data, signed_in(request)
    told: list[str] = []
    moves: list[Transition] = []
    for lead in form.leads:
        came_of_it = move_one(lead, data["stage"], user, reason=data.get("reason"), note=data["note"])
        told.append("moved" if isinstance(came_of_it, Transition) else came_of_it)
        moves += [came_of_it] if isinstance(came_of_it, Transition) else []
    undo = ",".join(str(move.pk) for move in moves)
    tell(request, describe_moves(told, data["stage"]), view=data["view"], undo=undo, level=messages.SUCCESS if moves else messages.WARNING)
    return back_to_list(data["view"])


def tell(request: HttpRequest, said: str, *, view: str, undo: str = "", level: int = messages.SUCCESS) -> None:
    """Say on the next page what was done, with Undo."""
    html = render_to_string(f"{PAGE}#told", {"said": said, "undo": undo, "view": view}, request)
    messages.add_message(request, level, mark_safe(html))  # noqa: S308 (escaped by the template)


def move_one(lead: Lead, stage: Stage, user: User, **why: Any) -> Transition | str:
    """The move; or `there` when it stood there already, `lost` when somebody moved it since it was seen."""
    seen = lead.stage_seq
    try:
        return move_by_hand(lead, stage, by_user=user, **why)
    except StageChanged:
        now = Lead.objects.get(pk=lead.pk)
        return "there" if now.stage_id == stage.key and now.stage_seq == seen else "lost"


def describe_moves(told: list[str], stage: Stage) -> str:
    """What came of it: "12 moved to Closed lost, 1 was moved by somebody else"."""
    moved, lost, there = told.count("moved"), told.count("lost"), told.count("there")
    parts = [f"{moved} moved to {stage}"] if moved else []
    if lost:
        parts.append(f"{lost} {'was' if lost == 1 else 'were'} moved by somebody else")
    if there:
        parts.append(f"{there} {'was' if there == 1 else 'were'} in {stage} already")
    return ", ".join(parts) + "."


@require_POST
@rep_page
def undo_moves(request: HttpRequest) -> HttpResponse:
    """Take back the moves of one go."""
    form = BoardUndoForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Not undone: the moves are not known.")
        return back_to_list("")
    moves = Transition.objects.filter(pk__in=form.pks()).select_related("lead", "from_stage", "to_stage").order_by("lead_id")
    outcome = undo_all(moves, by_user=signed_in(request))
    for sentence in outcome.said:
        messages.success(request, sentence)
    if outcome.refused:
        messages.error(request, " ".join(outcome.refused[:3]))
    return back_to_list(form.cleaned_data["view"])


def refuse(request: HttpRequest, form: ChosenLeads, *, view: str | None = None) -> HttpResponse:
    """Back to the list with what is missing."""
    form.is_valid()
    errors = [str(problem) for problems in form.errors.values() for problem in problems]
    messages.error(request, " ".join(errors) or "Tick at least one lead first.")
    return back_to_list(str(form.cleaned_data.get("view", "")) if view is None else view)


def count(leads: int) -> str:
    """So many leads."""
    return f"{leads} lead" if leads == 1 else f"{leads} leads"


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def export_csv(request: HttpRequest) -> HttpResponse:
    """The filtered leads as CSV; posted, the ticked ones."""
    if request.method == "POST":
        form = ChosenLeads(request.POST)
        if not form.is_valid():
            return refuse(request, form)
        leads = form.leads()
    else:
        leads = choose_leads(LeadFilter(request.GET), signed_in(request)).order_by("pk")
    return csv_response(export(leads), name=f"leads {timezone.localdate().isoformat()}.csv")
