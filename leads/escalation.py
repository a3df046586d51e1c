"""A promise that was not kept: when the time for a handed-over lead has run out untouched, the whole team hears of it, once."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from leads import sla
from leads.bell import ring
from leads.handoff import NEWS_FOR
from leads.models import Lead, Notification, Task, User, Workspace
from leads.notifications import notification, tell
from leads.stays import SALES

TASK = "leads.tasks.escalate_handoffs"
CHUNK = 100


def due(now: datetime) -> QuerySet[Task]:
    """Handoffs whose time has run out, that nobody has touched, and nobody was told of; not those of an import."""
    open_ones = Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, touched_at=None, escalated_at=None)
    late = open_ones.filter(due_at__lte=now, lead__stage__key=SALES, lead__merged_into=None)
    return late.exclude(transition__historical=True).order_by("due_at", "pk")


def escalate_due(now: datetime | None = None, *, limit: int = CHUNK) -> int:
    """Tell the team of at most `limit` broken promises; returns of how many. The number of statements is fixed.

    Two workers tell of different ones: rows somebody is escalating are passed over, and only rows still untouched are written.
    """
    now = now or timezone.now()
    with transaction.atomic():
        skip = connection.features.has_select_for_update_skip_locked
        late = due(now).select_related("lead__company", "owner", "transition")
        tasks = list(late.select_for_update(of=("self",), no_key=True, skip_locked=skip)[:limit])
        still = Task.objects.filter(pk__in=[task.pk for task in tasks], escalated_at=None, touched_at=None, done_at=None)
        still.update(escalated_at=now)
        rows = news(tasks, now=now)
        tell(rows)
        if any(row.state == Notification.State.PENDING for row in rows):
            ring("leads.tasks.send_notifications")
    return len(tasks)


def escalate_all_due() -> None:
    """Tell of every promise that is broken now."""
    while escalate_due():
        pass


def listeners(now: datetime) -> list[User]:
    """Who hears of it: the reps at work, and the admins."""
    reps = User.objects.reps().available(now.date())
    admins = Q(groups__name="Admin") | Q(is_superuser=True)
    return list(User.objects.filter(Q(pk__in=reps) | admins, is_active=True).distinct().order_by("pk"))


def news(tasks: list[Task], *, now: datetime) -> list[Notification]:
    """What the team is told: in the app, and in its chat while the lead itself is news."""
    rows: list[Notification] = []
    team, zone = (listeners(now), Workspace.current().timezone) if tasks else ([], "")
    for task in tasks:
        told: list[tuple[str, User | None]] = [(Notification.Channel.IN_APP, user) for user in team]
        if settings.CHAT_WEBHOOK_URL and is_news(task):
            told.append((Notification.Channel.CHAT, None))
        title, body = describe(task, now, zone=zone), explain(task)
        about = f"late:{task.pk}"
        rows += [notification(channel, about=about, title=title, body=body, lead=task.lead, user=user, now=now) for channel, user in told]
    return rows


def is_news(task: Task) -> bool:
    """Whether what made the lead hot was fresh when it was handed over."""
    return task.transition is None or task.created_at - task.transition.at <= NEWS_FOR


def describe(task: Task, now: datetime, *, zone: str) -> str:
    """For example "Nobody has called Ada of Acme yet: 4 h were promised, 4 h 20 min have passed", in working time."""
    place, hours = sla.zone_of(task, zone), sla.hours(settings.WORKING_HOURS)
    promised, passed = hours.between(task.created_at, task.due_at or now, place), hours.between(task.created_at, now, place)
    verb = "called" if task.owner else "taken"
    return f"Nobody has {verb} {named(task.lead)} yet: {were(promised)} promised, {have(passed)} passed"


def named(lead: Lead) -> str:
    """The lead with its company: "Ada of Acme"."""
    return f"{lead} of {lead.company}" if lead.company else str(lead)


def were(time: timedelta) -> str:
    """A promise: "4 h were", "1 h was"."""
    words = sla.span(time)
    return f"{words} {'was' if words in ('1 h', '1 min') else 'were'}"


def have(time: timedelta) -> str:
    """What is past: "4 h 20 min have", "1 h has"."""
    words = sla.span(time)
    return f"{words} {'has' if words in ('1 h', '1 min') else 'have'}"


def explain(task: Task) -> str:
    """Whose it is, and what one can do."""
    whose = f"{task.owner} has it." if task.owner else "Nobody has it yet."
    return f"{whose} Who claims it on Today has it from then on.\n\n{settings.SITE_URL}{task.lead.get_absolute_url()}"
