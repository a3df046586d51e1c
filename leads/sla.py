"""How long sales has for a lead: the clock of a handoff runs in working time and stops at the first human touch."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from django.conf import settings

from leads.models import Lead, Task, Workspace
from leads.working_time import WorkingHours

# In the last part of the time the words turn red.
URGENT_SHARE = 0.25


def touch(lead: Lead, at: datetime) -> int:
    """Note that a colleague dealt with the lead: stops the clock of its open handoffs, also of those it joined. Once.

    Call it in the transaction that records the call, meeting, mail or finished task. Returns how many clocks stopped.
    """
    running = Task.objects.for_lead(lead).filter(kind=Task.Kind.HANDOFF, done_at=None, touched_at=None)
    return Task.objects.filter(pk__in=running.values("pk"), touched_at=None).update(touched_at=at)


def is_running(task: Task) -> bool:
    """Whether the clock of the task still runs: it has a deadline, and nobody has dealt with the lead yet."""
    return task.kind == Task.Kind.HANDOFF and task.due_at is not None and task.touched_at is None and task.done_at is None


def remaining(task: Task, now: datetime, *, zone: str | None = None) -> timedelta | None:
    """Working time left until the deadline, negative when it has passed; None when no clock runs.

    Counted in the owner's zone, else in the workspace's. Pages with many tasks pass the workspace's zone,
    and load `task.owner`; without `zone` it is asked for.
    """
    if not is_running(task) or task.due_at is None:
        return None
    return hours(settings.WORKING_HOURS).between(now, task.due_at, zone_of(task, zone))


def share_left(task: Task, now: datetime, *, zone: str | None = None) -> float | None:
    """Which part of the time is left, from 1 to 0; None when no clock runs."""
    left = remaining(task, now, zone=zone)
    if left is None or task.due_at is None:
        return None
    whole = hours(settings.WORKING_HOURS).between(task.created_at, task.due_at, zone_of(task, zone))
    if left <= timedelta(0) or whole <= timedelta(0):
        return 0.0
    return min(1.0, left / whole)


@dataclass(frozen=True, slots=True)
class Clock:
    """The state of one running clock, as pages show it."""

    left: timedelta
    share: float

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left <= timedelta(0)

    @property
    def is_urgent(self) -> bool:
        """Whether it runs out soon, or has."""
        return self.share <= URGENT_SHARE

    @property
    def percent(self) -> int:
        """How full the bar is; a bar that still runs shows at least a sliver."""
        return 0 if self.is_over else max(1, round(self.share * 100))

    @property
    def words(self) -> str:
        """For example "2 h 10 min left" or "25 min over", in working time."""
        return f"{span(abs(self.left))} over" if self.is_over else f"{span(self.left)} left"


def clock_of(task: Task, now: datetime, *, zone: str | None = None) -> Clock | None:
    """The running clock of a task; None when there is none or it was stopped."""
    left, share = remaining(task, now, zone=zone), share_left(task, now, zone=zone)
    return None if left is None or share is None else Clock(left, share)


def span(time: timedelta) -> str:
    """Working time in hours and minutes: "2 h 10 min", "3 h", "12 min"; from ten hours on without the minutes."""
    minutes = max(1, int(time.total_seconds() // 60))
    whole, rest = divmod(minutes, 60)
    if not whole:
        return f"{rest} min"
    return f"{whole} h" if whole >= 10 or not rest else f"{whole} h {rest} min"


def zone_of(task: Task, workspace: str | None) -> ZoneInfo:
    """Where the clock's hours are counted: the owner's zone, else the workspace's."""
    own = task.owner.timezone if task.owner else ""
    return ZoneInfo(own or (Workspace.current().timezone if workspace is None else workspace))


@cache
def hours(text: str) -> WorkingHours:
    """The working hours in the setting's notation, read once."""
    return WorkingHours.parse(text)
