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
from leads.curve import draw_curve
from leads.forms import MoveForm
from leads.forms_lead import FACTS, ConsentForm, FactForm, NoteForm, TalkForm, TaskForm
from leads.hand_moves import Outcome, move_all, undo_all
from leads.ledger import explain_score, older_lines
from leads.models import FoldState, Lead, ScoringVersion, Stage, Transition, User
from leads.outlook import look_ahead
from leads.timeline import KINDS, build_timeline, look_forward
from leads.toasts import with_toast

PAGE = "leads/lead.html"
Context = dict[str, Any]
# What can be written down: its tab, icon and key.
WRITES = {"note": ("Note", "sticky-note", "n"), "talk": ("Call or meeting", "phone", "c"), "task": ("Task", "square-check", "t")}


def get_lead(uid: UUID) -> Lead:
    """The lead of an address, with what its page shows of it; merged ones are not found."""
    return get_object_or_404(Lead.objects.current().select_related("company", "company__owner", "owner", "stage"), uid=uid)


# --- the parts of the page ------------------------------------------------------------------------


def head_part(request: HttpRequest, lead: Lead) -> Context:
    """Name, score, stages, and what is missing for the next one."""
    stages, version = list(Stage.objects.all()), ScoringVersion.live()
    outlook = look_ahead(lead, version, stages, now=timezone.now())
    broken = FoldState.objects.broken().filter(lead=lead).defer("state", "traceback").first()
    return {"stages": stages, "outlook": outlook, "version": version, "broken": broken}


def score_part(request: HttpRequest, lead: Lead, version: ScoringVersion | None = None) -> Context:
    """The ledger by rule, and the score's course."""
    version = version or ScoringVersion.live()
    return {"ledger": explain_score(lead, version), "curve": draw_curve(lead, now=timezone.now())}


def timeline_part(request: HttpRequest, lead: Lead, version: ScoringVersion | None = None) -> Context:
    """What is to come and one page of what was; filter and place (`before`, or `down_to`) stand in the address."""
    show = request.GET.get("show", "")
    show, before, now = show if show in KINDS else "", request.GET.get("before", ""), timezone.now()
    down_to = request.GET.get("down_to")
    version = version or (ScoringVersion.live() if show in ("", "moves") else None)
    context: Context = {"kinds": KINDS, "show": show, "before": before, "down_to": down_to, "tasks": tasks_of(lead), "now": now}
    context["ahead"] = [] if before else look_forward(lead, context["tasks"], show=show, now=now)
    return context | {"timeline": build_timeline(lead, version, show=show, before=before, down_to=down_to, now=now)}


def tasks_part(request: HttpRequest, lead: Lead) -> Context:
    """What is open."""
    return {"tasks": tasks_of(lead), "now": timezone.now()}


def consent_part(request: HttpRequest, lead: Lead) -> Context:
    """What they said about each topic, and whether anything may be sent at all."""
    point, words = words_of(lead.email)
    return {"contact_point": point, "consents": words, "consent_form": ConsentForm()}


def facts_part(request: HttpRequest, lead: Lead) -> Context:
    """Facts, each with the form when it is asked for, and the keys they are known by."""
    return {"facts": FACTS, "identities": lead.identities.order_by("kind", "pk")[:50]}


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
    version = context["version"]
    context |= score_part(request, lead, version) | timeline_part(request, lead, version)
    context |= consent_part(request, lead) | facts_part(request, lead) | write_part(request, lead)
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
    lead = get_object_or_404(Lead.objects.select_related("company", "company__owner", "owner", "stage", "merged_into"), uid=uid)
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
    lines, following = older_lines(lead, **rule, after=int(after) if after.isascii() and after.isdigit() and len(after) < 7 else 0)
    return render(request, f"{PAGE}#lines", {"lead": lead, "lines": lines, "following": following, "rule": rule})


def changed(request: HttpRequest, lead: Lead, name: str, said: str, **context: Any) -> HttpResponse:
    """Answer a change: the part that changed with a toast, the others fetch themselves; without htmx back to the page."""
    if not request.htmx:  # type: ignore[attr-defined]
        messages.success(request, said)
        return redirect(lead)
    lead = get_lead(lead.uid)
    built = PARTS[name](request, lead) if name in PARTS else {}
    answer = render(request, f"{PAGE}#{name}", {"lead": lead} | built | context)
    return with_toast(trigger_client_event(answer, "lead-changed", {"part": name}), said)


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
