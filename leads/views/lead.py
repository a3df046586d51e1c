"""One lead: who it is, why its score is what it is, what happened and will happen, what can be done."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from leads.access import rep_page, signed_in
from leads.activities import tasks_of
from leads.consents import words_of
from leads.course import REACHES, draw_course
from leads.forms import MoveForm
from leads.forms_lead import FACTS, ConsentForm, DeedForm, FactForm, NoteForm, QuietForm, ScoreForm, TalkForm, TaskForm
from leads.hand_moves import Outcome, move_all, undo_all
from leads.ledger import explain_score, older_lines
from leads.models import Lead, Merge, ScoringVersion, Stage, Transition, User
from leads.outlook import look_ahead
from leads.pairs import in_doubt, perhaps_same
from leads.reads import standing_at
from leads.recycling import let_go, return_after
from leads.rehearsal import types_to_propose
from leads.stays import moves_of, stays_of
from leads.timeline import KINDS, build_timeline, look_forward
from leads.toasts import with_toast

PAGE = "leads/lead.html"
Context = dict[str, Any]
SHOWN_WITH = ("company", "company__owner", "owner", "stage", "fold_state")
# What can be written down: its tab, icon and key.
WRITES = {"note": ("Note", "sticky-note", "n"), "talk": ("Call or meeting", "phone", "c"), "task": ("Task", "square-check", "t")}


def get_lead(uid: UUID) -> Lead:
    """The lead of an address, with what its page shows of it; merged ones are not found."""
    return get_object_or_404(Lead.objects.current().annotate(in_doubt=in_doubt()).select_related(*SHOWN_WITH), uid=uid)


# --- the parts of the page ------------------------------------------------------------------------


def head_part(request: HttpRequest, lead: Lead) -> Context:
    """Name, score, stages, and what is missing for the next one."""
    stages, version = list(Stage.objects.all()), ScoringVersion.live()
    outlook = look_ahead(lead, version, stages, now=timezone.now())
    state = getattr(lead, "fold_state", None)
    broken = state if state is not None and state.error else None
    doubles = perhaps_same(lead)
    return {"stages": stages, "outlook": outlook, "version": version, "broken": broken, "doubles": doubles}


def score_part(request: HttpRequest, lead: Lead, version: ScoringVersion | None = None, moves: list[Transition] | None = None) -> Context:
    """The ledger by rule, now or as of a day, and the score's course."""
    version, form = version or ScoringVersion.live(), ScoreForm(request.GET)
    moves = list(moves_of([lead.pk])) if moves is None else moves
    moment, reach = form.moment(), form.shown_reach()
    context: Context = {"score_form": form, "reaches": REACHES, "moment": moment, "ledger": explain_score(lead, version, moment=moment)}
    context["course"] = draw_course(lead, version, moves, reach=reach, moment=moment, now=timezone.now())
    return context | {"stage_then": Stage.objects.get(key=standing_at(lead, moment)["stage"]) if moment else None}


def timeline_part(
    request: HttpRequest, lead: Lead, version: ScoringVersion | None = None, moves: list[Transition] | None = None
) -> Context:
    """What is to come and one page of what was; filter and place (`before`, or `down_to`) stand in the address."""
    show = request.GET.get("show", "")
    show, before, now = show if show in KINDS else "", request.GET.get("before", ""), timezone.now()
    down_to = request.GET.get("down_to")
    version = version or (ScoringVersion.live() if show in ("", "moves") else None)
    context: Context = {"kinds": KINDS, "show": show, "before": before, "down_to": down_to, "tasks": tasks_of(lead), "now": now}
    moves = list(moves_of([lead.pk])) if moves is None and not before else moves
    context["ahead"] = [] if before else look_forward(lead, context["tasks"], show=show, last=moves[-1] if moves else None, now=now)
    return context | {"timeline": build_timeline(lead, version, show=show, before=before, down_to=down_to, now=now)}


def returns_part(request: HttpRequest, lead: Lead, stages: list[Stage] | None = None, moves: list[Transition] | None = None) -> Context:
    """What came of the lead when it was with sales before, and when it comes back by itself."""
    moves = list(moves_of([lead.pk])) if moves is None else moves
    stays = stays_of(moves).get(lead.pk, [])
    past = stays[:-1] if stays and stays[-1].end is None else stays
    stages = list(Stage.objects.all()) if stages is None else stages
    comes_back = return_after(moves[-1] if moves else None, lead, stages)
    return {"past_stay": past[-1] if past else None, "past_stays": len(past), "comes_back": comes_back}


