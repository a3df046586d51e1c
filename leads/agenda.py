"""A rep's day: whom to call next, what is due, what nobody has taken yet."""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import F, Prefetch, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from leads.absence import free, is_away
from leads.gates import UNDO_FOR
from leads.handoff import STAGE, strongest_reasons
from leads.models import Lead, Stage, Task, User, Workspace
from leads.sending_back import came_from
from leads.sla import Clock, clock_of
from leads.stays import LastTime, last_times

# As many tasks as one list shows; nobody does more in a day. What comes later follows when these are done.
SHOWN = 100
# How far "coming up" looks ahead, and what is listed of it.
AHEAD = timedelta(days=14)
COMING = 20
SHOWN_WITH = ("owner", "lead__company", "lead__stage", "lead__owner", "transition__from_stage")


@dataclass
class Item:
    """One line of the day."""

    task: Task
    clock: Clock | None = None
    reasons: list[str] = field(default_factory=list)
    is_overdue: bool = False
    last_time: LastTime | None = None

    @property
    def lead(self) -> Lead:
        """Whom it is about."""
        return self.task.lead

    @property
    def is_handoff(self) -> bool:
        """Whether a lead is handed over, not just something to do."""
        return self.task.kind == Task.Kind.HANDOFF

    @property
    def can_be_answered(self) -> bool:
        """Whether it waits for accept or reject: the lead still stands where it was handed over."""
        return self.is_handoff and self.task.accepted_at is None and self.lead.stage_id == STAGE

    @property
    def why_free(self) -> str:
        """Why one can take what is a colleague's: they are away, or their time has run out."""
        owner = self.task.owner
        if owner is None:
            return ""
        if self.task.escalated_at:
            return f"{owner} has not called yet"
        return (
            f"{owner} is away until {owner.away_until.day} {owner.away_until:%b}"
            if owner.is_active and owner.away_until
            else f"{owner} is gone"
        )

    @property
    def came_from(self) -> Stage | None:
        """The stage the lead would go back to by itself."""
        return came_from(self.task.transition)

    @property
    def has_moved_on(self) -> bool:
        """Whether the handed-over lead stands elsewhere by now."""
        return self.is_handoff and self.lead.stage_id != STAGE


@dataclass
class Agenda:
    """The lists of one colleague's day, each in the order in which to work through it."""

    to_answer: list[Item]
    due: list[Item]
    in_hand: list[Item]
    unassigned: list[Item]
    coming: list[Item]
    just_done: list[Item]
    is_cut: bool
    is_away: bool = False

    @property
    def leads_to_call(self) -> int:
        """How many people wait for this colleague today."""
        return len({item.lead.pk for item in (*self.to_answer, *self.due)})

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is to be done or taken."""
        return not (self.to_answer or self.due or self.in_hand or self.unassigned or self.coming)


def build_agenda(user: User, *, now: datetime) -> Agenda:
    """Sort the open tasks of `user`, and those nobody owns, into lists; a fixed number of queries however many there are."""
    workspace = Workspace.current().timezone
    mine = list(urgent_first(tasks_of(user))[: SHOWN + 1])
    nobodys = list(urgent_first(open_tasks().filter(free(now.date())).exclude(owner=user))[:SHOWN])
    tonight = end_of_day(now, ZoneInfo(user.timezone or workspace))
    items = [Item(task, clock_of(task, now, zone=workspace), is_overdue=is_overdue(task, now=now)) for task in mine]
    unassigned = [Item(task, clock_of(task, now, zone=workspace)) for task in nobodys]
    answers = [item for item in items if item.can_be_answered]
    others = [item for item in items if not item.can_be_answered]
    todos = [item for item in others if not item.is_handoff]
    agenda = Agenda(
        to_answer=answers,
        due=[item for item in todos if item.task.due_at and item.task.due_at <= tonight],
        in_hand=[item for item in others if item.is_handoff],
        unassigned=unassigned,
        coming=[item for item in todos if not item.task.due_at or tonight < item.task.due_at <= now + AHEAD][:COMING],
        just_done=[Item(task) for task in just_done(user, now=now)],
        is_cut=len(mine) > SHOWN,
        is_away=is_away(user, now.date()),
    )
    explain([*answers, *unassigned])
    remind([item for item in (*items, *unassigned) if item.is_handoff])
    with_sales = Lead.objects.filter(stage__key=STAGE).order_by("-score", "pk")
    prefetch_related_objects([item.task for item in (*items, *unassigned)], Prefetch("colleagues", with_sales))
    return agenda


def open_tasks() -> QuerySet[Task]:
    """Tasks nobody has closed yet, of people who are still who they were."""
    return Task.objects.filter(done_at=None, lead__merged_into=None).select_related(*SHOWN_WITH)


def tasks_of(user: User) -> QuerySet[Task]:
    """The open tasks of a colleague."""
    return open_tasks().filter(owner=user)


def urgent_first(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Handoffs that wait for an answer come first, then what is due; of equals the warmer lead."""
    waits = Q(kind=Task.Kind.HANDOFF, accepted_at=None, touched_at=None)
    return tasks.annotate(waits=waits).order_by("-waits", F("due_at").asc(nulls_last=True), "-lead__score", "pk")


def just_done(user: User, *, now: datetime) -> QuerySet[Task]:
    """What the colleague closed a moment ago and can still take back, the last first."""
    recent = Task.objects.filter(owner=user, done_at__gte=now - UNDO_FOR)
    return recent.select_related("lead", "rejected_for").order_by("-done_at", "-pk")[:5]


def is_overdue(task: Task, *, now: datetime) -> bool:
    """Whether the task should have been done by now, by more than a minute."""
    return task.due_at is not None and now - task.due_at >= timedelta(minutes=1)


def end_of_day(now: datetime, zone: ZoneInfo) -> datetime:
    """The last moment of today in `zone`."""
    return datetime.combine(timezone.localdate(now, zone) + timedelta(days=1), time(), tzinfo=zone) - timedelta(microseconds=1)


def explain(items: list[Item]) -> None:
    """Put the strongest reasons for its score on each item."""
    reasons = strongest_reasons([item.lead.pk for item in items]) if items else {}
    for item in items:
        item.reasons = reasons.get(item.lead.pk, [])[:3]


def remind(items: list[Item]) -> None:
    """Put on each handoff what came of the time before, where it is not the first one."""
    remembered = last_times(item.task.transition for item in items if item.task.transition)
    for item in items:
        item.last_time = remembered.get(item.task.transition_id or 0)
