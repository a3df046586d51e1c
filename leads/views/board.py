"""The board: leads by stage, the most urgent first, moved by hand."""

import hashlib
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from leads import board as on_board
from leads.access import rep_page, signed_in
from leads.arrivals import describe_arrivals
from leads.forms import BoardFilter, BoardMoveForm, BoardPlace, BoardUndoForm, SavedViewForm
from leads.hand_moves import Outcome, move_all, undo_all
from leads.models import Event, Lead, SavedView, ScoringVersion, Source, Stage, Transition, User
from leads.toasts import with_toast

PAGE = "leads/board.html"
NAMED_OWNERS = {"ours": "Mine and unassigned", "me": "Mine", "nobody": "Unassigned", "all": "Everybody's"}


@never_cache
@require_safe
@rep_page
def board(request: HttpRequest) -> HttpResponse:
    """Columns by stage; filters in the address."""
    user, filters = signed_in(request), BoardFilter(request.GET)
    return render(request, PAGE, live_context(request, filters) | head_context(filters, user))


@never_cache
@require_safe
@rep_page
def live(request: HttpRequest) -> HttpResponse:
    """The columns alone, for refreshing; 204 when they are as they were seen."""
    seen = BoardPlace(request.GET).value("seen")
    if seen and seen.rpartition("-")[0] == on_board.state_of(list(on_board.with_newest()[:1]), now=timezone.now()):
        return HttpResponse(status=204)
    context = live_context(request, BoardFilter(request.GET))
    if seen.rpartition("-")[2] == context["seen"].rpartition("-")[2]:
        return HttpResponse(status=204)
    return render(request, f"{PAGE}#live", context)


@never_cache
@require_safe
@rep_page
def more(request: HttpRequest) -> HttpResponse:
    """The next cards of one column: a fragment, and without JavaScript a board of that column alone from there on."""
    filters, place, now = BoardFilter(request.GET), BoardPlace(request.GET), timezone.now()
    stage = get_object_or_404(Stage, key=place.value("column"))
    after = on_board.After.read(place.value("after"))
    if after is None:
        return redirect("leads:board")
    column = on_board.next_cards(on_board.choose_leads(filters, signed_in(request), now=now), stage, after, now=now)
    context = {"column": column, "query": filters.query()}
    return render(request, f"{PAGE}#cards" if request.htmx else "leads/board_more.html", context)  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def move(request: HttpRequest) -> HttpResponse:
    """Move one card or several: a form, and what came of it. 422 with the form when a reason is missing."""
    form = BoardMoveForm(request.POST if request.method == "POST" else request.GET)
    template = "leads/board_move.html#form" if request.htmx else "leads/board_move.html"  # type: ignore[attr-defined]
    if request.method != "POST":
        return render(request, template, {"form": form, "is_asking": True})
    if not form.is_valid():
        return render(request, template, {"form": form}, status=422)
    data = form.cleaned_data
    outcome = move_all(form.leads, data["stage"], by_user=signed_in(request), reason=data.get("reason"), note=data["note"])
    return tell(request, outcome, view=data["view"])


@require_POST
@rep_page
def undo(request: HttpRequest) -> HttpResponse:
    """Take back what was moved by mistake."""
    form = BoardUndoForm(request.POST if request.POST.get("moves") else request.GET)
    if not form.is_valid():
        return tell(request, Outcome(refused=["Not undone: the move is not known."]), view="")
    moves = Transition.objects.filter(pk__in=form.pks()).select_related("lead", "from_stage", "to_stage").order_by("lead_id")
    outcome = undo_all(moves, by_user=signed_in(request))
    if request.htmx:  # type: ignore[attr-defined]
        answer = trigger_client_event(HttpResponse(status=204), "refresh-board")
        return with_toast(answer, outcome.text, is_error=not outcome.said)
    return tell(request, outcome, view=form.cleaned_data["view"])


@require_POST
@rep_page
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep the filters under a name; the same name again means the new filters."""
    form = SavedViewForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Not saved: give the view a name of at most 60 characters.")
        return redirect("leads:board")
    query = BoardFilter(QueryDict(form.cleaned_data["query"])).query()
    SavedView.objects.update_or_create(
        user=signed_in(request), page="board", name=form.cleaned_data["name"], defaults={"query": query[:500]}
    )
    messages.success(request, f"Saved as {form.cleaned_data['name']}.")
    return redirect(f"{reverse('leads:board')}?{query}")


@require_POST
@rep_page
def forget_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Drop one of one's own saved views."""
    view = get_object_or_404(SavedView, pk=pk, user=signed_in(request), page="board")
    view.delete()
    messages.success(request, f"{view.name} is no longer saved.")
    return redirect("leads:board")


