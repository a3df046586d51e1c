"""What is on the board: which leads, in which order, and what columns and cards say about them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import (
    Avg,
    Case,
    Count,
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber, TruncDate

from leads import sla
from leads.forms import BoardFilter
from leads.models import Company, Event, Lead, ScoreEntry, Stage, Task, Transition, User, Workspace
from leads.models.people import LeadQuerySet

# Cards a column shows at first, and by how many it grows; the most it is refreshed with.
SHOWN = 50
MOST = 500
WEEK = timedelta(days=7)
# Won and lost leads leave the board after this long, unless asked for.
CLOSED_FOR = timedelta(days=30)
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
ORDER = ["due", "-gained", "-score", "-pk"]
WIDTH, HEIGHT = 48, 16
# What a refresh looks at first.
NEWEST: dict[str, type[models.Model]] = {"event": Event, "move": Transition, "line": ScoreEntry, "task": Task}


@dataclass(frozen=True)
class Money:
    """A sum in one currency."""

    amount: Decimal
    currency: str


@dataclass(frozen=True)
class Card:
    """One lead on the board, with what its row does not say."""

    lead: Lead
    clock: sla.Clock | None
    gained: int
    line: str
    winner: str

    @property
    def value(self) -> Money | None:
        """What a contract would be worth: the company's, or the lead's own when it has none."""
        about = self.lead.company or self.lead
        return Money(about.value, about.currency) if about.value else None


@dataclass
class Column:
    """One stage on the board. `count`, `values` and `age` are about all its leads, not only those with a card."""

    stage: Stage
    count: int = 0
    values: list[Money] = field(default_factory=list)
    age: timedelta | None = None
    is_folded: bool = False
    cards: list[Card] = field(default_factory=list)
    after: str = ""

    @property
    def hidden(self) -> int:
        """How many leads have no card yet."""
        return self.count - len(self.cards)


@dataclass(frozen=True)
class After:
    """The place in a column after which the next cards come."""

    due: datetime
    gained: int
    score: int
    pk: int

    @classmethod
    def read(cls, text: str) -> "After | None":
        """The place a cursor names; None for anything unreadable."""
        try:
            due, gained, score, pk = (int(part) for part in text.split("."))
            return cls(datetime.fromtimestamp(due / 1_000_000, UTC) if due else NEVER, gained, score, pk)
        except (ValueError, OverflowError, OSError):
            return None

    @staticmethod
    def write(lead: Any) -> str:
        """The cursor of a card's place."""
        due = 0 if lead.due == NEVER else round(lead.due.timestamp() * 1_000_000)
        return f"{due}.{lead.gained}.{lead.score}.{lead.pk}"

    def behind(self) -> Q:
        """What comes later in the board's order."""
        same_score = Q(score__lt=self.score) | Q(score=self.score, pk__lt=self.pk)
        same_gain = Q(gained__lt=self.gained) | (Q(gained=self.gained) & same_score)
        return Q(due__gt=self.due) | (Q(due=self.due) & same_gain)


# --- which leads


def choose_leads(filters: BoardFilter, user: User, *, now: datetime) -> LeadQuerySet:
    """The leads the board's filters ask for, all stages."""
    leads = Lead.objects.current() if filters.value("visitors") else Lead.objects.known()
    for word in filters.words():
        leads = leads.filter(search__text__contains=word)
    leads = of_owner(leads, filters.whose(user), user)
    if stage := filters.value("stage"):
        leads = leads.filter(stage=stage)
    if score := filters.value("score"):
        leads = leads.filter(score__gte=score)
    if source := filters.value("source"):
        leads = leads.filter(first_source=source)
    if company := filters.value("company"):
        leads = leads.filter(Q(company__name__icontains=company) | Q(company__domain__icontains=company))
    if filters.hides_old():
        leads = leads.filter(Q(stage__kind=Stage.Kind.OPEN) | Q(stage_since__gte=now - CLOSED_FOR))
    return leads


def of_owner(leads: LeadQuerySet, owner: str, user: User) -> LeadQuerySet:
    """The part of `leads` that `owner` names: ours, me, nobody, all, or a colleague's id."""
    if owner == "ours":
        return leads.filter(Q(owner=user) | Q(owner=None))
    if owner == "me":
        return leads.filter(owner=user)
    if owner == "nobody":
        return leads.filter(owner=None)
    return leads if owner == "all" else leads.filter(owner=int(owner))


