"""What-if: a model against the live one over the last days of real events, computed in the background, chunk by chunk.

A chunk reads some leads, folds them in memory and adds what it found to the row, which also says where to go on:
whoever takes over after a kill does. Nothing but that row is written.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import structlog
from django.db.models.functions import Now
from django.db.utils import OperationalError
from django.utils import timezone

from leads.bell import ring
from leads.histories import next_leads, read_histories
from leads.models import Lead, Rescore, ScoringVersion, User, WhatIf
from leads.replay import Replay
from leads.versions_in_force import to_micros
from leads.whatif_result import Tally, dump, load

log = structlog.get_logger(__name__)

TASK = "leads.tasks.run_what_ifs"
# Longer than any chunk takes, and short, so that a killed one goes on soon.
LEASE = timedelta(minutes=2)
LONGEST = 365


class Stopped(Exception):
    """Somebody canceled it, or another worker has it now."""


class Outdated(Exception):
    """Another version went live meanwhile: half of the numbers would compare with one, half with the other."""


def start(document: dict[str, Any], *, days: int, by_user: User | None = None) -> WhatIf:
    """Let the workers compare this model with the live one."""
    what_if = WhatIf.objects.create(document=document, days=days, leads=Lead.objects.current().count(), by_user=by_user)
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
    """Compare the leads that are left, chunk by chunk. Raises Stopped."""
    tally = load(what_if.result) if what_if.result else begin(what_if.days)
    ended: dict[str, Any] = {"state": WhatIf.State.DONE}
    try:
        for done in compare(what_if.document, tally):
            save(what_if, token, done=what_if.done + done, result=dump(tally), lease_until=Now() + LEASE, claim_count=1)
        ended["result"] = dump(tally)
    except (Stopped, OperationalError):
        raise
    except Outdated as error:
        ended = {"state": WhatIf.State.FAILED, "error": str(error)}
    except Exception as error:
        log.exception("what_if_failed", what_if=what_if.pk, after_lead=tally.next_lead, error=type(error).__name__)
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
        lines = {history.lead.pk: tally.add(history, replay) for history in read_histories(pks, company_types=replay.company_types)}
        tally.settle(lines)
        tally.next_lead = pks[-1]
        yield len(pks)
