"""The engine meets the database: what the facts of some leads are worth is computed, and the difference written."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import FETCH_PEERS, Count, Max, Q
from django.utils import timezone

from leads import engine, gates
from leads.bulk import among
from leads.colleagues import as_colleague, concerned_by, keys_of, news_for_colleagues, people_of, shared_events
from leads.collector import without_collector
from leads.fold_jobs import Job, Plan, plan_jobs, stage_infos, versions_of
from leads.fold_writes import event_of, mark_failed, postpone, save_states, write_leads, write_lines, write_states
from leads.models import Event, FoldState, Lead, Transition
from leads.of_company import OfCompany
from leads.recording import Recorded
from leads.stored_facts import FACT_ORDER, fact_of
from leads.versions_in_force import Versions, compiled, from_micros, live_model, read_versions, to_micros

__all__ = ["compiled", "event_of", "from_micros", "live_model", "to_micros"]

# How often a long history is folded anew because something happened meanwhile, before it waits a while.
TRIES = 5
# Columns of a lead that few groups of events look at; a group that does asks for all its leads at once.
RARE = ("traits", "phone", "value", "currency", "first_source", "created_at")
WAIT = timedelta(minutes=1)


def score_events(*, events: Sequence[Event], recorded: Recorded, **kwargs: Any) -> None:
    """Score newly stored events: ledger lines, the leads' columns, and the moves they cause. Receiver of events_recorded.

    A lead whose new events all lie after what was folded is folded onwards; any other one (late facts, merged history,
    counters new in a version) is folded again. Colleagues are folded too where an event counts for the whole company.
    """
    by_lead: dict[int, list[Event]] = {}
    for event in events:
        if event.id not in recorded.joined:
            by_lead.setdefault(event.lead_id, []).append(event)
    historical = {pk for pk, news in by_lead.items() if all(event.historical for event in news)}
    leads, versions = {event.lead_id: event.lead for event in events}, read_versions()
    news = news_for_colleagues([event for found in by_lead.values() for event in found], versions.of_company)
    more = (people_of(news) if news else set()) | recorded.refold
    leads |= lock_leads(more - leads.keys())
    facts = facts_of(leads.values(), by_lead, news, versions.of_company)
    fold_leads(leads, versions, facts=facts, new=by_lead, again=recorded.refold, now=recorded.now, historical=historical)


def facts_of(
    leads: Iterable[Lead], by_lead: dict[int, list[Event]], news: dict[int, list[Event]], of_company: OfCompany
) -> dict[int, list[engine.Fact]]:
    """The new facts about each lead in their order: its own, and what its colleagues did and told that is `of_company`."""
    own = {event.id: fact_of(event) for events in by_lead.values() for event in events}
    keys = keys_of(news) if news and of_company.facts else {}
    shared: dict[int, list[tuple[int, engine.Fact]]] = {company: [] for company in news}
    for company, events in news.items():
        for event in events:
            if theirs := as_colleague(own[event.id], keys.get(company), of_company):
                shared[company].append((event.lead_id, theirs))
    facts = {}
    for lead in leads:
        pk = lead.id
        mine = [own[event.id] for event in by_lead.get(pk, ())]
        mine += [fact for lead_id, fact in shared.get(lead.company_id or 0, ()) if lead_id != pk]
        facts[pk] = sorted(mine, key=FACT_ORDER) if len(mine) > 1 else mine
    return facts


def refold(lead_pks: Iterable[int], *, now: datetime, historical: bool = False) -> int:
    """Fold these leads again from all their facts; returns the number of ledger lines appended (0: nothing differed)."""
    with without_collector(), transaction.atomic():
        leads = lock_leads(lead_pks)
        again = set(leads)
        return fold_leads(leads, read_versions(), again=again, now=now, historical=again if historical else set(), at_any_length=True)


def concerned_by_moves(companies: Iterable[int | None]) -> set[int]:
    """Everybody of whom something else may hold because somebody joined or left one of these companies."""
    wanted = {company for company in companies if company is not None}
    return concerned_by(wanted, read_versions().of_company) if wanted else set()


def follow_hand_moves(*, transitions: Sequence[Transition], now: datetime, **kwargs: Any) -> None:
    """Fold leads that were moved by hand, or offered again, onwards, so that the gates of their new stage are tried.

    Receiver of leads_transitioned.
    """
    leads = {transition.lead_id: transition.lead for transition in transitions if not transition.gate}
    undone = {transition.lead_id for transition in transitions if transition.undoes_id}
    if leads:
        fold_leads(leads, read_versions(), again=undone, now=now)


def colleagues_of(lead_pks: Iterable[int], types: Iterable[str], *, told: bool) -> set[int]:
    """Everybody who is folded too when these leads do things of these types: their companies' people, if any counts for all.

    `told`: something is said about companies.
    """
    of_company = read_versions().of_company
    if of_company.types.isdisjoint(types) and not (told and of_company.facts):
        return set()
    return people_of(Lead.objects.filter(pk__in=among(lead_pks)).exclude(company=None).values("company").distinct())


# --- what time brings -----------------------------------------------------------------------------


def apply_due(now: datetime, *, limit: int = 200) -> int:
    """Apply score changes that the passing of time brings (expiries, idleness, gates that waited), and fold long histories
    that were left to the background, for at most `limit` leads; returns how many leads.
    """
    token, pks = FoldState.objects.due(now).only("pk").claim(limit, lease=timedelta(minutes=5))
    if not pks:
        return 0
    long = set(FoldState.objects.filter(pk__in=pks, again=True).values_list("pk", flat=True))
    with transaction.atomic():
        fold_leads(lock_leads(set(pks) - long), read_versions(), now=now)
    for pk in sorted(long):
        refold_long(pk, now=now)
    FoldState.objects.filter(pk__in=pks, claim_token=token).update(**FoldState.released())
    return len(pks)


def apply_all_due() -> None:
    """Apply every score change that is due now."""
    while apply_due(timezone.now()):
        pass


def refold_long(pk: int, *, now: datetime) -> None:
    """Fold a long history again without holding the lead meanwhile.

    1. Read and fold without a lock. 2. Lock; if nothing has happened meanwhile, write the difference. 3. Else begin again,
    and after some tries wait a while.
    """
    for _ in range(TRIES):
        lead = Lead.objects.current().select_related("company").filter(pk=pk).first()
        if lead is None:
            return
        versions, seen = read_versions(), signature(lead)
        plan = plan_jobs({pk: lead}, versions, stage_infos(), again={pk})
        failed = fold_jobs(plan, versions, now=now)
        with transaction.atomic():
            locked = lock_leads([pk]).get(pk)
            if locked is None or signature(locked) != seen or read_versions() != versions:
                continue
            for job in plan.jobs:
                job.lead = locked
            write(plan.jobs, failed, versions, new={}, now=now, historical=set())
            return
    FoldState.objects.filter(pk=pk).update(due_at=now + WAIT)


def signature(lead: Lead) -> tuple[Any, ...]:
    """What changes whenever something happens to a lead that its fold depends on."""
    own = Event.objects.filter(lead=lead).aggregate(Max("pk"), Count("pk"), suspect=Count("pk", filter=Q(verdict=Event.Verdict.SUSPECT)))
    of_company = read_versions().of_company
    company = shared_events([lead.company_id], of_company).aggregate(Max("pk"), Count("pk")) if lead.company_id and of_company else {}
    return (lead.stage_seq, lead.company_id, *own.values(), *company.values())


# --- folding --------------------------------------------------------------------------------------


def lock_leads(pks: Iterable[int]) -> dict[int, Lead]:
    """Lock these leads in pk order."""
    pks = list(pks)
    if not pks:
        return {}
    rows = Lead.objects.filter(pk__in=among(pks)).defer(*RARE).fetch_mode(FETCH_PEERS).order_by("pk")
    return {lead.id: lead for lead in rows.select_for_update(no_key=True)}


def fold_leads(
    leads: dict[int, Lead],
    versions: Versions,
    *,
    facts: dict[int, list[engine.Fact]] | None = None,
    new: dict[int, list[Event]] | None = None,
    again: set[int] = frozenset(),  # type: ignore[assignment]
    now: datetime,
    historical: set[int] = frozenset(),  # type: ignore[assignment]
    at_any_length: bool = False,
) -> int:
    """Fold the given locked leads and write what changed; the number of statements does not depend on how many they are.

    `facts` are to be folded onwards (`new`: the leads' own events among them); leads in `again` are folded from the
    beginning. Long histories are left to the background unless `at_any_length`. Returns the ledger lines appended.
    """
    leads = {pk: lead for pk, lead in leads.items() if lead.merged_into_id is None}  # merged meanwhile: the survivor has its facts
    if not leads:
        return 0
    stages = stage_infos()
    plan = plan_jobs(leads, versions, stages, news=facts, again=again, at_any_length=at_any_length)
    failed = fold_jobs(plan, versions, now=now)
    if switched := {job.lead.id for job in plan.jobs if job.result.switched}:
        rest = plan_jobs({pk: leads[pk] for pk in switched}, versions, stages, again=switched, at_any_length=at_any_length)
        failed += fold_jobs(rest, versions, now=now)
        plan.jobs = [job for job in plan.jobs if not job.result.switched] + rest.jobs
        plan.postponed |= rest.postponed
    postpone(plan, now=now)
    return write(plan.jobs, failed, versions, new=new or {}, now=now, historical=historical)


def fold_jobs(plan: Plan, versions: Versions, *, now: datetime) -> list[FoldState]:
    """Compute every job. One that the engine fails on is taken out of the plan; returns the marks of those."""
    models, failed = versions.models(versions_of(plan.jobs)), []
    done = []
    for job in plan.jobs:
        try:
            job.fold(versions, models, plan.stages, now=now)
        except Exception as error:
            failed.append(mark_failed(job, error, now=now))
        else:
            done.append(job)
    plan.jobs = done
    return failed


def write(
    jobs: list[Job], failed: list[FoldState], versions: Versions, *, new: dict[int, list[Event]], now: datetime, historical: set[int]
) -> int:
    """Write what the jobs found, and make their moves."""
    appended = write_lines(jobs, now=now)
    write_states(jobs, live=versions.live)
    if failed:
        save_states(failed)
    write_leads(jobs, new=new)
    gates.move_leads([move for job in jobs for move in moves_of(job, historical=job.lead.id in historical)], now=now)
    return appended


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
