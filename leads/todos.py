"""What a colleague does with a task: claim it, accept or reject its lead, finish it, and take that back."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from leads import lead_owners
from leads.absence import is_free
from leads.gates import UNDO_FOR, StageChanged, move_by_hand, undo_move
from leads.handoff import STAGE
from leads.intake import record_internal
from leads.models import Lead, Notification, Reason, Stage, Task, Transition, User
from leads.notifications import notification, tell
from leads.sending_back import goes_back_to
from leads.sla import touch


class TooLate(Exception):
    """Somebody else was quicker; the sentence says who, or what became of the task."""


def claim(task: Task, *, by_user: User) -> Task:
    """Take a task nobody owns, with its people nobody owns; or take over from somebody who is away or had their time.

    Raises TooLate when a colleague was quicker.
    """
    now = timezone.now()
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        if locked.owner is not None and locked.owner != by_user and is_free(locked, now.date()):
            take_over(locked, locked.owner, by_user, now=now)
        refuse_if_anothers(locked, by_user)
        take(locked, by_user)
    return locked


def take_over(task: Task, owner: User, by_user: User, *, now: datetime) -> None:
    """Make a colleague's task and their leads on it one's own; they are told."""
    people = Lead.objects.filter(Q(pk=task.lead_id) | Q(joined_tasks=task), owner=owner)
    lead_owners.give(people.values_list("pk", flat=True), by_user, by_user=by_user)
    task.owner = by_user
    task.save(update_fields=["owner"])
    task.lead.refresh_from_db(fields=["owner", "former_owner"])
    about, title = f"taken:{task.pk}:{by_user.pk}", f"{by_user} has taken {task.lead} over"
    body = "It waited for you, and nobody had called yet."
    tell([notification(Notification.Channel.IN_APP, about=about, title=title, body=body, lead=task.lead, user=owner, now=now)])


def accept(task: Task, *, by_user: User) -> Task:
    """Say yes to a handed-over lead: it is yours if it was nobody's, and the clock stops. Twice is once.

    Raises TooLate when somebody else has it, or it was rejected or done meanwhile.
    """
    now = timezone.now()
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        refuse_if_anothers(locked, by_user)
        if locked.accepted_at is None:
            take(locked, by_user)
            touch(locked.lead, now)
            locked.accepted_at, locked.touched_at = now, locked.touched_at or now
            locked.save(update_fields=["accepted_at", "touched_at"])
            record_internal(
                [{"type": "LEAD_ACCEPTED", "leadUid": str(locked.lead.uid), "properties": {"by": by_user.username, "name": str(by_user)}}]
            )
    return locked


def reject(task: Task, *, by_user: User, reason: Reason | None, note: str = "", stage: Stage | None = None) -> Transition:
    """Send a handed-over lead back, with the reason, to `stage` or where it goes by itself. Its owner stays known as the former one.

    Colleagues on the task stay with sales: the first of them gets a task of their own in its place.
    Raises TooLate when somebody else has it, or the lead is no longer where it was handed over.
    """
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        refuse_if_anothers(locked, by_user)
        lead = locked.lead
        refuse_if_gone(lead)
        take(locked, by_user)
        move = send_back(lead, stage or goes_back_to(locked, reason), by_user=by_user, reason=reason, note=note)
        # The same time on the move and on the task says that they belong together.
        touch(lead, move.recorded_at)
        Task.objects.filter(pk=locked.pk).update(done_at=move.recorded_at, rejected_for=reason)
        pass_on(locked)
    return move


def reject_lead(
    lead: Lead, *, by_user: User, reason: Reason | None, note: str = "", stage: Stage | None = None
) -> tuple[Transition, Task | None]:
    """Send a lead back whatever became of its task: with it when it is open, else alone, as one that joined a colleague's.

    Returns the move, and the task it closed. Raises TooLate as `reject` does.
    """
    task = Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, lead=lead).order_by("-pk").first()
    if task is not None:
        return reject(task, by_user=by_user, reason=reason, note=note, stage=stage), task
    with transaction.atomic():
        locked = Lead.objects.select_for_update(no_key=True).get(pk=lead.pk)
        refuse_if_gone(locked)
        if locked.owner is not None and locked.owner != by_user:
            raise TooLate(f"{locked.owner} has {locked} now.")
        return send_back(locked, stage or goes_back_to(None, reason), by_user=by_user, reason=reason, note=note), None


def send_back(lead: Lead, stage: Stage, *, by_user: User, reason: Reason | None, note: str) -> Transition:
    """Move a locked lead out of sales by hand; nobody owns it any more, and who did is remembered."""
    move = move_by_hand(lead, stage, by_user=by_user, reason=reason, note=note)
    Lead.objects.filter(pk=lead.pk).update(former_owner=lead.owner_id or by_user.pk, owner=None)
    return move


def finish(task: Task, *, by_user: User) -> Task:
    """Say that a task is done. It is a human touch of its lead. Raises TooLate when it is closed or another's."""
    now = timezone.now()
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        refuse_if_anothers(locked, by_user)
        touch(locked.lead, now)
        take(locked, by_user)
        locked.done_at = now
        Task.objects.filter(pk=locked.pk).update(done_at=now)
    return locked


