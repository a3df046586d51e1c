"""What must always hold, as queries: each answers with the rows that break it, and none is the right answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Count, Exists, F, IntegerField, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum, Window
from django.db.models.functions import Coalesce, Lag, Now
from django.utils import timezone

from campaigns.models import Enrollment, Message, Slot
from crm.refolding import differences
from leads.handoff import STAGE
from leads.merging import has_line
from leads.models import (
    CsvImport,
    Delivery,
    Event,
    FoldState,
    Identity,
    Lead,
    Merge,
    MergeReview,
    Notification,
    Rescore,
    ScoreEntry,
    Task,
    Transition,
    WhatIf,
)

type Row = Mapping[str, object]

# Rows kept of each broken invariant; all are counted.
SHOWN = 100
# So long after it was due, work that nobody holds shows that no worker is running.
OVERDUE = timedelta(minutes=10)
# A lease that passed longer ago than this should have been noticed by the reaper.
LEASE_SLACK = timedelta(minutes=2)
# Two processes' clocks may differ by this much.
CLOCKS = timedelta(seconds=5)
WENT_OUT = [Message.State.SENDING, Message.State.SENT, Message.State.UNKNOWN]


@dataclass(frozen=True, slots=True)
class Invariant:
    """A name for programs, a sentence for people, and the query for what breaks it."""

    name: str
    sentence: str
    find: Callable[[], Iterable[Row]]


@dataclass(slots=True)
class Finding:
    """What one invariant's query answered: how many rows break it, and the first of them."""

    invariant: Invariant
    broken: int = 0
    rows: list[Row] = field(default_factory=list)


INVARIANTS: list[Invariant] = []


def invariant(sentence: str) -> Callable[[Callable[[], Iterable[Row]]], Callable[[], Iterable[Row]]]:
    """Register a query under its function's name."""

    def register(find: Callable[[], Iterable[Row]]) -> Callable[[], Iterable[Row]]:
        INVARIANTS.append(Invariant(find.__name__, sentence, find))
        return find

    return register


def verify() -> Iterator[Finding]:
    """Ask every invariant in turn. Read-only, but the leads being folded again are locked, a few at a time."""
    for each in INVARIANTS:
        found = iter(each.find())
        rows = list(islice(found, SHOWN))
        yield Finding(each, broken=len(rows) + sum(1 for _ in found), rows=rows)


# --- the ledger ---------------------------------------------------------------------------------


@invariant("The points of a lead are the sums of its ledger, on both axes.")
def ledger_sums_to_the_score() -> Iterable[Row]:
    """Compare the columns with the sums; an absorbed lead's lines have moved to its survivor."""

    def total(axis: str) -> Coalesce:
        lines = ScoreEntry.objects.filter(lead=OuterRef("pk"), axis=axis).order_by().values("lead")
        return Coalesce(Subquery(lines.annotate(total=Sum("points")).values("total"), output_field=IntegerField()), 0)

    sums = Lead.objects.current().annotate(ledger_engagement=total("engagement"), ledger_fit=total("fit"))
    wrong = sums.exclude(engagement=F("ledger_engagement"), fit=F("ledger_fit"))
    return wrong.order_by("pk").values("uid", "engagement", "ledger_engagement", "fit", "ledger_fit")


@invariant("Ledger, points, stage and what is carried between facts are what a fresh fold of the facts gives.")
def a_fresh_fold_agrees() -> Iterable[Row]:
    """Fold every lead again in memory, in chunks."""
    return differences()


@invariant("Every ledger line belongs to an event and a lead that exist.")
def ledger_lines_have_their_event() -> Iterable[Row]:
    """These columns have no foreign key in the database."""
    events, leads = Event.objects.filter(pk=OuterRef("event_id")), Lead.objects.filter(pk=OuterRef("lead_id"))
    orphans = ScoreEntry.objects.filter(Q(event__isnull=False) & ~Exists(events) | ~Exists(leads))
    return orphans.values("pk", "lead_id", "event_id", "cause", "rule")


# --- stages -------------------------------------------------------------------------------------


@invariant("The transitions of a lead are numbered 1, 2, 3 … without a gap.")
def transitions_are_gap_free() -> Iterable[Row]:
    """Numbers must start at 1 and be as many as the highest says."""
    numbers = Transition.objects.order_by().values("lead__uid").annotate(count=Count("pk"), first=Min("seq"), last=Max("seq"))
    return numbers.exclude(first=1, last=F("count"))


