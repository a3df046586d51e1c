"""One company: its people, how warm they are together, what was handed to sales, who owns it."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from leads import lead_owners
from leads.curve import DAYS, Curve
from leads.handoff import STAGE
from leads.models import Company, Lead, Notification, ScoreEntry, Stage, Task, Transition, User
from leads.notifications import notification, tell

# People and handoffs the page shows; the rest is counted.
PEOPLE = 100
HANDOFFS = 30


@dataclass
class Entry:
    """One entry into sales: a task of its own, or a place on a colleague's."""

    transition: Transition
    task: Task | None = None
    has_joined: bool = False

    @property
    def lead(self) -> Lead:
        """Who got ready."""
        return self.transition.lead


@dataclass
class Heat:
    """The combined score of the people, day by day."""

    curve: Curve
    weeks: list[tuple[date, int]] = field(default_factory=list)


def people_of(company: Company) -> QuerySet[Lead]:
    """The known people of a company, the warmest first."""
    return Lead.objects.known().filter(company=company).select_related("stage", "owner").order_by("-score", "-pk")


def measure_heat(company: Company, *, now: datetime) -> Heat:
    """Sum the ledgers of the people by day, backwards from what they score together today."""
    score = people_of(company).order_by().aggregate(total=Sum("score"))["total"] or 0
    entries = ScoreEntry.objects.filter(
        lead__company=company, lead__merged_into=None, lead__is_known=True, at__gte=now - timedelta(days=DAYS)
    )
    changes = dict(entries.annotate(day=TruncDate("at")).order_by().values("day").annotate(Sum("points")).values_list("day", "points__sum"))
    today, scores = timezone.localdate(now), []
    for back in range(DAYS):
        scores.append(score)
        score -= changes.get(today - timedelta(days=back), 0)
    weeks = [(today - timedelta(days=back), scores[back]) for back in range(0, DAYS, 7)]
    return Heat(Curve(today - timedelta(days=DAYS - 1), scores[::-1]), weeks)


def open_tasks(company: Company) -> QuerySet[Task]:
    """What is to be done about anybody of the company, the most urgent first."""
    of_company = Q(lead__company=company) | Q(company=company)
    tasks = Task.objects.filter(of_company, done_at=None, lead__merged_into=None).select_related("lead", "owner")
    return tasks.prefetch_related("colleagues").order_by("due_at", "pk")


def entries_of(company: Company) -> list[Entry]:
    """Who got ready for sales and what became of it, the newest first."""
    moves = Transition.objects.filter(lead__company=company, to_stage__key=STAGE, undoes=None, undone_by=None).exclude(
        from_stage__key=STAGE
    )
    entries = [Entry(move) for move in moves.select_related("lead", "actor").order_by("-at", "-pk")[:HANDOFFS]]
    leads = {entry.lead.pk for entry in entries}
    tasks = Task.objects.filter(Q(lead__in=leads) | Q(colleagues__in=leads), kind=Task.Kind.HANDOFF).distinct()
    handoffs = list(tasks.select_related("lead", "owner", "rejected_for").prefetch_related("colleagues").order_by("pk"))
    own = {task.transition_id: task for task in handoffs}
    for entry in entries:
        entry.task = own.get(entry.transition.pk)
        if entry.task is None:
            entry.task = joined_task(entry, handoffs)
            entry.has_joined = entry.task is not None
    return entries


def joined_task(entry: Entry, handoffs: list[Task]) -> Task | None:
    """The newest task the lead had joined by then: one that was there, and open, when the lead got ready."""
    at = entry.transition.recorded_at
    joined = [task for task in handoffs if entry.lead in task.colleagues.all() and (task.done_at is None or task.done_at >= at)]
    return joined[-1] if joined else None


def leads_to_take_along(company: Company, owner: User | None = None) -> QuerySet[Lead]:
    """The people a new owner of the company could take over: those who can still be won."""
    leads = Lead.objects.known().filter(company=company, stage__kind=Stage.Kind.OPEN)
    return leads.exclude(owner=owner) if owner else leads


def change_owner(company: Company, owner: User | None, *, with_leads: bool, by_user: User) -> int:
    """Give the company to a colleague or to nobody, its open leads too if asked; returns how many of them changed hands."""
    now = timezone.now()
    with transaction.atomic():
        moved = lead_owners.give(leads_to_take_along(company).values_list("pk", flat=True), owner, by_user=by_user) if with_leads else 0
        changed = Company.objects.filter(pk=company.pk).exclude(owner=owner).update(owner=owner)
        if changed and owner is not None and owner != by_user:
            along = f", with {moved} lead{'' if moved == 1 else 's'}" if moved else ""
            about = f"company:{company.pk}:{now.isoformat()}"
            body = f"{by_user} gave it to you{along}."
            tell(
                [
                    notification(
                        Notification.Channel.IN_APP, about=about, title=f"{company} is yours now", body=body, lead=None, user=owner, now=now
                    )
                ]
            )
    company.owner = owner
    return moved


def change_value(company: Company, value: Decimal | None, currency: str) -> None:
    """Say what a contract with the company would be worth a year."""
    company.value, company.currency = value, currency if value is not None else ""
    company.save(update_fields=["value", "currency"])
