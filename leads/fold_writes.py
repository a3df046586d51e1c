"""What a fold found, written: ledger lines, states, the leads' columns."""

import traceback
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db.models import Max, Q, Sum

from leads import engine, search
from leads.bulk import update_rows
from leads.fold_jobs import Job, Plan
from leads.models import Checkpoint, Event, FoldState, Lead, ScoreEntry
from leads.versions_in_force import from_micros, to_micros
from leads.vocabulary import STAFF_TYPES

log = structlog.get_logger(__name__)

# The lead's columns that its facts decide, last writer wins.
TRAIT_COLUMNS = {"name": 200, "email": 254, "phone": 50, "title": 200, "country": 100, "timezone": 64}
LEAD_COLUMNS = ["engagement", "fit", "is_known", "excluded", "traits", *TRAIT_COLUMNS, "last_event_at", "last_event_type"]
STATE_COLUMNS = ["state", "version", "due_at", "again", "error", "traceback", "failed_at"]


# --- the ledger -----------------------------------------------------------------------------------


def write_lines(jobs: list[Job], *, now: datetime) -> int:
    """Insert ledger lines. A lead folded again gets only the differences to what its ledger says, as line n + 1."""
    standing = standing_lines([job for job in jobs if job.again])
    entries = []
    for job in jobs:
        for line in job.result.lines:
            points, n = standing.pop((job.lead.pk, line.cause, line.rule, line.kind), (0, 0))
            if n == 0 or line.points != points:
                entries.append(entry_for(job.lead, line, points=line.points - points, n=n + 1, now=now))
    left = {key: found for key, found in standing.items() if found[0]}
    entries += reversals(left, now=now) if left else []
    ScoreEntry.objects.bulk_create(entries, batch_size=5_000)
    return len(entries)


def standing_lines(jobs: list[Job]) -> dict[tuple[int, str, str, str], tuple[int, int]]:
    """What the ledgers of leads folded again say about the time that is folded: (points, lines) by lead, cause, rule and kind."""
    if not jobs:
        return {}
    after = {job.lead.pk: job.after for job in jobs}
    since = min(after.values())
    wanted = Q(lead__in=after) & (Q(at__gt=from_micros(since)) if since > engine.EARLIEST else Q())
    rows = ScoreEntry.objects.filter(wanted).order_by().values_list("lead_id", "cause", "rule", "kind")
    found = rows.annotate(Sum("points"), Max("n"), Max("at"))
    return {
        (lead_id, cause, rule, kind): (points, n) for lead_id, cause, rule, kind, points, n, at in found if to_micros(at) > after[lead_id]
    }


def entry_for(lead: Lead, line: engine.Line, *, points: int, n: int, now: datetime) -> ScoreEntry:
    """A ledger line (not saved) for what the engine computed."""
    return ScoreEntry(
        lead=lead,
        first_lead=lead,
        axis=line.axis,
        kind=line.kind,
        cause=line.cause,
        rule=line.rule,
        n=n,
        raw=line.raw,
        points=points,
        reason=line.reason if n == 1 else (line.reason or "corrected by a late fact"),
        version_id=line.version,
        event_id=event_of(line.cause),
        at=from_micros(line.at),
        recorded_at=now,
    )


def reversals(left: dict[tuple[int, str, str, str], tuple[int, int]], *, now: datetime) -> list[ScoreEntry]:
    """The lines that take back what no longer follows from the facts."""
    causes = {cause for _, cause, _, _ in left}
    firsts = ScoreEntry.objects.filter(lead__in={key[0] for key in left}, cause__in=causes, n=1)
    found = {(entry.lead_id, entry.cause, entry.rule, entry.kind): entry for entry in firsts}
    return [reversal(found[key], points=points, n=n, now=now) for key, (points, n) in left.items()]


