"""The engine meets the database: what the facts of some leads are worth is computed, and the difference written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Sum
from django.utils import timezone

from leads import engine, gates, search
from leads.bulk import update_rows
from leads.models import Event, FoldState, Lead, ScoreEntry, ScoringVersion, Stage, Transition
from leads.recording import Recorded
from leads.vocabulary import STAFF_TYPES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The lead's columns that its facts decide, last writer wins.
TRAIT_COLUMNS = {"name": 200, "email": 254, "phone": 50, "title": 200, "country": 100, "timezone": 64}


def to_micros(at: datetime) -> int:
    """Microseconds since 1970, the engine's only notion of time."""
    return (at - EPOCH) // timedelta(microseconds=1)


def from_micros(at: int) -> datetime:
    """The other way round."""
    return EPOCH + timedelta(microseconds=at)


@lru_cache(maxsize=64)
def compiled(version_id: int) -> engine.Model:
    """The compiled model of a published version; versions are immutable, so it never goes stale."""
    return engine.compile_model(ScoringVersion.objects.get(pk=version_id).document, version_id)


def live_model() -> engine.Model | None:
    """The model that scores new events, or None when nothing was published yet."""
    pk = ScoringVersion.objects.order_by("-number").values_list("pk", flat=True).first()
    return compiled(pk) if pk else None


def score_events(*, events: Sequence[Event], recorded: Recorded, **kwargs: Any) -> None:
    """Score newly stored events: ledger lines, the leads' columns, and the moves they cause.

    A lead whose new events all lie after what was folded is folded onwards; any other one (late facts,
    merged history, counters new in a version) is folded again from the beginning.
    """
    by_lead: dict[int, list[Event]] = {}
    for event in events:
        if event.pk not in recorded.joined:
            by_lead.setdefault(event.lead_id, []).append(event)
    historical = {pk for pk, news in by_lead.items() if all(event.historical for event in news)}
    leads = {event.lead_id: event.lead for event in events}
    fold_leads(leads, new=by_lead, again=recorded.refold, now=recorded.now, historical=historical)


def refold(lead_pks: Iterable[int], *, now: datetime, historical: bool = False) -> int:
    """Fold these leads again from all their facts; returns the number of ledger lines appended (0: nothing differed)."""
    with transaction.atomic():
        leads = lock_leads(lead_pks)
        return fold_leads(leads, new={}, again=set(leads), now=now, historical=set(leads) if historical else set())


def follow_hand_moves(*, transitions: Sequence[Transition], now: datetime, **kwargs: Any) -> None:
    """Fold leads that somebody moved by hand onwards, so that the gates of their new stage are tried. Receiver of leads_transitioned."""
    leads = {transition.lead_id: transition.lead for transition in transitions if not transition.gate}
    undone = {transition.lead_id for transition in transitions if transition.undoes_id}
    if leads:
        fold_leads(leads, new={pk: [] for pk in leads}, again=undone, now=now, historical=set())


def apply_due(now: datetime, *, limit: int = 200) -> int:
    """Apply score changes that the passing of time brings (expiries) to at most `limit` leads; returns how many leads."""
    token, pks = FoldState.objects.due(now).only("pk").claim(limit, lease=timedelta(minutes=1))
    if not pks:
        return 0
    with transaction.atomic():
        leads = lock_leads(pks)
        fold_leads(leads, new={pk: [] for pk in leads}, again=set(), now=now, historical=set())
        FoldState.objects.filter(pk__in=pks, claim_token=token).update(**FoldState.released())
    return len(pks)


def apply_all_due() -> None:
    """Apply every score change that is due now."""
    while apply_due(timezone.now()):
        pass


def lock_leads(pks: Iterable[int]) -> dict[int, Lead]:
    """Lock these leads in pk order."""
    pks = list(pks)
    if not pks:
        return {}
    rows = Lead.objects.filter(pk__in=pks).select_related("company").order_by("pk")
    return {lead.pk: lead for lead in rows.select_for_update(no_key=True, of=("self",))}


