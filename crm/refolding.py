"""Every lead folded again from its facts: to compare (`verify`) and to put right (`rebuild`)."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import batched
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from leads import engine, scoring
from leads.fold_jobs import plan_jobs, stage_infos, versions_of
from leads.models import Delivery, Event, FoldState, Lead
from leads.standing import LineKey, Standing, standing_lines
from leads.versions_in_force import read_versions

# Leads folded in one transaction: they are locked for as long as that takes.
CHUNK = 100
# Bookkeeping that depends on when somebody looked, not on the facts.
NOT_COMPARED = {"clock", "watermark", "moves", "wake", "marked"}


def differences() -> Iterator[dict[str, Any]]:
    """Fold every lead afresh, as of when it was folded last, and yield what differs from what is stored.

    Each row names the lead and what differs: `ledger`, `points`, `stage`, `state`, `never folded` or `could not be folded`. Leads with a
    delivery that still waits for its automation are left out: they are folded when that is tried again.
    """
    waiting = Event.objects.filter(delivery__state__in=[Delivery.State.PENDING, Delivery.State.FAILED]).values("lead")
    pks = Lead.objects.current().exclude(pk__in=waiting).order_by("pk").values_list("pk", flat=True)
    for chunk in batched(list(pks), CHUNK):
        with transaction.atomic():
            found = list(compare(scoring.lock_leads(chunk)))
        yield from found


def compare(leads: dict[int, Lead]) -> Iterator[dict[str, Any]]:
    """Fold these locked leads afresh and yield what differs."""
    stages, versions = stage_infos(), read_versions()
    stored = FoldState.objects.in_bulk(leads)
    ledger = standing_lines(leads)
    for job in plan_jobs(leads, versions, stages, again=set(leads)).jobs:
        row = stored.get(job.lead.pk)
        if row is None:
            if job.facts or ledger.get(job.lead.pk):
                yield {"lead": job.lead.uid, "what": "never folded", "facts": len(job.facts)}
            continue
        if row.error:
            yield {"lead": job.lead.uid, "what": "could not be folded", "error": row.error}
            continue
        try:
            state = engine.State.from_json(row.state)
        except msgspec.ValidationError as error:
            yield {"lead": job.lead.uid, "what": "state cannot be read; rebuild this lead", "error": str(error)}
            continue
        then = versions.up_to(row.version_id)
        folded = engine.fold(
            job.state,
            job.facts,
            then.models(versions_of([job])),
            stages=stages,
            until=state.clock,
            live=row.version_id,
            past=[move for move in job.past if move.seq <= state.seq],  # a move by hand is seen by the next fold
            published=then.published,
            evidence_points=settings.EVIDENCE_POINTS,
        )
        due_at = None if state.next_due is None else scoring.from_micros(state.next_due)
        if row.due_at != due_at:
            yield {"lead": job.lead.uid, "what": "due_at", "fresh": due_at, "stored": row.due_at}
        for what, fresh, here in contradictions(job.lead, state, folded, ledger.get(job.lead.pk, {})):
            yield {"lead": job.lead.uid, "what": what, "fresh": fresh, "stored": here}


def contradictions(
    lead: Lead, state: engine.State, folded: engine.Folded, ledger: Mapping[LineKey, Standing]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (what, as the fresh fold has it, as it is stored) for everything that differs."""
    fresh: Counter[tuple[str, str, str]] = Counter()
    for line in folded.lines:
        fresh[line.cause, line.rule, line.kind] += line.points
    for key in sorted(fresh.keys() | ledger.keys()):
        stands = ledger[key].points if key in ledger else 0
        if fresh.get(key, 0) != stands:
            yield f"ledger: {' '.join(key)}", fresh.get(key, 0), stands
    if (folded.state.engagement, folded.state.fit) != (lead.engagement, lead.fit):
        yield "points", [folded.state.engagement, folded.state.fit], [lead.engagement, lead.fit]
    if folded.moves or (state.seq == lead.stage_seq and folded.state.stage != lead.stage_id):
        yield "stage", folded.state.stage, lead.stage_id
    mine, theirs = plain(folded.state), plain(state)
    for name in sorted(mine.keys() | theirs.keys()):
        if mine.get(name) != theirs.get(name):
            yield f"state: {name}", mine.get(name), theirs.get(name)


def plain(state: engine.State) -> dict[str, Any]:
    """A state as the JSON that is stored, without what is not compared."""
    data: dict[str, Any] = json.loads(json.dumps(state.to_json()))
    return {name: value for name, value in data.items() if name not in NOT_COMPARED}


def rebuild(pks: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Fold these leads again and append what differs to their ledgers; yields (leads, lines appended) for each chunk.

    Historical: if a rebuild moves a lead on, there is an owner and a task, but no mail and no chat.
    """
    for chunk in batched(list(pks), CHUNK):
        yield len(chunk), scoring.refold(chunk, now=timezone.now(), historical=True)


def rebuildable() -> list[int]:
    """Ids of all leads that have facts or lines."""
    counted = Lead.objects.current().annotate(facts=Count("events", distinct=True))
    return list(counted.exclude(facts=0, fold_state=None).order_by("pk").values_list("pk", flat=True))