def take_back(task: Task, *, by_user: User) -> Task:
    """Open a task again that you closed less than ten minutes ago; a rejected lead comes back to you.

    Raises TooLate when it was too long ago, another's, or the lead was moved on meanwhile.
    """
    with transaction.atomic():
        locked = lock(task)
        closed = locked.done_at
        if closed is None or locked.owner_id != by_user.pk or timezone.now() - closed > UNDO_FOR:
            raise TooLate("Only your own last answers can be taken back, for ten minutes.")
        returned = take_lead_back(locked, by_user=by_user)
        if not returned and is_replaced(locked):
            raise TooLate(f"{locked.lead} has another open task from sales by now.")
        # The touch that closing it brought goes with it, told by its time.
        own = Q(lead=locked.lead) | Q(colleagues=locked.lead)
        Task.objects.filter(pk__in=Task.objects.filter(own, touched_at=closed).values("pk")).update(touched_at=None)
        Task.objects.filter(pk=locked.pk).update(done_at=None, rejected_for=None)
    locked.refresh_from_db()
    return locked


def lock(task: Task) -> Task:
    """Read the task anew under its lead's lock and its own."""
    Lead.objects.select_for_update(no_key=True).get(pk=task.lead_id)
    tasks = Task.objects.select_related("owner", "lead__stage", "transition__from_stage", "rejected_for")
    return tasks.select_for_update(of=("self",), no_key=True).get(pk=task.pk)


def refuse_if_closed(task: Task) -> None:
    """Raise TooLate when nothing is left to answer."""
    if task.lead.merged_into is not None:
        raise TooLate(f"{task.lead} is the same person as {task.lead.merged_into}, who has a task of their own.")
    if task.done_at is not None:
        who = f" by {task.owner}" if task.owner else ""
        raise TooLate(f"{task.lead} was {'rejected' if task.rejected_for else 'dealt with'}{who} already.")


def refuse_if_anothers(task: Task, by_user: User) -> None:
    """Raise TooLate when a colleague owns it."""
    if task.owner is not None and task.owner != by_user:
        raise TooLate(f"{task.owner} was quicker and has {task.lead} now.")


def refuse_if_gone(lead: Lead) -> None:
    """Raise TooLate when the lead is not with sales any more."""
    if lead.stage_id != STAGE:
        raise TooLate(f"{lead} is in {lead.stage} now.")


def take(task: Task, by_user: User) -> None:
    """Make the task theirs if it was nobody's, and the people on it likewise."""
    if task.owner is not None:
        return
    task.owner = by_user
    task.save(update_fields=["owner"])
    people = Lead.objects.filter(Q(pk=task.lead_id) | Q(joined_tasks=task), owner=None)
    Lead.objects.filter(pk__in=people.values("pk")).update(owner=by_user)
    task.lead.refresh_from_db(fields=["owner"])


def pass_on(task: Task) -> None:
    """Give the colleagues who had joined a rejected lead's task one of their own: the warmest leads it."""
    people = list(task.colleagues.filter(stage__key=STAGE, merged_into=None).exclude(pk=task.lead_id).order_by("-score", "pk"))
    if not people:
        return
    first, *others = people
    entry = Transition.objects.filter(lead=first, to_stage__key=STAGE, task=None).order_by("-seq").first()
    successor = Task.objects.create(
        lead=first,
        company=task.company,
        kind=task.kind,
        title=f"Ready for a demo: {first}"[:200],
        owner=task.owner,
        transition=entry,
        due_at=task.due_at,
        created_at=task.created_at,
        touched_at=task.touched_at,
        accepted_at=task.accepted_at,
    )
    successor.colleagues.set(others)


def take_lead_back(task: Task, *, by_user: User) -> bool:
    """Undo the move of a rejected lead, and the task its colleagues got meanwhile; whether there was one."""
    moves = Transition.objects.filter(lead=task.lead_id, from_stage__key=STAGE, actor=by_user, recorded_at=task.done_at or timezone.now())
    move = moves.first() if task.kind == Task.Kind.HANDOFF else None
    if move is None:
        return False
    try:
        undo_move(move, by_user=by_user)
    except StageChanged as error:
        raise TooLate(str(error)) from error
    Lead.objects.filter(pk=task.lead_id).update(owner=by_user)
    Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, created_at=task.created_at, lead__in=task.colleagues.all()).delete()
    return True


def is_replaced(task: Task) -> bool:
    """Whether the lead was handed over anew since: then the closed task stays closed."""
    return task.kind == Task.Kind.HANDOFF and Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, lead=task.lead_id).exists()