def reversal(first: ScoreEntry, *, points: int, n: int, now: datetime) -> ScoreEntry:
    """The line (not saved) that takes these points back."""
    return ScoreEntry(
        lead_id=first.lead_id,
        first_lead_id=first.first_lead_id,
        axis=first.axis,
        kind=first.kind,
        cause=first.cause,
        rule=first.rule,
        n=n + 1,
        raw=0,
        points=-points,
        reason="no longer follows from the facts",
        version_id=first.version_id,
        event_id=first.event_id,
        at=first.at,
        recorded_at=now,
    )


def event_of(cause: str) -> int | None:
    """The event a cause comes from: `event:12`, `expiry:event:12`, `fit:event:12` → 12."""
    kind, _, number = cause.rpartition(":")
    return int(number) if kind.endswith("event") else None


# --- states ---------------------------------------------------------------------------------------


def write_states(jobs: list[Job], *, live: engine.Model | None) -> None:
    """Store what the engine carries to the next fact, and the marks on the way."""
    rows, marks = [], []
    for job in jobs:
        due, version_id = job.result.state.next_due, live.version if live else None
        due_at = None if due is None else from_micros(due)
        rows.append(FoldState(lead=job.lead, state=job.result.state.to_json(), version_id=version_id, due_at=due_at))
        for mark in job.result.marks if live else ():
            at, state = from_micros(mark.at), mark.state
            marks.append(Checkpoint(lead=job.lead, at=at, facts=state.events, state=state.to_json(), version_id=version_id))
    save_states(rows)
    if marks:
        Checkpoint.objects.bulk_create(marks, ignore_conflicts=True)


def save_states(rows: Sequence[FoldState]) -> None:
    """Insert or replace these states."""
    FoldState.objects.bulk_create(rows, update_conflicts=True, unique_fields=["lead"], update_fields=STATE_COLUMNS)


def mark_failed(job: Job, error: Exception, *, now: datetime) -> FoldState:
    """The state (not saved) of a lead that the engine could not fold: as it was, folded again the next time, with the error for staff."""
    log.error("fold_failed", lead=str(job.lead.uid), error=type(error).__name__)
    return FoldState(
        lead=job.lead,
        state=job.state.to_json(),
        again=False,
        error=f"{type(error).__name__}: {error}"[:2000].replace("\x00", ""),
        traceback="".join(traceback.format_exception(error))[-8000:].replace("\x00", ""),
        failed_at=now,
    )


def postpone(plan: Plan, *, now: datetime) -> None:
    """Leave long histories to the background."""
    if plan.postponed:
        FoldState.objects.filter(pk__in=plan.postponed).update(again=True, due_at=now)
        log.info("refold_postponed", leads=len(plan.postponed))


# --- leads ----------------------------------------------------------------------------------------


def write_leads(jobs: list[Job], *, new: dict[int, list[Event]]) -> None:
    """Write the columns that facts decide: the two sums, names and traits, knownness, the last event."""
    rows = []
    for job in jobs:
        set_columns(job.lead, job.result.state)
        for event in new.get(job.lead.pk, []):
            note_last_event(job.lead, event)
        rows.append([job.lead.pk, *(getattr(job.lead, name) for name in LEAD_COLUMNS)])
    update_rows(Lead, rows, columns=LEAD_COLUMNS)
    search.index_leads([job.lead for job in jobs])


def set_columns(lead: Lead, state: engine.State) -> None:
    """Take over (not saved) what the fold says about a lead."""
    lead.engagement, lead.fit, lead.excluded = state.engagement, state.fit, state.excluded
    lead.is_known = lead.is_known or state.known
    lead.traits = {key: value for key, value in state.traits.items() if key not in TRAIT_COLUMNS and key != "company"}
    for column, length in TRAIT_COLUMNS.items():
        value = state.traits.get(column)
        if isinstance(value, str) and value:
            setattr(lead, column, value[:length])


def note_last_event(lead: Lead, event: Event) -> None:
    """Note (not saved) the last thing that happened: what colleagues did and what scanners clicked is not it."""
    is_theirs = event.type not in STAFF_TYPES and event.verdict != Event.Verdict.SUSPECT
    if is_theirs and (lead.last_event_at is None or event.at >= lead.last_event_at):
        lead.last_event_at, lead.last_event_type = event.at, event.type
