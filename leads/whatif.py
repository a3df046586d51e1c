"""Trying out a model on all leads in the background, chunk by chunk: against the live one (what-if), or who passes now (simulator).

A chunk reads some leads, folds them in memory and adds what it found to the row, which also says where to go on:
whoever takes over after a kill does. Nothing but that row is written.
"""

import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from django.db.models.functions import Now
from django.db.utils import OperationalError
from django.utils import timezone

from leads.bell import ring
from leads.collector import without_collector
from leads.histories import next_leads, read_histories
from leads.models import Lead, Rescore, ScoringVersion, User, WhatIf
from leads.replay import Replay
from leads.simulator import Outdated, Simulation, look, simulate
from leads.versions_in_force import to_micros
from leads.whatif_result import Tally

log = structlog.get_logger(__name__)

TASK = "leads.tasks.run_what_ifs"
# Longer than any chunk takes, and short, so that a killed one goes on soon.
LEASE = timedelta(minutes=2)
LONGEST = 365


class Stopped(Exception):
    """Somebody canceled it, or another worker has it now."""


def start(document: dict[str, Any], *, days: int, by_user: User | None = None) -> WhatIf:
    """Let the workers compare this model with the live one."""
    return ask(WhatIf(document=document, days=days, by_user=by_user))


def start_simulation(document: dict[str, Any], *, seconds: float, by_user: User | None = None) -> WhatIf:
    """Let the workers go on with what can be found in these seconds about who would pass a gate now."""
    found = simulate(document, seconds=seconds)
    simulation = WhatIf(kind=WhatIf.Kind.SIMULATION, document=document, days=0, by_user=by_user)
    simulation.done, simulation.result = found.looked_at, msgspec.to_builtins(found)
    return ask(simulation)


def ask(what_if: WhatIf) -> WhatIf:
    """Save it, and ring for the workers."""
    what_if.leads = Lead.objects.current().count()
    what_if.save()
    ring(TASK)
    return what_if


def cancel(what_if: WhatIf) -> bool:
    """Stop it; the worker notices after its chunk. False when it had come to an end."""
    running = WhatIf.objects.filter(pk=what_if.pk, state=WhatIf.State.RUNNING)
    return bool(running.update(state=WhatIf.State.CANCELED, result={}, done_at=timezone.now(), **WhatIf.released()))


def go_on(what_if: WhatIf) -> None:
    """Free one whose workers died too often, and let them try again."""
    WhatIf.objects.stuck().filter(pk=what_if.pk, state=WhatIf.State.RUNNING).update(**WhatIf.released())
    ring(TASK)


def forget(leads: Collection[int]) -> None:
    """Take people out of what simulations have found: why somebody would pass quotes what is known of them.

    One that runs is taken from its worker, who may know more than the row says; it goes on from the row.
    """
    for simulation in WhatIf.objects.filter(kind=WhatIf.Kind.SIMULATION).select_for_update():
        if simulation.result:
            found = msgspec.convert(simulation.result, Simulation)
            found.moves = {gate: [each for each in hottest if each.lead not in leads] for gate, hottest in found.moves.items()}
            simulation.result = msgspec.to_builtins(found)
            WhatIf.objects.filter(pk=simulation.pk).update(result=simulation.result, **WhatIf.released())
    ring(TASK)


# --- the work ------------------------------------------------------------------------------------


def waits_for() -> ScoringVersion | None:
    """The version under which leads are still being looked at anew: until that is done, what stands is half of one, half of the other."""
    job = Rescore.objects.select_related("version").filter(state=Rescore.State.RUNNING).first()
    return job.version if job else None


def run_all_due() -> None:
    """Run every what-if that somebody asked for, to its end."""
    while waits_for() is None:
        token, pks = WhatIf.objects.due(timezone.now()).only("pk").claim(1, lease=LEASE)
        if not pks:
            return
        try:
            run(WhatIf.objects.get(pk=pks[0]), token)
        except Stopped:
            log.info("what_if_stopped", what_if=pks[0])


def run(what_if: WhatIf, token: uuid.UUID) -> None:
    """Look at the leads that are left, chunk by chunk. Raises Stopped."""
    trial = TRIALS[WhatIf.Kind(what_if.kind)]
    found = msgspec.convert(what_if.result, trial.result) if what_if.result else begin(what_if.days)
    ended: dict[str, Any] = {"state": WhatIf.State.DONE}
    try:
        for done in trial.go_on(what_if.document, found):
            save(what_if, token, done=what_if.done + done, result=msgspec.to_builtins(found), lease_until=Now() + LEASE, claim_count=1)
        ended["result"] = msgspec.to_builtins(found)
    except (Stopped, OperationalError):
        raise
    except Outdated as error:
        ended = {"state": WhatIf.State.FAILED, "error": str(error)}
    except Exception as error:
        log.exception("what_if_failed", what_if=what_if.pk, after_lead=found.next_lead, error=type(error).__name__)
        ended = {"state": WhatIf.State.FAILED, "error": "It could not be computed; the log says why."}
    save(what_if, token, done=what_if.done, done_at=timezone.now(), **ended, **WhatIf.released())


def save(what_if: WhatIf, token: uuid.UUID, *, done: int, **changes: Any) -> None:
    """Write to the row, if it is still this worker's. Raises Stopped."""
    mine = WhatIf.objects.filter(pk=what_if.pk, claim_token=token, state=WhatIf.State.RUNNING)
    if not mine.update(done=done, **changes):
        raise Stopped
    what_if.done = done


def begin(days: int) -> Tally:
    """Nothing found yet. The days are those before now."""
    now, live = timezone.now(), ScoringVersion.live()
    since = to_micros(now - timedelta(days=days))
    return Tally(live=live.pk if live else None, number=live.number if live else None, since=since, until=to_micros(now))


def compare(document: dict[str, Any], tally: Tally) -> Iterator[int]:
    """Compare the leads after `tally.next_lead`, adding to it; yields after each chunk how many leads that were."""
    while pks := next_leads(tally.next_lead):
        replay = Replay(document, timezone.now())
        if replay.live != tally.live:
            raise Outdated("Another version was published meanwhile. Start it again to compare with that.")
        with without_collector():
            lines = {history.lead.pk: tally.add(history, replay) for history in read_histories(pks, of_company=replay.of_company)}
            tally.settle(lines)
        tally.next_lead = pks[-1]
        yield len(pks)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a kind of it is computed: what its result is, and what adds some more leads to that until none is left."""

    result: type[Tally | Simulation]
    go_on: Callable[[dict[str, Any], Any], Iterator[int]]


TRIALS = {WhatIf.Kind.COMPARISON: Trial(Tally, compare), WhatIf.Kind.SIMULATION: Trial(Simulation, look)}