def in_order(leads: LeadQuerySet, *, now: datetime) -> LeadQuerySet:
    """With `due` (when the SLA runs out) and `gained` (points of the last seven days), by which the board is ordered."""
    clocks = running_tasks().filter(lead=OuterRef("pk"), lead__stage__kind=Stage.Kind.OPEN)
    week = ScoreEntry.objects.filter(lead=OuterRef("pk"), at__gt=now - WEEK).order_by().values("lead")
    return leads.annotate(
        due=Coalesce(Subquery(clocks.order_by("due_at").values("due_at")[:1]), Value(NEVER, DateTimeField())),
        gained=Coalesce(Subquery(week.annotate(sum=Sum("points")).values("sum")), 0),
    ).order_by(*ORDER)


def running_tasks() -> models.QuerySet[Task]:
    """Handoffs nobody has touched yet, with a deadline."""
    return Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, touched_at=None).exclude(due_at=None)


# --- columns


def make_columns(leads: LeadQuerySet, stages: Sequence[Stage], *, folded: str, shown: Mapping[str, int], now: datetime) -> list[Column]:
    """Every stage with its numbers and cards: a fixed number of queries, however many leads and stages."""
    columns = {stage.key: Column(stage, is_folded=stage.key == folded) for stage in stages}
    add_numbers(columns, leads, now=now)
    add_values(columns, leads)
    limits = {key: min(MOST, shown.get(key, SHOWN)) for key, column in columns.items() if not column.is_folded}
    by_stage: dict[str, list[Any]] = defaultdict(list)
    for lead in first_of_each(leads, limits, now=now):
        by_stage[str(lead.stage_id)].append(lead)
    cards = make_cards([lead for rows in by_stage.values() for lead in rows], now=now)
    for key, rows in by_stage.items():
        columns[key].cards = [cards[lead.pk] for lead in rows]
        columns[key].after = After.write(rows[-1])
    return list(columns.values())


def add_numbers(columns: dict[str, Column], leads: LeadQuerySet, *, now: datetime) -> None:
    """Count the leads of each column, average their time in it, and sum what those without a company are worth."""
    age = ExpressionWrapper(Value(now, DateTimeField()) - F("stage_since"), DurationField())
    grouped = leads.order_by().values("stage", "currency")
    rows: Iterable[Any] = grouped.annotate(n=Count("pk"), age=Avg(age), worth=Sum("value", filter=Q(company=None)))
    spent: dict[str, timedelta] = defaultdict(timedelta)
    for row in rows:
        if column := columns.get(row["stage"]):
            column.count += row["n"]
            spent[row["stage"]] += row["age"] * row["n"]
            add_money(column, row["worth"], row["currency"])
    for key, time in spent.items():
        columns[key].age = max(timedelta(0), time / columns[key].count)


def add_values(columns: dict[str, Column], leads: LeadQuerySet) -> None:
    """Add what companies are worth, each counted once: in the furthest open stage of its people, else where they were won or lost."""
    is_open, is_won = When(stage__kind=Stage.Kind.OPEN, then=0), When(stage__kind=Stage.Kind.WON, then=1)
    kind = Case(is_open, is_won, default=2, output_field=IntegerField())
    furthest = leads.filter(company=OuterRef("pk")).order_by(kind, "-stage__position").values("stage")[:1]
    companies = Company.objects.filter(value__gt=0).annotate(furthest=Subquery(furthest)).exclude(furthest=None)
    for row in companies.order_by().values("furthest", "currency").annotate(worth=Sum("value")):
        if column := columns.get(row["furthest"]):
            add_money(column, row["worth"], row["currency"])


def add_money(column: Column, amount: Decimal | None, currency: str) -> None:
    """Add a sum to the column's, currency by currency."""
    if not amount:
        return
    before = next((money for money in column.values if money.currency == currency), None)
    if before:
        column.values.remove(before)
        amount += before.amount
    column.values.append(Money(amount, currency))


def first_of_each(leads: LeadQuerySet, limits: Mapping[str, int], *, now: datetime) -> list[Lead]:
    """The first cards of every column, in order, with one query."""
    place = Window(RowNumber(), partition_by=F("stage"), order_by=[F("due").asc(), *(F(name[1:]).desc() for name in ORDER[1:])])
    rows = in_order(leads.filter(stage__in=list(limits)), now=now).annotate(place=place)
    most = max(limits.values(), default=0)
    found: Iterable[Any] = rows.filter(place__lte=most).select_related("company", "owner").order_by("place")
    return [lead for lead in found if lead.place <= limits[lead.stage_id]]


