"""The pages about leads: the board, and one lead with the reasons for its score."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from leads.forms import BoardFilter, MoveForm
from leads.gates import StageChanged, move_by_hand
from leads.ledger import explain_score
from leads.models import Lead, Source, Stage, Task, User
from leads.models.people import LeadQuerySet
from leads.timeline import build_timeline

# Cards of one column; the head counts all of them.
CARDS = 60


@dataclass(frozen=True)
class Column:
    """One stage on the board, with its hottest leads."""

    stage: Stage
    count: int
    cards: list[Lead]

    @property
    def hidden(self) -> int:
        """How many leads have no card because the column is full."""
        return self.count - len(self.cards)


def signed_in(request: HttpRequest) -> User:
    """Who asks; only for views that demand a login."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def choose_leads(filters: BoardFilter, user: User) -> LeadQuerySet:
    """The leads the board's filters ask for."""
    leads = Lead.objects.for_board()
    for word in filters.words():
        leads = leads.filter(search__text__contains=word)
    owner_id = filters.owner_id(user)
    if owner_id is None:
        return leads
    return leads.filter(owner=owner_id) if owner_id else leads.filter(owner=None)


def make_columns(leads: LeadQuerySet) -> list[Column]:
    """Fill every stage's column: one query for the counts and one for each stage, however many leads there are."""
    stages = list(Stage.objects.all())
    counts = dict(leads.order_by().values_list("stage").annotate(Count("pk")))
    return [Column(stage, counts.get(stage.key, 0), list(leads.filter(stage=stage)[:CARDS])) for stage in stages]


@require_safe
@login_required
def board(request: HttpRequest) -> HttpResponse:
    """Columns by stage; search (`q`) and owner in the address."""
    user, filters = signed_in(request), BoardFilter(request.GET)
    columns = make_columns(choose_leads(filters, user))
    is_filtered = bool(filters.words()) or filters.owner_id(user) is not None
    context = {
        "columns": columns,
        "total": sum(column.count for column in columns),
        "is_filtered": is_filtered,
        "is_fresh": not is_filtered and not Lead.objects.exists(),
        "has_source": Source.objects.filter(~Q(key_digest=None), revoked_at=None).exists(),
        "owners": User.objects.reps().order_by("first_name", "username"),
        "q": request.GET.get("q", ""),
        "owner": request.GET.get("owner", ""),
    }
    return render(request, "leads/board.html", context)


def render_lead(request: HttpRequest, lead: Lead, form: MoveForm, *, status: int = 200) -> HttpResponse:
    """The page of one lead, with `form` for the hand move."""
    context = {
        "lead": lead,
        "form": form,
        "stages": Stage.objects.all(),
        "ledger": explain_score(lead),
        "timeline": build_timeline(lead, now=timezone.now()),
        "identities": lead.identities.order_by("kind", "pk"),
        "tasks": Task.objects.filter(Q(lead=lead) | Q(colleagues=lead))
        .select_related("owner")
        .order_by("done_at", "due_at", "pk")
        .distinct(),
        "runs": lead.enrollments.select_related("campaign").order_by("-pk")[:20],
    }
    return render(request, "leads/lead.html", context, status=status)


@require_safe
@login_required
def lead_page(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Everything about one lead. A lead that was merged into another leads on to that one."""
    lead = get_object_or_404(Lead.objects.select_related("company", "company__owner", "owner", "stage", "merged_into"), uid=uid)
    if lead.merged_into:
        return redirect(lead.merged_into)
    return render_lead(request, lead, MoveForm(lead=lead))


@require_POST
@login_required
def move_lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Move a lead by hand; never refused for gates that are not met."""
    lead = get_object_or_404(Lead.objects.current().select_related("company", "owner", "stage"), uid=uid)
    form = MoveForm(request.POST, lead=lead)
    if not form.is_valid():
        return render_lead(request, lead, form, status=422)
    stage = form.cleaned_data["stage"]
    try:
        move_by_hand(lead, stage, by_user=signed_in(request), reason=form.cleaned_data["reason"], note=form.cleaned_data["note"])
    except StageChanged as error:
        messages.error(request, f"Not moved: somebody was quicker. {error}")
    else:
        messages.success(request, f"{lead} is now in {stage}.")
    return redirect(lead)
