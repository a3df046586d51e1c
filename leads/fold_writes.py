"""What a fold found, written: ledger lines, states, the leads' columns."""

import traceback
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import structlog

from leads import engine, search
from leads.bulk import insert_rows, update_rows
from leads.fold_jobs import Job, Plan
from leads.models import Checkpoint, Event, FoldState, Lead, ScoreEntry
from leads.standing import LineKey, Standing, standing_lines
from leads.versions_in_force import from_micros
from leads.vocabulary import STAFF_TYPES

log = structlog.get_logger(__name__)

# What facts say about a person, last writer wins; written when one of them did.
TRAIT_COLUMNS = {"name": 200, "email": 254, "phone": 50, "title": 200, "country": 100, "timezone": 64}
PROFILE_COLUMNS = ["traits", *TRAIT_COLUMNS]
# What changes with every fact.
WARMTH_COLUMNS = ["engagement", "fit", "is_known", "excluded", "last_event_at", "last_event_type"]
STATE_COLUMNS = ["state", "version", "due_at", "again", "error", "traceback", "failed_at"]
PROFILE_OF = attrgetter("id", *PROFILE_COLUMNS)
WARMTH_OF = attrgetter("id", *WARMTH_COLUMNS)
LINE_COLUMNS = [
    *("lead", "first_lead", "axis", "kind", "cause", "rule", "n", "raw"),
    *("points", "reason", "version", "event", "at", "recorded_at"),
]


# --- the ledger -----------------------------------------------------------------------------------


def write_lines(jobs: list[Job], *, now: datetime) -> int:
    """Insert ledger lines. A lead folded again gets only the differences to what its ledger says, as line n + 1."""
    standing = standing_of([job for job in jobs if job.again])
    rows = []
    for job in jobs:
        pk, stands = job.lead.id, standing.get(job.lead.id, {})
        for line in job.result.lines:
            before = stands.pop((line.cause, line.rule, line.kind), None) if stands else None
            if before is None:
                rows.append(row_for(pk, line, points=line.points, n=1, now=now))
            elif before.points != line.points:
                rows.append(row_for(pk, line, points=line.points - before.points, n=before.n + 1, now=now))
    left = {(pk, *key): found for pk, stands in standing.items() for key, found in stands.items() if found.points}
    rows += reversals(left, now=now) if left else []
    insert_rows(ScoreEntry, rows, columns=LINE_COLUMNS)
    return len(rows)


def standing_of(jobs: list[Job]) -> dict[int, dict[LineKey, Standing]]:
    """What the ledgers of leads folded again say about the time that is folded."""
    after = {job.lead.id: job.after for job in jobs}
    found = standing_lines(after, since=min(after.values(), default=engine.EARLIEST))
    for pk, since in after.items():
        if since > engine.EARLIEST:
            found[pk] = {key: each for key, each in found[pk].items() if each.moment > since}
    return found


def row_for(lead_pk: int, line: engine.Line, *, points: int, n: int, now: datetime) -> tuple[Any, ...]:
    """The ledger line, as LINE_COLUMNS, for what the engine computed."""
    at, axis, kind, cause, rule, raw, _, reason, version = line
    reason = reason if n == 1 else (reason or "corrected by a late fact")
    return (lead_pk, lead_pk, axis, kind, cause, rule, n, raw, points, reason, version, event_of(cause), from_micros(at), now)


def reversals(left: dict[tuple[int, str, str, str], Standing], *, now: datetime) -> list[tuple[Any, ...]]:
    """The lines, as LINE_COLUMNS, that take back what no longer follows from the facts."""
    causes = {cause for _, cause, _, _ in left}
    firsts = ScoreEntry.objects.filter(lead__in={key[0] for key in left}, cause__in=causes, n=1)
    found = {(entry.lead_id, entry.cause, entry.rule, entry.kind): entry for entry in firsts}
    return [reversal(found[key], points=each.points, n=each.n, now=now) for key, each in left.items()]


def reversal(first: ScoreEntry, *, points: int, n: int, now: datetime) -> tuple[Any, ...]:
    """The line that takes these points back."""
    same = (first.lead_id, first.first_lead_id, first.axis, first.kind, first.cause, first.rule)
    return (*same, n + 1, 0, -points, "no longer follows from the facts", first.version_id, first.event_id, first.at, now)


def event_of(cause: str) -> int | None:
    """The event a cause comes from: `event:12`, `expiry:event:12`, `fit:event:12` → 12."""
    kind, _, number = cause.rpartition(":")
    return int(number) if kind.endswith("event") else None


# --- states ---------------------------------------------------------------------------------------


def write_states(jobs: list[Job], *, live: engine.Model | None) -> None:
    """Store what the engine carries to the next fact, and the marks on the way."""
    version_id = live.version if live else None
    standing, rows, marks = [], [], []
    for job in jobs:
        state = job.result.state
        due_at = None if state.next_due is None else from_micros(state.next_due)
        if job.stored:
            standing.append((job.lead.id, state, version_id, due_at))
        else:
            rows.append(FoldState(lead=job.lead, state=state.to_json(), version_id=version_id, due_at=due_at))
        for mark in job.result.marks if live else ():
            at, facts = from_micros(mark.at), mark.state.events
            marks.append(Checkpoint(lead=job.lead, at=at, facts=facts, state=mark.state.to_json(), version_id=version_id))
    update_rows(FoldState, standing, columns=["state", "version", "due_at"])
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
    """Write the columns that facts decide: the two sums, knownness, the last event; names and traits where something was said."""
    for job in jobs:
        set_warmth(job.lead, job.result.state)
        for event in new.get(job.lead.id, []):
            note_last_event(job.lead, event)
    update_rows(Lead, [WARMTH_OF(job.lead) for job in jobs], columns=WARMTH_COLUMNS)
    told = [job for job in jobs if job.again or job.lead.unconfirmed_email or is_told(job)]
    if told:
        for job in told:
            set_profile(job.lead, job.result.state)
        update_rows(Lead, [PROFILE_OF(job.lead) for job in told], columns=PROFILE_COLUMNS)
        search.index_leads([job.lead for job in told])


def is_told(job: Job) -> bool:
    """Whether a new fact says something about the person or their company."""
    return any(fact.traits and not fact.colleague for fact in job.facts)


def set_warmth(lead: Lead, state: engine.State) -> None:
    """Take over (not saved) how warm the fold says a lead is."""
    lead.engagement, lead.fit, lead.excluded = state.engagement, state.fit, state.excluded
    lead.is_known = lead.is_known or state.known


def set_profile(lead: Lead, state: engine.State) -> None:
    """Take over (not saved) what facts told about a lead."""
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