@invariant("Each transition begins where the one before ended, and not before it.")
def transitions_are_chained() -> Iterable[Row]:
    """Look at each with its predecessor."""

    def before(column: str) -> Window:
        return Window(Lag(column), partition_by=F("lead"), order_by=F("seq").asc())

    pairs = Transition.objects.annotate(before=before("to_stage"), before_at=before("at"))
    wrong = pairs.filter(Q(before__isnull=False) & (~Q(from_stage=F("before")) | Q(at__lt=F("before_at"))))
    return wrong.order_by("lead", "seq").values("lead__uid", "seq", "before", "from_stage", "to_stage", "before_at", "at")


@invariant("A lead stands where its last transition led, and counts as many as it has.")
def stage_is_the_last_transition() -> Iterable[Row]:
    """Without any, the number is 0; absorbed leads keep what they had."""
    last = Transition.objects.filter(lead=OuterRef("pk")).order_by("-seq")
    leads = Lead.objects.annotate(last_stage=Subquery(last.values("to_stage")[:1]), last_seq=Coalesce(Subquery(last.values("seq")[:1]), 0))
    wrong = leads.filter(~Q(stage_seq=F("last_seq")) | Q(last_seq__gt=0) & ~Q(stage=F("last_stage")))
    return wrong.order_by("pk").values("uid", "stage", "last_stage", "stage_seq", "last_seq")


@invariant("Nobody passes a gate before we know who it is.")
def visitors_pass_no_gate() -> Iterable[Row]:
    """Moves by hand are free."""
    moves = Transition.objects.filter(lead__is_known=False, lead__merged_into=None).exclude(gate="")
    return moves.values("lead__uid", "seq", "gate")


@invariant("Whoever entered the stage for sales, and still stands there, was handed over: a task of their own or a colleague's.")
def sales_leads_are_handed_over() -> Iterable[Row]:
    """The last transition decides: a chain that only passes through hands nothing over."""
    entries = Transition.objects.filter(lead__stage_id=STAGE, to_stage__key=STAGE, seq=F("lead__stage_seq"), lead__merged_into=None)
    tasks = Task.objects.filter(Q(lead=OuterRef("lead")) | Q(colleagues=OuterRef("lead")), kind=Task.Kind.HANDOFF)
    return entries.filter(~Exists(tasks)).values("lead__uid", "seq", "at")


# --- who is who ---------------------------------------------------------------------------------


@invariant("Nothing points at a lead that was merged into another: keys, events, their lines, runs, open messages and tasks moved along.")
def nothing_stays_with_merged_leads() -> Iterator[Row]:
    """What stays on purpose: `first_lead`, transitions, notes, handoffs, lines of idle time and of what colleagues did.

    A survivor has a line of each cause that was the absorbed lead's own, and is never itself absorbed.
    """
    lines = ScoreEntry.objects.filter(~has_line(OuterRef("lead__merged_into")), event__first_lead=F("lead"))
    open_tasks = Task.objects.filter(done_at=None)
    everything: tuple[QuerySet[Any], ...] = (
        *(Identity.objects.all(), Event.objects.all(), lines, Enrollment.objects.active(), Message.objects.open()),
        *(open_tasks.exclude(kind=Task.Kind.HANDOFF), FoldState.objects.all()),
    )
    for rows in everything:
        for pk, uid in rows.filter(lead__merged_into__isnull=False).values_list("pk", "lead__uid"):
            yield {"model": rows.model._meta.label, "pk": pk, "lead": uid}
    for pk, uid in Lead.objects.filter(merged_into__merged_into__isnull=False).values_list("pk", "uid"):
        yield {"model": "leads.Lead", "pk": pk, "lead": uid}


@invariant("Every merge left a trace, and the traces lead from each absorbed lead to the one it is part of.")
def merges_leave_a_trace() -> Iterator[Row]:
    """One standing trace for each absorbed lead and none for others; what was taken apart says when."""
    standing = Merge.objects.standing()
    for uid in Lead.objects.filter(merged_into__isnull=False).exclude(pk__in=standing.values("absorbed")).values_list("uid", flat=True):
        yield {"lead": uid, "what": "merged without a trace"}
    end = Coalesce("survivor__merged_into", "survivor")
    for pk, uid, into in (
        standing.annotate(end=end)
        .exclude(absorbed__merged_into=F("end"), absorbed__merged_into__isnull=False)
        .values_list("pk", "absorbed__uid", "end")
    ):
        yield {"merge": pk, "lead": uid, "what": "not merged into", "end": into}
    for pk, uid in Merge.objects.filter(undone_at__lt=F("at")).values_list("pk", "absorbed__uid"):
        yield {"merge": pk, "lead": uid, "what": "taken apart before it was merged"}