@dataclass(slots=True)
class Job:
    """One lead to fold: its facts, where to begin, and what the ledger already says (only when folded again)."""

    lead: Lead
    state: engine.State
    facts: list[engine.Fact]
    past: list[engine.PastMove]
    again: bool
    result: engine.Folded = field(init=False)


def fold_leads(leads: dict[int, Lead], *, new: dict[int, list[Event]], again: set[int], now: datetime, historical: set[int]) -> int:
    """Fold the given locked leads and write what changed; the number of statements does not depend on how many they are.

    `new` are facts to fold onwards; leads in `again` are folded from the beginning. Returns the ledger lines appended.
    """
    stages = [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.order_by("position", "pk")]
    live = live_model()
    jobs = plan_jobs(leads, new=new, again=again, live=live, stages=stages)
    versions = {fact.version for job in jobs for fact in job.facts} | {expiry.version for job in jobs for expiry in job.state.expiries}
    models = {pk: compiled(pk) for pk in versions if pk is not None}
    if live:
        models[live.version] = live
    for job in jobs:
        job.result = engine.fold(
            job.state,
            job.facts,
            models,
            stages=stages,
            until=max(to_micros(now), job.facts[-1].at if job.facts else 0),
            live=live.version if live else None,
            past=job.past,
            evidence_points=settings.EVIDENCE_POINTS,
        )
    appended = write_lines(jobs, now=now)
    write_states(jobs, live=live)
    write_leads(jobs, new=new)
    gates.move_leads(
        [move for job in jobs for move in moves_of(job, historical=job.lead.pk in historical)],
        now=now,
    )
    return appended


def plan_jobs(
    leads: dict[int, Lead],
    *,
    new: dict[int, list[Event]],
    again: set[int],
    live: engine.Model | None,
    stages: Sequence[engine.StageInfo],
) -> list[Job]:
    """Decide for each lead whether to fold onwards or again, and load what that needs (one query a kind)."""
    live_version = live.version if live else None
    stored = {row.pk: row for row in FoldState.objects.filter(pk__in=leads)}
    states: dict[int, engine.State] = {}
    facts = {pk: [fact_of(event) for event in events] for pk, events in new.items()}
    again = again & leads.keys()
    for pk in leads:
        row = stored.get(pk)
        states[pk] = engine.State.from_json(row.state) if row else engine.start(stages)
        if row and (row.version_id != live_version or is_late(states[pk], facts.get(pk, []))):
            again = again | {pk}
    if again:
        for pk in again:
            states[pk], facts[pk] = engine.start(stages), []
        for event in Event.objects.filter(lead__in=again).in_fact_order().iterator():
            facts[event.lead_id].append(fact_of(event))
    past: dict[int, list[engine.PastMove]] = {}
    behind = [pk for pk, lead in leads.items() if lead.stage_seq != states[pk].seq]
    for move in (
        Transition.objects.filter(lead__in=behind).select_related("from_stage", "to_stage").order_by("lead_id", "seq") if behind else ()
    ):
        if move.seq > states[move.lead_id].seq:
            known = engine.PastMove(to_micros(move.at), move.seq, move.from_stage.key, move.to_stage.key)
            past.setdefault(move.lead_id, []).append(known)
    return [Job(lead, states[pk], facts.get(pk, []), past.get(pk, []), again=pk in again) for pk, lead in sorted(leads.items())]


def is_late(state: engine.State, facts: list[engine.Fact]) -> bool:
    """Whether some of the facts lie before what the state has already seen."""
    if not facts or state.last is None:
        return False
    first = facts[0]
    return (first.at, first.source, first.key) <= tuple(state.last) or first.at < state.watermark


def fact_of(event: Event) -> engine.Fact:
    """The engine's view of a stored event."""
    return engine.Fact(
        at=to_micros(event.at),
        source=event.source_id,
        key=event.message_id,
        cause=event.cause,
        type=event.type,
        properties=event.properties,
        traits=event.traits,
        version=event.model_version_id,
        identifies=event.identifies,
        counts=event.verdict != Event.Verdict.SUSPECT,
    )