def tasks_part(request: HttpRequest, lead: Lead) -> Context:
    """What is open."""
    return {"tasks": tasks_of(lead), "now": timezone.now()}


def consent_part(request: HttpRequest, lead: Lead) -> Context:
    """What they said about each topic, and whether anything may be sent at all."""
    point, words = words_of(lead.email)
    form = ConsentForm()
    form.offer([word.topic for word in words])
    return {"contact_point": point, "consents": words, "consent_form": form}


def facts_part(request: HttpRequest, lead: Lead) -> Context:
    """Facts, each with the form when it is asked for, and the keys they are known by."""
    identities = list(lead.identities.order_by("kind", "pk")[:50])
    is_joint = any(identity.first_lead_id != lead.pk for identity in identities)
    merges = Merge.objects.within(lead).standing().select_related("absorbed", "survivor", "by_user")[:50] if is_joint else ()
    return {"facts": FACTS, "identities": identities, "merges": merges}


def what_if_part(version: ScoringVersion | None) -> Context:
    """The forms to ask what would be if."""
    return {"deed_form": DeedForm(), "quiet_form": QuietForm(), "types": types_to_propose(version)}


def write_part(request: HttpRequest, lead: Lead) -> Context:
    """The form to write something down: a note, or what `write` in the address asks for."""
    asked = request.GET.get("write", "")
    asked = asked if asked in WRITES else "note"
    form = write_form(asked, None, user=signed_in(request))
    if request.htmx:  # type: ignore[attr-defined]
        next(iter(form.fields.values())).widget.attrs["autofocus"] = True
    return {"write": asked, "writes": WRITES, "write_form": form}


def write_form(kind: str, data: Any, *, user: User) -> NoteForm | TalkForm | TaskForm:
    """The form for one kind of thing to write down."""
    if kind == "task":
        return TaskForm(data, by_user=user)
    return TalkForm(data) if kind == "talk" else NoteForm(data)


PARTS: dict[str, Callable[[HttpRequest, Lead], Context]] = {
    "head": head_part,
    "returns": returns_part,
    "score": score_part,
    "timeline": timeline_part,
    "tasks": tasks_part,
    "consent": consent_part,
    "facts": facts_part,
    "write": write_part,
}


# --- the page -------------------------------------------------------------------------------------


def render_lead(request: HttpRequest, lead: Lead, *, status: int = 200, **extra: Any) -> HttpResponse:
    """The whole page; `extra` overrides parts of it, for example a form with errors."""
    context: Context = {"lead": lead, "can_forget": may_forget(lead, signed_in(request))} | head_part(request, lead)
    version, moves = context["version"], list(moves_of([lead.pk]))
    context |= returns_part(request, lead, context["stages"], moves)
    context |= score_part(request, lead, version, moves) | timeline_part(request, lead, version, moves)
    context |= what_if_part(version) | consent_part(request, lead) | facts_part(request, lead) | write_part(request, lead)
    edited = request.GET.get("edit", "")
    if edited in FACTS:
        context |= {"edited": edited, "fact_form": FactForm(lead=lead, fact=edited)}
    return render(request, PAGE, context | extra, status=status)


def may_forget(lead: Lead, user: User) -> bool:
    """Admins forget anybody, reps their own leads. Without an address there is nobody to ask for it."""
    mine = "Sales" in user.roles and lead.owner_id == user.pk
    return bool(lead.email) and (user.is_admin or mine)


