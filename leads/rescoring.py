"""What a publication leaves to do: every lead is looked at anew, a few at a time, and the work can be paused or killed at any point.

A chunk is one transaction: its leads are folded anew, and the job's `next_lead` and numbers move on, or none of it
happened. Whoever takes over after a kill goes on at `next_lead`. A re-score also pins what happened before to the new
version. What moves gets owner and task, quietly; at the end each rep is told once, by mail too if the publisher said so.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import batched
from time import sleep

import structlog
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.db.utils import OperationalError
from django.utils import timezone

from leads import scoring
from leads.bell import ring
from leads.broken_leads import mark_broken
from leads.models import Event, FoldState, Lead, Rescore, ScoringVersion, Transition, User
from leads.rescore_news import tell_reps, trace_of

log = structlog.get_logger(__name__)

TASK = "leads.tasks.advance_rescores"
CHUNK = 50
# Longer than any chunk takes, and short, so that a killed job goes on soon.
LEASE = timedelta(minutes=1)
TRIES = 3
# SQLite has one writer, and whoever waits for it looks again only now and then: leave a gap between two chunks.
BREATH = 0.05


class ClaimLost(Exception):
    """Another worker took the job over; this one's chunk is undone."""


# --- from outside -------------------------------------------------------------------------------


def start(version: ScoringVersion, *, history: bool, tell: bool, by_user: User | None) -> Rescore:
    """Let the workers look at every lead anew, once the publication has committed.

    What an earlier publication has left to do ends here, if this one does it as well: nobody is to move by rules that
    were corrected meanwhile.
    """
    for older in Rescore.objects.exclude(state=Rescore.State.DONE).filter(Q() if history else Q(history=False)).order_by("pk"):
        end(older)
    leads = Lead.objects.current().count()
    job = Rescore.objects.create(version=version, history=history, tell=tell, by_user=by_user, leads=leads)
    ring(TASK)
    return job


def end(job: Rescore) -> None:
    """The job is done, as far as it got; a worker in the middle of a chunk loses its claim, and the chunk with it."""
    Rescore.objects.filter(pk=job.pk).update(state=Rescore.State.DONE, done_at=timezone.now(), **Rescore.released())
    tell_reps(job, now=timezone.now())


def pause(job: Rescore) -> bool:
    """Stop after the chunk that is being done; False when there was nothing to stop."""
    return bool(Rescore.objects.filter(pk=job.pk, state=Rescore.State.RUNNING).update(state=Rescore.State.PAUSED))


def resume(job: Rescore) -> bool:
    """Go on where it stopped: because somebody paused it, or because its workers died too often."""
    stuck = Rescore.objects.stuck().filter(pk=job.pk, state=Rescore.State.RUNNING).update(**Rescore.released())
    paused = Rescore.objects.filter(pk=job.pk, state=Rescore.State.PAUSED).update(state=Rescore.State.RUNNING)
    ring(TASK)
    return bool(stuck or paused)


# --- the work -----------------------------------------------------------------------------------


def advance_all_due() -> None:
    """Do everything that publications have left to do."""
    while advance_due(timezone.now()):
        pass


def advance_due(now: datetime) -> bool:
    """Claim one running job and work on it until it is done or paused; False when there is none."""
    token, pks = Rescore.objects.due(now).only("pk").claim(1, lease=LEASE)
    if not pks:
        return False
    try:
        while advance(pks[0], token):
            if connection.vendor == "sqlite":
                sleep(BREATH)
    except ClaimLost:
        log.warning("claim_lost", rescore=pks[0])
    return True


def advance(job_pk: int, token: uuid.UUID) -> bool:
    """Do the next chunk; whether there may be more. Raises ClaimLost."""
    job = Rescore.objects.select_related("version").defer("version__document").get(pk=job_pk)
    if job.claim_token != token:
        raise ClaimLost
    if job.state != Rescore.State.RUNNING:
        Rescore.objects.filter(pk=job.pk, claim_token=token).update(**Rescore.released())
        return False
    pks = list(Lead.objects.current().filter(pk__gte=job.next_lead).order_by("pk").values_list("pk", flat=True)[:CHUNK])
    if not pks:
        return not finish(job, token)
    look_at(job, pks, token)
    return True