def live_context(request: HttpRequest, filters: BoardFilter) -> dict[str, Any]:
    """The columns as text, with the state they show."""
    now, stages = timezone.now(), list(on_board.with_newest())
    chosen = [stage for stage in stages if filters.value("stage") in ("", None, stage.key)]
    folded = stages[0].key if stages and filters.folds() else ""
    leads = on_board.choose_leads(filters, signed_in(request), now=now)
    newest = on_board.state_of(stages, now=now)
    shown = BoardPlace(request.GET or request.POST).shown_cards()
    columns = on_board.make_columns(leads, chosen, folded=folded, shown=shown, now=now)
    total = sum(column.count for column in columns)
    context: dict[str, Any] = {"columns": columns, "stages": stages, "query": filters.query(), "total": total, "narrows": filters.narrows()}
    context |= empty_context(columns, is_empty=not total)
    html = render_to_string(f"{PAGE}#columns", context, request)
    digest = hashlib.blake2b(html.encode(), digest_size=8).hexdigest()
    return context | {"html": html, "seen": f"{newest}-{digest}", "filters": filters}


def empty_context(columns: list[on_board.Column], *, is_empty: bool) -> dict[str, Any]:
    """What an empty column says, and the first three steps while nobody is known at all."""
    empty = [column.stage for column in columns if not column.count]
    live_version = ScoringVersion.live() if empty else None
    document = live_version.document if live_version else {}
    context: dict[str, Any] = {"arrivals": {stage.key: describe_arrivals(stage, document) for stage in empty}}
    if is_empty and not Lead.objects.known().exists():
        context |= {
            "is_fresh": True,
            "has_playbook": live_version is not None,
            "has_source": Source.objects.filter(~Q(key_digest=None), revoked_at=None).exists(),
            "has_event": Event.objects.exclude(source=Source.built_in()).exists(),
        }
    return context


def head_context(filters: BoardFilter, user: User) -> dict[str, Any]:
    """Filters, their chips and the saved views."""
    owners = list(User.objects.reps().order_by("first_name", "username"))
    sources = list(Source.objects.filter(~Q(key_digest=None)).order_by("name"))
    whose = filters.whose(user)
    return {
        "owners": owners,
        "sources": sources,
        "whose": whose,
        "quick": [(key, name, filters.query(owner=key)) for key, name in NAMED_OWNERS.items()],
        "chips": make_chips(filters, owners=owners, sources=sources),
        "saved_views": user.saved_views.filter(page="board"),
        "values": {name: filters.value(name) or "" for name in filters.fields},
    }


def make_chips(filters: BoardFilter, *, owners: list[User], sources: list[Source]) -> list[tuple[str, str]]:
    """Each filter that is set, in words, with the query that lifts it."""
    owner_names = {str(owner.pk): f"Owner: {owner}" for owner in owners}
    source_names = {source.pk: source.name for source in sources}
    words = {
        "q": "“{}”",
        "owner": owner_names.get(str(filters.value("owner")), ""),
        "stage": "Stage: {}",
        "score": "Score at least {}",
        "source": f"Source: {source_names.get(filters.value('source'), 'unknown')}",
        "company": "Company: {}",
        "closed": "Won and lost of any age",
        "visitors": "Visitors too",
    }
    return [
        (text.format(filters.value(name)) if "{}" in text else text, filters.query(**{name: ""}))
        for name, text in words.items()
        if text and filters.value(name)
    ]


def tell(request: HttpRequest, outcome: Outcome, *, view: str) -> HttpResponse:
    """Answer a change: the board as it is now with a toast, or back to the board with a message."""
    query = BoardFilter(QueryDict(view)).query()
    if request.htmx:  # type: ignore[attr-defined]
        address = f"{reverse('leads:board-undo')}?{urlencode({'moves': outcome.undo})}" if outcome.undo else ""
        answer = render(request, f"{PAGE}#live", live_context(request, BoardFilter(QueryDict(view))))
        return with_toast(answer, outcome.text, undo=address, is_error=not outcome.said)
    told = render_to_string(f"{PAGE}#told", {"outcome": outcome, "view": query}, request)
    level = messages.SUCCESS if outcome.said else messages.ERROR
    messages.add_message(request, level, mark_safe(told))  # noqa: S308 (escaped by the template)
    return redirect(f"{reverse('leads:board')}?{query}")