def next_cards(leads: LeadQuerySet, stage: Stage, after: After, *, now: datetime) -> Column:
    """The cards that come after a place in one column, with how many are left behind them."""
    behind = in_order(leads.filter(stage=stage), now=now).filter(after.behind())
    rows: list[Any] = list(behind.select_related("company", "owner")[:SHOWN])
    column = Column(stage, count=behind.order_by().count())
    cards = make_cards(rows, now=now)
    column.cards = [cards[lead.pk] for lead in rows]
    column.after = After.write(rows[-1]) if rows else ""
    return column


# --- cards


def make_cards(leads: Sequence[Any], *, now: datetime) -> dict[int, Card]:
    """What the cards of these leads (`in_order`) say, by lead: one query each for points, clocks and winners."""
    points, clocks, winners = points_by_day(leads, now=now), running_clocks(leads, now=now), colleagues_won(leads)
    return {
        lead.pk: Card(
            lead=lead,
            clock=clocks.get(lead.pk),
            gained=lead.gained,
            line=draw_line(levels(lead.score, points[lead.pk], today=now.date())),
            winner=next((name for pk, name in winners[lead.company_id] if pk != lead.pk), ""),
        )
        for lead in leads
    }


def points_by_day(leads: Sequence[Any], *, now: datetime) -> dict[int, dict[date, int]]:
    """The ledger of the last seven days, summed by day, for all cards at once."""
    rows = (
        ScoreEntry.objects.filter(lead__in=[lead.pk for lead in leads], at__gt=now - WEEK)
        .order_by()
        .values_list("lead_id", TruncDate("at", tzinfo=UTC))
        .annotate(Sum("points"))
    )
    days: dict[int, dict[date, int]] = defaultdict(dict)
    for pk, day, points in rows:
        days[pk][day] = points
    return days


def levels(score: int, points: Mapping[date, int], *, today: date) -> list[int]:
    """The score at the end of each of the last days, a week ago first; the last one is the score now."""
    level = score - sum(points.values())
    found = [level]
    for back in range(7, -1, -1):
        level += points.get(today - timedelta(days=back), 0)
        found.append(level)
    return found


def draw_line(values: Sequence[int]) -> str:
    """The points of a polyline that fills 48 × 16, one unit inside its edges."""
    low, high = min(values), max(values)
    step = (WIDTH - 2) / (len(values) - 1)
    height = [HEIGHT - 2 if high == low else 1 + (HEIGHT - 3) * (high - value) / (high - low) for value in values]
    return " ".join(f"{1 + n * step:.1f},{y:.1f}" for n, y in enumerate(height))


def running_clocks(leads: Iterable[Lead], *, now: datetime) -> dict[int, sla.Clock]:
    """The SLA clocks of these leads that still run."""
    zone = Subquery(Workspace.objects.filter(pk=1).values("timezone"))
    running = running_tasks().filter(lead__in=[lead.pk for lead in leads], lead__stage__kind=Stage.Kind.OPEN)
    clocks = {}
    for task in running.select_related("owner").annotate(zone=Coalesce(zone, Value("UTC"))).order_by("-due_at"):
        if clock := sla.clock_of(task, now, zone=task.zone):
            clocks[task.lead_id] = clock
    return clocks


def colleagues_won(leads: Iterable[Lead]) -> dict[int | None, list[tuple[int, str]]]:
    """Who was won already in the companies of these leads."""
    companies = {lead.company_id for lead in leads if lead.company_id}
    won: dict[int | None, list[tuple[int, str]]] = defaultdict(list)
    for lead in Lead.objects.current().filter(company__in=companies, stage__kind=Stage.Kind.WON).order_by("-stage_since")[:MOST]:
        won[lead.company_id].append((lead.pk, str(lead)))
    return won


# --- is there anything new


def with_newest() -> models.QuerySet[Stage]:
    """The stages, each carrying the number of the newest event, move, ledger line and task: one query for all."""
    last = {name: Subquery(table._default_manager.order_by("-pk").values("pk")[:1]) for name, table in NEWEST.items()}
    return Stage.objects.annotate(**last)


def state_of(stages: Sequence[Stage], *, now: datetime) -> str:
    """Changes whenever something was recorded that a board may show, and twice a minute, for what passes with time."""
    ids = [getattr(stages[0], name) or 0 for name in NEWEST] if stages else []
    return ".".join(str(number) for number in [*ids, int(now.timestamp()) // 30])
