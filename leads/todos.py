"""What a colleague does with a task: claim it, accept or reject its lead, finish it, and take that back."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from leads.gates import UNDO_FOR, StageChanged, move_by_hand, undo_move
from leads.handoff import STAGE
from leads.intake import record_internal
from leads.models import Lead, Reason, Stage, Task, Transition, User
from leads.sla import touch

# Where a rejected lead goes when its reason names no stage.
RECYCLED_TO = "mql"


class TooLate(Exception):
    """Somebody else was quicker; the sentence says who, or what became of the task."""


def claim(task: Task, *, by_user: User) -> Task:
    """Take a task nobody owns, and its people nobody owns. Raises TooLate when a colleague was quicker."""
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        refuse_if_anothers(locked, by_user)
        take(locked, by_user)
    return locked


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
            record_internal([{"type": "LEAD_ACCEPTED", "leadUid": str(locked.lead.uid), "properties": {"by": by_user.username}}])
    return locked


def reject(task: Task, *, by_user: User, reason: Reason | None, note: str = "") -> Transition:
    """Send a handed-over lead back to marketing, with the reason. Who owned it stays known as the former owner.

    Colleagues on the task stay with sales: the first of them gets a task of their own in its place.
    Raises TooLate when somebody else has it, or the lead is no longer where it was handed over.
    """
    with transaction.atomic():
        locked = lock(task)
        refuse_if_closed(locked)
        refuse_if_anothers(locked, by_user)
        lead = locked.lead
        if lead.stage_id != STAGE:
            raise TooLate(f"{lead} is in {lead.stage} now.")
        take(locked, by_user)
        transition = move_by_hand(lead, goes_back_to(locked, reason), by_user=by_user, reason=reason, note=note)
        Lead.objects.filter(pk=lead.pk).update(former_owner=lead.owner_id or by_user.pk, owner=None)
        # The same time on the move and on the task says that they belong together.
        touch(lead, transition.recorded_at)
        Task.objects.filter(pk=locked.pk).update(done_at=transition.recorded_at, rejected_for=reason)
        pass_on(locked)
    return transition


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
    tasks = Task.objects.select_related("owner", "lead__stage", "transition", "rejected_for")
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


def take(task: Task, by_user: User) -> None:
    """Make the task theirs if it was nobody's, and the people on it likewise."""
    if task.owner is not None:
        return
    task.owner = by_user
    task.save(update_fields=["owner"])
    people = Lead.objects.filter(Q(pk=task.lead_id) | Q(joined_tasks=task), owner=None)
    Lead.objects.filter(pk__in=people.values("pk")).update(owner=by_user)
    task.lead.refresh_from_db(fields=["owner"])


def goes_back_to(task: Task, reason: Reason | None) -> Stage:
    """Where a rejected lead goes: the reason's stage, else marketing's, else where it came from."""
    if reason is not None and reason.recycle_to is not None:
        return reason.recycle_to
    came_from = task.transition.from_stage if task.transition else Stage.objects.filter(kind=Stage.Kind.OPEN).earliest("position")
    return Stage.objects.filter(key=RECYCLED_TO).first() or came_from


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