def write_lines(jobs: list[Job], *, now: datetime) -> int:
    """Insert ledger lines. A lead folded again gets only the differences to what its ledger says, as line n + 1."""
    again = [job.lead.pk for job in jobs if job.again]
    standing: dict[tuple[int, str, str, str], tuple[int, int]] = {}
    if again:
        rows = ScoreEntry.objects.filter(lead__in=again).values_list("lead_id", "cause", "rule", "kind")
        for lead_id, cause, rule, kind, points, n in rows.annotate(Sum("points"), Max("n")).order_by():
            standing[lead_id, cause, rule, kind] = (points, n)
    entries = []
    for job in jobs:
        for line in job.result.lines:
            points, n = standing.pop((job.lead.pk, line.cause, line.rule, line.kind), (0, 0))
            if n == 0 or line.points != points:
                entries.append(entry_for(job.lead, line, points=line.points - points, n=n + 1, now=now))
    for (lead_id, cause, rule, kind), (points, n) in standing.items():
        if points:
            entries.append(reversal(lead_id, cause, rule, kind, points=points, n=n, now=now))
    ScoreEntry.objects.bulk_create(entries)
    return len(entries)


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


def reversal(lead_id: int, cause: str, rule: str, kind: str, *, points: int, n: int, now: datetime) -> ScoreEntry:
    """The line that takes back what no longer follows from the facts."""
    first = ScoreEntry.objects.get(lead_id=lead_id, cause=cause, rule=rule, kind=kind, n=1)
    return ScoreEntry(
        lead_id=lead_id,
        first_lead_id=first.first_lead_id,
        axis=first.axis,
        kind=kind,
        cause=cause,
        rule=rule,
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


def write_states(jobs: list[Job], *, live: engine.Model | None) -> None:
    """Store what the engine carries to the next fact."""
    rows = []
    for job in jobs:
        due = job.result.state.next_due
        rows.append(
            FoldState(
                lead=job.lead,
                state=job.result.state.to_json(),
                version_id=live.version if live else None,
                due_at=None if due is None else from_micros(due),
            )
        )
    FoldState.objects.bulk_create(rows, update_conflicts=True, unique_fields=["lead"], update_fields=["state", "version", "due_at"])


def write_leads(jobs: list[Job], *, new: dict[int, list[Event]]) -> None:
    """Write the columns that facts decide: the two sums, names and traits, knownness, the last event."""
    rows = []
    for job in jobs:
        lead, state = job.lead, job.result.state
        lead.engagement, lead.fit = state.engagement, state.fit
        lead.is_known = lead.is_known or state.known
        lead.traits = {key: value for key, value in state.traits.items() if key not in TRAIT_COLUMNS and key != "company"}
        for column, length in TRAIT_COLUMNS.items():
            value = state.traits.get(column)
            if isinstance(value, str) and value:
                setattr(lead, column, value[:length])
        for event in new.get(lead.pk, []):
            if event.type not in STAFF_TYPES and (lead.last_event_at is None or event.at >= lead.last_event_at):
                lead.last_event_at, lead.last_event_type = event.at, event.type
        rows.append([lead.pk, *(getattr(lead, name) for name in LEAD_COLUMNS)])
    update_rows(Lead, rows, columns=LEAD_COLUMNS)
    search.index_leads([job.lead for job in jobs])


LEAD_COLUMNS = ["engagement", "fit", "is_known", "traits", *TRAIT_COLUMNS, "last_event_at", "last_event_type"]


def moves_of(job: Job, *, historical: bool) -> list[gates.Move]:
    """The moves the engine decided for one lead."""
    return [
        gates.Move(
            lead=job.lead,
            from_stage=move.from_stage,
            to_stage=move.to_stage,
            at=from_micros(move.at),
            engagement=move.engagement,
            fit=move.fit,
            gate=move.gate,
            event_id=event_of(move.cause),
            version_id=move.version,
            historical=historical,
        )
        for move in job.result.moves
    ]
