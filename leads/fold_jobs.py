"""What is needed to fold some leads: where to begin, their facts, their recorded moves."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import starmap
from typing import NamedTuple

import msgspec
import structlog
from django.conf import settings
from django.db.models import Count, Q, TextField
from django.db.models.functions import Cast

from leads import engine
from leads.bulk import among
from leads.models import Checkpoint, Event, FoldState, Lead, Stage, Transition
from leads.of_company import OfCompany
from leads.stored_facts import FACT_ORDER, read_company_facts, read_facts
from leads.versions_in_force import Versions, compiled, from_micros, to_micros

log = structlog.get_logger(__name__)

# A history of more facts than this is folded again in the background, without holding the lead meanwhile.
LONG = 5_000
# A state is noted at every so many facts: a late fact is folded from there.
MARK_EVERY = 1_000
MOVE_COLUMNS = ("lead_id", "at", "seq", "from_stage_id", "to_stage_id", "undoes_id", "undone_by__pk")


class StoredState(NamedTuple):
    """A row of FoldState; its JSON as the text that the database writes."""

    pk: int
    version_id: int | None
    again: bool
    error: str
    state: str


@dataclass(slots=True)
class Job:
    """One lead to fold: its facts, where to begin, and what the ledger already says (only when folded `again`).

    `after`: when folded again from a checkpoint, its time; what stands up to then stays. `stored`: its state has a row,
    and nothing but what is carried to the next fact differs in it.
    """

    lead: Lead
    state: engine.State
    facts: list[engine.Fact] = field(default_factory=list)
    past: list[engine.PastMove] = field(default_factory=list)
    again: bool = False
    stored: bool = False
    after: int = engine.EARLIEST
    result: engine.Folded = field(init=False)

    def fold(self, versions: Versions, models: dict[int, engine.Model], stages: Sequence[engine.StageInfo], *, now: datetime) -> None:
        """Compute what the facts are worth."""
        self.result = engine.fold(
            self.state,
            self.facts,
            models,
            stages=stages,
            until=max(to_micros(now), self.facts[-1].at if self.facts else 0),
            live=versions.live.version if versions.live else None,
            past=self.past,
            published=versions.published,
            evidence_points=settings.EVIDENCE_POINTS,
            mark_every=MARK_EVERY,
        )


@dataclass(slots=True)
class Plan:
    """The jobs of some leads, and the leads whose history is too long to be folded again right now."""

    jobs: list[Job]
    postponed: set[int]
    stages: Sequence[engine.StageInfo]


def stage_infos() -> list[engine.StageInfo]:
    """The stages as the engine sees them, in their order."""
    return [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.order_by("position", "pk")]


def plan_jobs(
    leads: dict[int, Lead],
    versions: Versions,
    stages: Sequence[engine.StageInfo],
    *,
    news: dict[int, list[engine.Fact]] | None = None,
    again: set[int] = frozenset(),  # type: ignore[assignment]
    at_any_length: bool = True,
) -> Plan:
    """Decide for each lead whether to fold onwards (its `news`) or again, and load what that needs: one query a kind.

    Folded again are leads in `again` (from the beginning), those whose news lie before what was folded (from the newest
    checkpoint before them), those whose state does not count what the live version asks for, and those whose state makes no sense.
    """
    news = news or {}
    rows = FoldState.objects.filter(pk__in=among(leads)).values_list(*StoredState._fields[:-1], Cast("state", TextField()))
    stored = {row.pk: row for row in starmap(StoredState, rows)}
    late: dict[int, int] = {}
    anew, jobs = set(again & leads.keys()), {}
    for pk, lead in sorted(leads.items()):
        row, facts = stored.get(pk), news.get(pk, [])
        state = None if row is None or pk in anew else state_in(row)
        if row is not None and (state is None or row.again or not is_current(state, row.version_id, versions)):
            anew.add(pk)
        elif state is not None and is_late(state, facts):
            late[pk] = facts[0].at
        jobs[pk] = Job(lead, state or engine.start(stages), facts, stored=row is not None and not row.again and not row.error)
    if anew or late:
        begin_again({pk: jobs[pk] for pk in anew}, late, jobs, versions, stages)
    postponed = set() if at_any_length or not (anew or late) else too_long([jobs[pk] for pk in anew | late.keys()])
    folded = {pk: job for pk, job in jobs.items() if pk not in postponed}
    load_facts([job for job in folded.values() if job.again], versions.of_company)
    load_moves(folded)
    return Plan(list(folded.values()), postponed, stages)


def state_in(row: StoredState) -> engine.State | None:
    """The state in a row; None if what stands there is none, whoever wrote it: the facts know better."""
    try:
        return engine.State.from_text(row.state)
    except msgspec.ValidationError:
        log.exception("state_unreadable", lead=row.pk)
        return None


def is_current(state: engine.State, version_id: int | None, versions: Versions) -> bool:
    """Whether a stored state can be folded onwards: it knows where it stands, and counts what the live version asks for."""
    live = versions.live
    if live is None or version_id == live.version:
        return True
    if version_id is None or state.version not in {each.version for each in versions.published}:
        return False
    return live.counts_within(compiled(version_id))


def is_late(state: engine.State, facts: Sequence[engine.Fact]) -> bool:
    """Whether some of the facts lie before what the state has already seen."""
    if not facts or state.last is None:
        return False
    first = facts[0]
    return (first.at, first.source, first.key) <= state.last or first.at < state.watermark


def begin_again(
    anew: dict[int, Job], late: dict[int, int], jobs: dict[int, Job], versions: Versions, stages: Sequence[engine.StageInfo]
) -> None:
    """Put the jobs of these leads back: to the newest checkpoint before the late fact, else to the beginning.

    Checkpoints that hold what is to be folded again are deleted.
    """
    usable: dict[int, int] = {}
    useless: list[int] = []
    rows = Checkpoint.objects.filter(lead__in=[*anew, *late]).order_by("lead_id", "at").values_list("pk", "lead_id", "at", "version_id")
    for pk, lead_id, at, version_id in rows:
        if lead_id in anew or to_micros(at) >= late[lead_id]:
            useless.append(pk)
        elif versions.live and versions.live.counts_within(compiled(version_id)):
            usable[lead_id] = pk
    states = {row.lead_id: row for row in Checkpoint.objects.filter(pk__in=usable.values())} if usable else {}
    if useless:
        Checkpoint.objects.filter(pk__in=useless).delete()
    published = {each.version for each in versions.published}
    for pk in [*anew, *late]:
        job, row = jobs[pk], states.get(pk)
        job.state, job.facts, job.past, job.again = engine.start(stages), [], [], True
        if row and row.state.get("version") in published:
            job.state, job.after = engine.State.from_json(row.state), to_micros(row.at)


def too_long(jobs: list[Job]) -> set[int]:
    """The leads with more facts to fold again than can be done while others wait."""
    counts = Event.objects.filter(lead__in=[job.lead.id for job in jobs]).order_by().values_list("lead").annotate(Count("pk"))
    total = dict(counts)
    return {job.lead.id for job in jobs if total.get(job.lead.id, 0) - job.state.events > LONG}


# --- loading --------------------------------------------------------------------------------------


def load_facts(jobs: list[Job], of_company: OfCompany) -> None:
    """Load the facts of leads that are folded again, and what their colleagues did and told that is `of_company`."""
    if not jobs:
        return
    by_lead = {job.lead.id: job for job in jobs}
    whole = [pk for pk, job in by_lead.items() if job.after == engine.EARLIEST]
    partly = {pk: job.after for pk, job in by_lead.items() if job.after > engine.EARLIEST}
    wanted = Q(lead__in=whole)
    if partly:
        wanted |= Q(lead__in=partly, at__gt=from_micros(min(partly.values())))
    for fact, lead_id in read_facts(Event.objects.filter(wanted), "lead_id"):
        by_lead[lead_id].facts.append(fact)
    shared = read_company_facts({job.lead.company_id for job in jobs if job.lead.company_id}, of_company)
    for pk, job in by_lead.items():
        job.facts += [fact for lead_id, fact in shared.get(job.lead.company_id or 0, ()) if lead_id != pk]
        if job.after > engine.EARLIEST:
            job.facts = [fact for fact in job.facts if fact.at > job.after]
        job.facts.sort(key=FACT_ORDER)


def load_moves(jobs: dict[int, Job]) -> None:
    """Load the recorded moves that the states do not know yet."""
    behind = [pk for pk, job in jobs.items() if job.lead.stage_seq != job.state.seq]
    if not behind:
        return
    rows = Transition.objects.filter(lead__in=behind).order_by("lead_id", "seq")
    for lead_id, at, seq, from_stage, to_stage, undoes, undone in rows.values_list(*MOVE_COLUMNS):
        if seq > jobs[lead_id].state.seq:
            neutral = undoes is not None or undone is not None
            jobs[lead_id].past.append(engine.PastMove(to_micros(at), seq, str(from_stage), str(to_stage), neutral))


def versions_of(jobs: Iterable[Job]) -> Iterator[int | None]:
    """Every version that facts are pinned to, or that gave points which are still to expire."""
    for job in jobs:
        yield from {fact.version for fact in job.facts}
        yield from (expiry.version for expiry in job.state.expiries)
