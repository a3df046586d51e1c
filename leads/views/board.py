"""The board: leads by stage, the hottest first."""

from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leads.access import signed_in
from leads.forms import BoardFilter
from leads.models import Lead, Source, Stage, User
from leads.models.people import LeadQuerySet

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