@invariant("Keys, events, runs and messages remember whose they are: their lead's, or somebody's who is part of it.")
def rows_remember_whose_they_are() -> Iterator[Row]:
    """Taking a merge apart goes by it."""
    for model in (Identity, Event, Enrollment, Message):
        rows = model._base_manager.exclude(first_lead=F("lead")).exclude(first_lead__merged_into=F("lead"))
        for pk, uid, first in rows.values_list("pk", "lead__uid", "first_lead"):
            yield {"model": model._meta.label, "pk": pk, "lead": uid, "first_lead": first}


@invariant("A question whether two are one person is open exactly while nobody has answered it, and they are two.")
def questions_are_about_two_people() -> Iterable[Row]:
    """A lead that was merged since stands for its survivor."""
    asked = MergeReview.objects.all()
    is_open, merged = Q(state=MergeReview.State.OPEN), Q(state=MergeReview.State.MERGED)
    wrong = asked.of_one().exclude(merged) | asked.of_two().filter(merged)
    wrong |= asked.filter(is_open & Q(decided_at__isnull=False) | ~is_open & Q(decided_at=None))
    return wrong.values("pk", "low__uid", "high__uid", "state", "decided_at")


@invariant("A handoff belongs to the lead whose entry it is; any other task remembers nobody but whom its lead absorbed.")
def tasks_belong_to_their_people() -> Iterator[Row]:
    """Tasks of absorbed leads find back by these."""
    handoffs = Task.objects.filter(kind=Task.Kind.HANDOFF, transition__isnull=False)
    astray = handoffs.exclude(transition__lead=F("lead")).exclude(transition__lead__merged_into=F("lead"))
    wrong = astray | handoffs.exclude(transition__to_stage__key=STAGE)
    for pk, uid in wrong.values_list("pk", "lead__uid"):
        yield {"task": pk, "lead": uid, "what": "handoff of another's entry"}
    remembered = Task.colleagues.through.objects.exclude(task__kind=Task.Kind.HANDOFF)
    for pk, uid in remembered.exclude(lead__merged_into=F("task__lead")).values_list("task", "lead__uid"):
        yield {"task": pk, "lead": uid, "what": "remembers somebody else"}


# --- the inbox ----------------------------------------------------------------------------------


@invariant("Every accepted request is recorded soon after it is due.")
def deliveries_are_not_stuck() -> Iterable[Row]:
    """Left to staff after too many workers died, or long due while nobody holds it: is a worker running?"""
    waiting = Delivery.objects.waiting()
    overdue = Q(due_at__lt=timezone.now() - OVERDUE) & (Q(claim_token=None) | Q(lease_until__lt=Now()))
    stuck = waiting.filter(Q(pk__in=waiting.stuck().values("pk")) | overdue)
    return stuck.order_by("pk").values("receipt", "state", "due_at", "attempts", "claim_count", "error")


@invariant("A receipt counts at least the events that its request brought.")
def receipts_count_their_events() -> Iterable[Row]:
    """Fewer events than counted is what forgetting somebody leaves."""
    counted = Delivery.objects.filter(state=Delivery.State.PROCESSED).annotate(found=Count("events"))
    return counted.filter(found__gt=F("stored")).values("receipt", "stored", "found")


# --- campaigns and messages ---------------------------------------------------------------------


@invariant("A run that goes on has a step due or a message on its way.")
def runs_go_on() -> Iterable[Row]:
    """Neither means that it will wait for ever."""
    on_its_way = Message.objects.open().filter(enrollment=OuterRef("pk"))
    return Enrollment.objects.active().filter(~Exists(on_its_way), due_at=None).values("pk", "campaign__key", "lead__uid", "next_step")


@invariant("A message is claimed exactly while its state says so, and only for the time of a lease.")
def messages_are_held_or_free() -> Iterable[Row]:
    """A lease that passed is the reaper's to end."""
    held = Q(state__in=[Message.State.CLAIMED, Message.State.SENDING])
    wrong = Message.objects.filter(
        held & (Q(claim_token=None) | Q(lease_until__lt=Now() - LEASE_SLACK)) | ~held & Q(claim_token__isnull=False)
    )
    return wrong.values("uid", "state", "phase", "lease_until", "claim_count")


