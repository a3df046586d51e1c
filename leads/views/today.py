"""Today: whom to call next, what is due, what is there to take."""

from collections.abc import Callable

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import trigger_client_event

from leads import todos
from leads.access import rep_page, signed_in
from leads.agenda import build_agenda
from leads.gates import StageChanged
from leads.models import Lead, MergeReview, Stage, Task, User
from leads.sending_back import Offer, RejectForm
from leads.toasts import with_toast

# How many people an empty day proposes to look at.
PROPOSED = 5


@require_safe
@rep_page
def today(request: HttpRequest) -> HttpResponse:
    """The day of whoever is logged in."""
    return render_today(request)


def render_today(request: HttpRequest, *, status: int = 200) -> HttpResponse:
    """The page, or its lists alone for htmx."""
    user, now = signed_in(request), timezone.now()
    agenda = build_agenda(user, now=now)
    context = {
        "agenda": agenda,
        "now": now,
        "offer": Offer.load(),
        "in_doubt": MergeReview.objects.open().count(),
        "warming_up": warming_up(user) if agenda.is_empty else [],
    }
    template = "leads/today.html#today" if request.headers.get("HX-Request") else "leads/today.html"
    return render(request, template, context, status=status)


def warming_up(user: User) -> list[Lead]:
    """The warmest people who are not with sales yet, of this colleague or of nobody."""
    leads = Lead.objects.for_board().filter(stage__kind=Stage.Kind.OPEN, score__gt=0, tasks=None, joined_tasks=None)
    return list(leads.filter(Q(owner=None) | Q(owner=user))[:PROPOSED])


def act_on(request: HttpRequest, pk: int, act: Callable[[Task, User], str], *, undo: str = "") -> HttpResponse:
    """Do something to one task, tell what was done or who was quicker, and show the day again."""
    task = get_object_or_404(Task.objects.select_related("lead"), pk=pk)
    try:
        text = act(task, signed_in(request))
    except (todos.TooLate, StageChanged) as error:
        return show_again(request, str(error), is_error=True)
    return show_again(request, text, undo=undo)


def show_again(request: HttpRequest, text: str, *, undo: str = "", is_error: bool = False) -> HttpResponse:
    """The lists and a toast for htmx, else back to the page where the button was."""
    if request.headers.get("HX-Request"):
        return with_toast(render_today(request), text, undo=undo, is_error=is_error)
    messages.add_message(request, messages.ERROR if is_error else messages.SUCCESS, text)
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        back = reverse("leads:today")
    return HttpResponseRedirect(back)


@require_POST
@rep_page
def accept_task(request: HttpRequest, pk: int) -> HttpResponse:
    """Yes to a handed-over lead."""

    def act(task: Task, user: User) -> str:
        todos.accept(task, by_user=user)
        return f"{task.lead} is yours. The clock has stopped."

    return act_on(request, pk, act)


@require_POST
@rep_page
def reject_task(request: HttpRequest, pk: int) -> HttpResponse:
    """No to a handed-over lead, with the reason."""
    form = RejectForm(request.POST)
    if not form.is_valid():
        if request.headers.get("HX-Request"):
            return with_toast(render_today(request, status=422), form.problem, is_error=True)
        messages.error(request, form.problem)
        return render_today(request, status=422)

    def act(task: Task, user: User) -> str:
        move = todos.reject(task, by_user=user, **form.cleaned_data)
        return f"{task.lead} went back to {move.to_stage}."

    return act_on(request, pk, act, undo=reverse("leads:task-reopen", args=[pk]))


@require_POST
@rep_page
def finish_task(request: HttpRequest, pk: int) -> HttpResponse:
    """Done."""

    def act(task: Task, user: User) -> str:
        todos.finish(task, by_user=user)
        return f"Done: {task}."

    return act_on(request, pk, act, undo=reverse("leads:task-reopen", args=[pk]))


@require_POST
@rep_page
def claim_task(request: HttpRequest, pk: int) -> HttpResponse:
    """Take what nobody has."""

    def act(task: Task, user: User) -> str:
        todos.claim(task, by_user=user)
        return f"{task.lead} is yours."

    return act_on(request, pk, act)


@require_POST
@rep_page
def reopen_task(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back what was just done or rejected."""

    def act(task: Task, user: User) -> str:
        todos.take_back(task, by_user=user)
        return f"Taken back: {task}."

    answer = act_on(request, pk, act)
    if not request.headers.get("HX-Request"):
        return answer
    # Undo also stands in toasts, which put no answer anywhere: the lists fetch themselves anew.
    told = HttpResponse(status=204, headers={"HX-Trigger": answer.headers["HX-Trigger"]})
    return trigger_client_event(told, "today-changed")  # type: ignore[no-any-return,unused-ignore]
