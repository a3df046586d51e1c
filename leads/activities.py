"""What colleagues write down about a lead: notes, calls and meetings, and what is still to be done."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from leads.handoff import CONVERSATION
from leads.models import Activity, Lead, Notification, Task, User
from leads.notifications import notification, tell
from leads.sla import touch

# They show that sales is talking with the person: marketing waits, and the clock of a handoff stops.
TALKS = {Activity.Kind.CALL, Activity.Kind.MEETING}


def log_activity(lead: Lead, *, kind: str, text: str, outcome: str = "", at: datetime | None = None, by_user: User) -> Activity:
    """Write a note, or a call or meeting that took place at `at`; the latter keep marketing quiet for a week from then."""
    now = timezone.now()
    took_place = min(at or now, now)
    with transaction.atomic():
        locked = Lead.objects.select_for_update(no_key=True).get(pk=lead.pk)
        row = Activity.objects.create(lead=locked, kind=kind, text=text, outcome=outcome, by_user=by_user, at=took_place)
        if kind in TALKS:
            until = took_place + CONVERSATION
            if locked.conversation_until is None or locked.conversation_until < until:
                locked.conversation_until = until
                locked.save(update_fields=["conversation_until"])
            touch(locked, took_place)
    return row


def add_task(lead: Lead, *, title: str, owner: User, due_at: datetime | None, by_user: User) -> Task:
    """Write down what is to be done; whoever gets a task from somebody else is told."""
    now = timezone.now()
    with transaction.atomic():
        task = Task.objects.create(lead=lead, company=lead.company, title=title, owner=owner, due_at=due_at, created_at=now)
        if owner != by_user:
            about, body = f"task:{task.pk}", f"{by_user} gave you a task for {lead}."
            tell([notification(Notification.Channel.IN_APP, about=about, title=title, body=body, lead=lead, user=owner, now=now)])
    return task


def tasks_of(lead: Lead) -> list[Task]:
    """What is open for a lead, also what it joined through a colleague; what is due first comes first."""
    mine = Task.objects.for_lead(lead).filter(done_at=None, lead__merged_into=None)
    return list(mine.select_related("owner", "lead", "rejected_for").order_by("due_at", "pk"))