@require_safe
@rep_page
def lead_page(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Everything about one lead. A lead that was merged into another leads on to that one."""
    lead = get_object_or_404(Lead.objects.annotate(in_doubt=in_doubt()).select_related(*SHOWN_WITH, "merged_into"), uid=uid)
    if lead.merged_into:
        return redirect(lead.merged_into)
    return render_lead(request, lead)


@require_safe
@rep_page
def part(request: HttpRequest, uid: UUID, name: str) -> HttpResponse:
    """One part of the page, as it is now; asked for by hand it is the page."""
    if name not in PARTS:
        raise Http404(f"The page of a lead has no part {name}.")
    lead = get_lead(uid)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(lead)
    fragment = "older" if name == "timeline" and request.GET.get("before") else name
    fragment = "newest" if name == "timeline" and "down_to" in request.GET else fragment
    return render(request, f"{PAGE}#{fragment}", {"lead": lead} | PARTS[name](request, lead))


@require_safe
@rep_page
def rule_lines(request: HttpRequest, uid: UUID) -> HttpResponse:
    """More lines of one rule of the ledger."""
    lead, after = get_lead(uid), request.GET.get("after", "")
    rule = {"axis": request.GET.get("axis", ""), "rule": request.GET.get("rule", "")}
    moment = ScoreForm(request.GET).moment()
    start = int(after) if after.isascii() and after.isdigit() and len(after) < 7 else 0
    lines, following = older_lines(lead, **rule, after=start, moment=moment)
    return render(request, f"{PAGE}#lines", {"lead": lead, "lines": lines, "following": following, "rule": rule, "moment": moment})


def changed(request: HttpRequest, lead: Lead, name: str, said: str, **context: Any) -> HttpResponse:
    """Answer a change: the part that changed with a toast, the others fetch themselves; without htmx back to the page."""
    if not request.htmx:  # type: ignore[attr-defined]
        messages.success(request, said)
        return redirect(lead)
    lead = get_lead(lead.uid)
    built = PARTS[name](request, lead) if name in PARTS else {}
    answer = render(request, f"{PAGE}#{name}", {"lead": lead} | built | context)
    # After the swap: what asked may be gone by then, and nothing bubbles from there; the body is asked instead.
    return with_toast(trigger_client_event(answer, "lead-changed", {"part": name}, after="swap"), said)


# --- moves by hand --------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def move_lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Ask where to (GET), and move a lead by hand (POST); never refused for gates that are not met."""
    lead = get_lead(uid)
    form = MoveForm(request.POST or None, lead=lead, initial={"stage": request.GET.get("stage", "")})
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        template = f"{PAGE}#move" if request.htmx else "leads/lead_move.html"  # type: ignore[attr-defined]
        return render(request, template, {"lead": lead, "form": form}, status=status)
    seen = request.POST.get("seq", "")
    lead.stage_seq = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 9 else lead.stage_seq
    data = form.cleaned_data
    outcome = move_all([lead], data["stage"], by_user=signed_in(request), reason=data["reason"], note=data["note"])
    return moved(request, get_lead(uid), outcome)


@require_POST
@rep_page
def undo_lead_move(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """Take one's own last move back."""
    lead = get_lead(uid)
    move = get_object_or_404(Transition.objects.select_related("lead", "from_stage", "to_stage"), pk=pk, lead=lead)
    return moved(request, get_lead(uid), undo_all([move], by_user=signed_in(request)))


@require_POST
@rep_page
def stay_away(request: HttpRequest, uid: UUID) -> HttpResponse:
    """The lead is not to come back by itself."""
    lead = get_lead(uid)
    said = f"{lead} will not come back by itself." if let_go(lead) else f"{lead} was not going to come back any more."
    return changed(request, lead, "returns", said)


def moved(request: HttpRequest, lead: Lead, outcome: Outcome) -> HttpResponse:
    """Tell what came of a move, with the way back."""
    if not request.htmx:  # type: ignore[attr-defined]
        level = messages.SUCCESS if outcome.said else messages.ERROR
        told = mark_safe(render_to_string(f"{PAGE}#told", {"lead": lead, "outcome": outcome}, request))  # noqa: S308 (escaped by the template)
        messages.add_message(request, level, told)
        return redirect(lead)
    missing = f" Was missing: {', '.join(outcome.missing)}." if outcome.missing else ""
    undo = reverse("leads:undo-move", args=[lead.uid, outcome.moves[0].pk]) if outcome.moves else ""
    answer = trigger_client_event(HttpResponse(status=204), "lead-changed", {"part": "move"})
    text = " ".join([*outcome.said, *outcome.refused]) + missing
    return trigger_client_event(with_toast(answer, text, undo=undo, is_error=not outcome.said), "close-dialog", {})