@invariant("What has come to an end is held by nobody.")
def finished_work_is_released() -> Iterator[Row]:
    """Tokens on finished rows would let a late worker overwrite them."""
    for rows in (
        Delivery.objects.filter(state=Delivery.State.PROCESSED),
        Notification.objects.exclude(state=Notification.State.PENDING),
        Enrollment.objects.exclude(state=Enrollment.State.ACTIVE),
        Slot.objects.exclude(state=Slot.State.WALKING),
        Rescore.objects.filter(state=Rescore.State.DONE),
        WhatIf.objects.exclude(state=WhatIf.State.RUNNING),
        CsvImport.objects.exclude(state=CsvImport.State.RUNNING),
    ):
        for pk, state in rows.filter(claim_token__isnull=False).values_list("pk", "state"):
            yield {"model": rows.model._meta.label, "pk": pk, "state": state}


@invariant("No work was given up because every worker that took it died.")
def nothing_kills_its_workers() -> Iterator[Row]:
    """Such rows wait for staff; what they hold is probably what kills."""
    for rows in (
        FoldState.objects.filter(due_at__isnull=False),
        Rescore.objects.filter(state=Rescore.State.RUNNING),
        Notification.objects.filter(state=Notification.State.PENDING),
        Enrollment.objects.active().filter(due_at__isnull=False),
        Slot.objects.filter(state=Slot.State.WALKING),
        Message.objects.open(),
        Rescore.objects.filter(state=Rescore.State.RUNNING),
        WhatIf.objects.filter(state=WhatIf.State.RUNNING),
        CsvImport.objects.filter(state=CsvImport.State.RUNNING),
    ):
        for row in rows.stuck():
            yield {"model": row._meta.label, "pk": row.pk, "claim_count": row.claim_count}


@invariant("A sent message says when; none was sent before it was due or after it was of use.")
def messages_are_sent_in_time() -> Iterable[Row]:
    """By the time at which sending began."""
    sent = Message.objects.filter(state=Message.State.SENT)
    wrong = sent.filter(Q(sent_at=None) | Q(sending_at__lt=F("due_at")) | Q(sending_at__gt=F("not_after")))
    return wrong.values("uid", "due_at", "not_after", "sending_at", "sent_at")


@invariant("Nothing is sent to a suppressed address.")
def suppressed_addresses_get_no_mail() -> Iterable[Row]:
    """Sending began after the suppression was committed."""
    late = Message.objects.filter(state__in=WENT_OUT, sending_at__gt=F("contact_point__suppressed_at") + CLOCKS)
    return late.exclude(contact_point__suppressed="").values(
        "uid", "state", "contact_point__suppressed", "contact_point__suppressed_at", "sending_at"
    )


@invariant("What is due is taken by somebody: news for colleagues, steps of runs, and mails.")
def due_work_is_taken() -> Iterator[Row]:
    """Long there and long due while nobody holds it: is a worker running? A paused campaign's work is not due."""
    before = timezone.now() - OVERDUE
    waiting = (
        Notification.objects.due(before).filter(created_at__lte=before),
        Enrollment.objects.due(before).filter(started_at__lte=before),
        Message.objects.due(before).filter(created_at__lte=before),
    )
    for rows in waiting:
        for row in rows.unclaimed():
            yield {"model": row._meta.label, "pk": row.pk, "due_at": row.due_at}


# --- keys ---------------------------------------------------------------------------------------


@invariant("What must be there once is there once, for every unique key.")
def keys_are_unique() -> Iterator[Row]:
    """Group by each key; also when the database enforces it: this proves that it does here."""
    for model in (*apps.get_app_config("leads").get_models(include_auto_created=True), *apps.get_app_config("campaigns").get_models()):
        for name, columns, condition in unique_keys(model):
            rows = model._base_manager.filter(condition).order_by()
            for number, column in enumerate(columns):
                rows = rows.annotate(**{f"key{number}": F(column) if isinstance(column, str) else column})
            keys = [f"key{number}" for number in range(len(columns))]
            doubles = rows.exclude(reduce(or_, (Q(**{f"{key}__isnull": True}) for key in keys))).values(*keys).annotate(count=Count("pk"))
            for row in doubles.filter(count__gt=1):
                yield {"model": model._meta.label, "key": name, "values": [row[key] for key in keys], "count": row["count"]}


def unique_keys(model: type[models.Model]) -> Iterator[tuple[str, list[Any], Q]]:
    """The unique keys of a model: a name, the columns or expressions, and which rows it holds for."""
    for column in model._meta.local_concrete_fields:
        if column.unique:
            yield column.name, [column.name], Q()
    for names in model._meta.unique_together:
        yield "_".join(names), list(names), Q()
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            yield constraint.name, [*constraint.fields, *constraint.expressions], constraint.condition or Q()