def look_at(job: Rescore, pks: list[int], token: uuid.UUID) -> None:
    """One chunk. If it cannot be done as a whole each lead is tried alone: one bad lead does not stop the others."""
    try:
        with_retries(job, pks, token)
    except (ClaimLost, OperationalError):
        raise
    except Exception as error:
        log.warning("rescore_chunk_failed", rescore=job.pk, leads=len(pks), error=type(error).__name__)
        for pk in pks:
            look_at_one(job, pk, token)


def look_at_one(job: Rescore, pk: int, token: uuid.UUID) -> None:
    """One lead of a chunk that failed; if it is the bad one, it is marked and left to staff."""
    try:
        with_retries(job, [pk], token)
    except (ClaimLost, OperationalError):
        raise
    except Exception as error:
        log.exception("rescore_lead_failed", rescore=job.pk, lead=pk, error=type(error).__name__)
        with transaction.atomic():
            mark_broken(pk, error)
            pin(job, [pk])  # so that trying again scores it like the others
            move_on(job, token, [pk])


def with_retries(job: Rescore, pks: list[int], token: uuid.UUID) -> None:
    """Do one chunk; a deadlock starts it over."""
    for attempt in range(TRIES):
        try:
            fold_chunk(job, pks, token)
        except OperationalError:
            if attempt == TRIES - 1:
                raise
        else:
            return


@transaction.atomic
def fold_chunk(job: Rescore, pks: list[int], token: uuid.UUID) -> None:
    """Fold some leads anew and move the job on, both or neither. Raises ClaimLost when another worker has it now.

    The leads are locked before their facts are pinned: whoever records an event for one of them meanwhile comes before
    (and the event is pinned here) or after (and it is pinned to the version that is live by then).
    """
    now = timezone.now()
    before = {pk: lead for pk, lead in scoring.lock_leads(pks).items() if lead.merged_into_id is None}
    pin(job, before)
    scoring.refold(before, now=now, historical=True)
    changed = moved = 0
    for pk, engagement, fit, seq in Lead.objects.filter(pk__in=before).values_list("pk", "engagement", "fit", "stage_seq"):
        lead = before[pk]
        changed += (engagement, fit) != (lead.engagement, lead.fit)
        moved += seq != lead.stage_seq
    if moved:
        fresh = Q()
        for pk, lead in before.items():
            fresh |= Q(lead=pk, seq__gt=lead.stage_seq)
        Transition.objects.filter(fresh).update(note=trace_of(job))
    move_on(job, token, pks, changed=changed, moved=moved)


def move_on(job: Rescore, token: uuid.UUID, pks: list[int], *, changed: int = 0, moved: int = 0) -> None:
    """Write how far the job is. Raises ClaimLost."""
    new = sum(pk >= job.next_lead for pk in pks)  # leads that were left behind count once
    mine = Rescore.objects.filter(pk=job.pk, claim_token=token)
    written = mine.update(
        next_lead=max(job.next_lead, pks[-1] + 1),
        done=F("done") + new,
        changed=F("changed") + changed,
        moved=F("moved") + moved,
        lease_until=Now() + LEASE,
        claim_count=1,
    )
    if not written:
        raise ClaimLost


def pin(job: Rescore, leads: Collection[int]) -> None:
    """Let the new version score what happened to these (locked) leads before it."""
    if job.history:
        pinned_below(job.version).filter(lead__in=leads).update(model_version=job.version)


def pinned_below(version: ScoringVersion) -> QuerySet[Event]:
    """The facts that an earlier version scores, or none."""
    return Event.objects.filter(Q(model_version=None) | Q(model_version__number__lt=version.number))


def left_behind(job: Rescore) -> list[int]:
    """Leads that slipped through: recorded by a transaction that began before the publication, or merged meanwhile."""
    older = Q(version=None) | Q(version__number__lt=job.version.number)
    states = FoldState.objects.filter(older, error="", again=False, lead__merged_into=None)
    pks = set(states.values_list("pk", flat=True))
    if job.history:
        pks |= set(pinned_below(job.version).filter(lead__merged_into=None).values_list("lead", flat=True).distinct())
    return sorted(pks)


def finish(job: Rescore, token: uuid.UUID) -> bool:
    """Look once at those who slipped through, tell the reps, and be done; False when somebody paused it at the last moment."""
    for chunk in batched(left_behind(job), CHUNK):
        look_at(job, list(chunk), token)
    with transaction.atomic():
        mine = Rescore.objects.filter(pk=job.pk, claim_token=token, state=Rescore.State.RUNNING)
        if not mine.select_for_update(no_key=True).exists():
            return False
        end(job)
    return True
