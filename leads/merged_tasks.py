"""Tasks of people who were merged: who shows them, and how they find back.

A task of the absorbed lead that is still to be done goes over to the survivor. Where it came from is remembered
without a column of its own: a handoff belongs to the lead whose transition brought it, and on any other task the lead
it was written for stands among the `colleagues`, which only handoffs have otherwise. A handoff goes over only when
the survivor is with sales too and has none: one person is called once. Otherwise it stays where it was, out of sight.
"""

from collections.abc import Set

from django.db.models import Q

from leads.bulk import update_rows
from leads.handoff import STAGE
from leads.models import Lead, Task

Colleague = Task.colleagues.through


def hand_on(merges: dict[int, int]) -> None:
    """Hand open tasks of absorbed leads to their survivors (absorbed id → survivor's id); in a fixed number of statements."""
    tasks = list(Task.objects.filter(lead__in=merges, done_at=None).only("pk", "kind", "lead", "transition").order_by("pk"))
    if not tasks:
        return
    plain = [task for task in tasks if task.kind != Task.Kind.HANDOFF]
    remembered = set(Colleague.objects.filter(task__in=plain).values_list("task_id", flat=True))
    Colleague.objects.bulk_create([Colleague(task=task, lead_id=task.lead_id) for task in plain if task.pk not in remembered])
    takers = without_handoff(merges)
    handoffs = {merges[task.lead_id]: task for task in reversed(tasks) if task.kind == Task.Kind.HANDOFF and task.transition_id}
    moving = [*plain, *(task for pk, task in handoffs.items() if pk in takers)]
    update_rows(Task, [(task.pk, merges[task.lead_id]) for task in moving], columns=["lead"])


def without_handoff(merges: dict[int, int]) -> set[int]:
    """The survivors that are with sales and on no open handoff but those of whom they absorb."""
    open_handoffs = Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None).exclude(lead__in=merges)
    survivors = set(merges.values())
    busy = set(open_handoffs.filter(lead__in=survivors).values_list("lead_id", flat=True))
    busy |= set(Colleague.objects.filter(task__in=open_handoffs, lead__in=survivors).values_list("lead_id", flat=True))
    return set(Lead.objects.filter(pk__in=survivors - busy, stage__key=STAGE).values_list("pk", flat=True))


def hand_back(parts: Set[int], *, survivor: Lead, lead: Lead) -> None:
    """Give `lead`, to which the `parts` belong again, the tasks that came from them, done or not."""
    theirs = Task.objects.filter(lead=survivor)
    theirs.filter(kind=Task.Kind.HANDOFF, transition__lead__in=parts).update(lead=lead)
    written_for = theirs.exclude(kind=Task.Kind.HANDOFF).filter(Q(colleagues__in=parts))
    Task.objects.filter(pk__in=list(written_for.values_list("pk", flat=True))).update(lead=lead)
    Colleague.objects.filter(task__lead=lead, lead=lead).exclude(task__kind=Task.Kind.HANDOFF).delete()
