"""Who is away, and what becomes of the leads that wait for them: the team is told, and can take them over."""

from collections.abc import Collection
from datetime import date, datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from leads.models import Notification, Task, User
from leads.notifications import notification, tell
from leads.stays import SALES

# The columns that say whether somebody is there.
PRESENCE = {"away_until", "is_active"}


def is_away(user: User, today: date) -> bool:
    """Whether somebody does not answer today: on leave, or no longer here."""
    return not user.is_active or (user.away_until is not None and user.away_until >= today)


def is_free(task: Task, today: date) -> bool:
    """Whether anybody on the team may take a task: it is nobody's, or its lead waits and the owner is away or had their time."""
    if task.done_at is not None:
        return False
    if task.owner is None:
        return True
    waits = task.kind == Task.Kind.HANDOFF and task.touched_at is None
    return waits and (task.escalated_at is not None or is_away(task.owner, today))


def free(today: date) -> Q:
    """The open tasks of which `is_free` is true."""
    away = Q(owner__is_active=False) | Q(owner__away_until__gte=today)
    return Q(owner=None) | Q(Q(escalated_at__isnull=False) | away, kind=Task.Kind.HANDOFF, touched_at=None)


def waiting_for(user: User) -> QuerySet[Task]:
    """The leads handed to somebody that nobody has got in touch with yet."""
    waiting = Task.objects.filter(owner=user, kind=Task.Kind.HANDOFF, done_at=None, touched_at=None)
    return waiting.filter(lead__stage__key=SALES, lead__merged_into=None)


def tell_of_absence(user: User, changed: Collection[str], *, by_user: User, now: datetime) -> str:
    """After these columns of somebody's row were saved: if they are absent by that, tell the team what waits for them.

    Returns the sentence for who saved it, empty when there is nothing to tell.
    """
    if PRESENCE.isdisjoint(changed) or not (waiting := tell_team(user, now=now)):
        return ""
    leads = "1 lead" if waiting == 1 else f"{waiting} leads"
    who = "you are" if user == by_user else f"{user} is"
    return f"The team knows that {who} away and can claim {leads} nobody has called yet."


def tell_team(user: User, *, now: datetime) -> int:
    """Tell the reps at work that leads of an absent colleague wait; returns how many leads, nobody is told of none."""
    today = now.date()
    with transaction.atomic():
        count = waiting_for(user).count()
        if not count or not is_away(user, today):
            return 0
        leads = "1 lead waits" if count == 1 else f"{count} leads wait"
        until = f" until {user.away_until.day} {user.away_until:%b}" if user.away_until else ""
        title = f"{user} is away{until}: {leads} for somebody"
        reps = User.objects.reps().available(today).exclude(pk=user.pk)
        about = f"away:{user.pk}:{user.away_until}"
        tell(
            notification(Notification.Channel.IN_APP, about=about, title=title, body="Claim them on Today.", lead=None, user=rep, now=now)
            for rep in reps.order_by("pk")
        )
    return count
