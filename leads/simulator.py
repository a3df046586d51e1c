"""The gate simulator: who would pass now if the draft were live from now on. The mass-move fuse (leads/fuse.py) asks the same way."""

from bisect import insort
from collections.abc import Iterator
from time import monotonic
from typing import Any

import msgspec
from django.utils import timezone

from leads.engine import Folded, NewMove, State, start, what_is_missing
from leads.fold_jobs import is_current
from leads.histories import History, next_leads, read_histories
from leads.models import FoldState, Lead, ScoringVersion
from leads.replay import Replay
from leads.versions_in_force import compiled

# Leads that are named for each gate.
SHOWN = 25


class Outdated(Exception):
    """Another version went live meanwhile: half of the numbers would be about one, half about the other."""


class Passing(msgspec.Struct, frozen=True):
    """One lead that would pass a gate, with its score then, and why: the conditions that hold, in short.

    `place`: which of its moves it is, when it passes several gates at once.
    """

    lead: int
    score: int
    from_stage: str
    to_stage: str
    gate: str
    why: tuple[str, ...]
    place: int = 0


class Simulation(msgspec.Struct):
    """How many leads would move, how many through each gate, and the hottest of those.

    `live` is the id of the version that was live; `next_lead` the id after which it goes on, unless it `is_whole`.
    """

    live: int | None = None
    next_lead: int = 0
    count: int = 0
    looked_at: int = 0
    is_whole: bool = False
    by_gate: dict[str, int] = msgspec.field(default_factory=dict)
    moves: dict[str, list[Passing]] = msgspec.field(default_factory=dict)


def begin() -> Simulation:
    """Nobody looked at yet."""
    return Simulation(live=live_now())


def live_now() -> int | None:
    """The id of the version that is live."""
    return ScoringVersion.objects.order_by("-number").values_list("pk", flat=True).first()


def simulate(document: dict[str, Any], *, limit: int = SHOWN, seconds: float | None = None) -> Simulation:
    """Who would pass now if this model were published from now on. Of each gate at most `limit` leads, the hottest.

    With `seconds` it stops after that time, and can be gone on with. It begins again when another version goes live meanwhile.
    """
    found, begun = begin(), monotonic()
    try:
        for _ in look(document, found, limit=limit):
            if seconds is not None and monotonic() - begun > seconds:
                break
    except Outdated:
        return simulate(document, limit=limit, seconds=seconds)
    return found


def look(document: dict[str, Any], found: Simulation, *, limit: int = SHOWN) -> Iterator[int]:
    """Look at the leads after `found.next_lead`, adding to it; yields after each chunk how many leads that were. Raises Outdated."""
    replay = Replay(document, timezone.now())
    while pks := next_leads(found.next_lead):
        if live_now() != found.live:
            raise Outdated("Another version was published meanwhile. Look again to see who would pass after that.")
        for pk, before, folded in published(pks, replay):
            found.count += bool(folded.moves)
            for place, move in enumerate(folded.moves):
                found.by_gate[move.gate] = found.by_gate.get(move.gate, 0) + 1
                rank(found.moves.setdefault(move.gate, []), limit, replay, pk, before, folded, place)
        found.looked_at += len(pks)
        found.next_lead = pks[-1]
        yield len(pks)
    found.is_whole = True


def rank(hottest: list[Passing], limit: int, replay: Replay, pk: int, before: State, folded: Folded, place: int) -> None:
    """Add one move to the hottest of its gate, if it is one of them; only then it is asked why."""
    move = folded.moves[place]
    passing = Passing(pk, folded.state.score, move.from_stage, move.to_stage, move.gate, (), place)
    if len(hottest) == limit and hottest_first(passing) >= hottest_first(hottest[-1]):
        return
    insort(hottest, msgspec.structs.replace(passing, why=why(replay, before, folded, place)), key=hottest_first)
    del hottest[limit:]


def hottest_first(passing: Passing) -> tuple[int, int, int]:
    """The key that sorts them so; each is different."""
    return -passing.score, passing.lead, passing.place


def folds(pks: list[int], replay: Replay, *, history: bool) -> Iterator[Folded]:
    """These leads as they would be, with or without their past scored anew."""
    if not history:
        return (folded for _, _, folded in published(pks, replay))
    return (replay.rescored(each) for each in read_histories(pks, of_company=replay.of_company))


def published(pks: list[int], replay: Replay) -> Iterator[tuple[int, State, Folded]]:
    """These leads, known ones only: how they stand, and what publishing from now on would do.

    What the engine carries of a lead is enough, unless the model counts something that was not counted before.
    """
    known = dict(Lead.objects.filter(pk__in=pks, is_known=True).values_list("pk", "stage_seq"))
    again = set(known)
    for row in FoldState.objects.filter(pk__in=known, again=False, error=""):
        state = State.from_json(row.state)
        if not is_usable(state, row.version_id, replay) or state.seq != known[row.pk]:
            continue
        folded = replay.published_after(state)
        if not folded.switched:
            again.discard(row.pk)
            yield row.pk, state, folded
    for history in read_histories(sorted(again), of_company=replay.of_company) if again else ():
        yield history.lead.pk, stood(history, replay), replay.published_now(history)


def is_usable(state: State, version_id: int | None, replay: Replay) -> bool:
    """Whether a stored state counts what the model tried out asks for."""
    if version_id is None or not is_current(state, version_id, replay.versions):
        return False
    return replay.tried.counts_within(compiled(version_id))


def stood(history: History, replay: Replay) -> State:
    """Where a lead stands and since when, as its recorded moves say."""
    last = history.past[-1] if history.past else None
    return msgspec.structs.replace(start(replay.stages), stage=history.lead.stage, stage_at=last.at if last else None)


def why(replay: Replay, before: State, folded: Folded, place: int) -> tuple[str, ...]:
    """The conditions of the gate that hold for the move at this place of the chain."""
    move: NewMove = folded.moves[place]
    since = folded.moves[place - 1].at if place else before.stage_at
    state = msgspec.structs.replace(folded.state, stage=move.from_stage, stage_at=since)
    missing = what_is_missing(state, replay.tried, stages=replay.stages, now=move.at)
    checks = next((checks for gate, checks in missing if gate.key == move.gate), [])
    return tuple(f"{check.text} ({check.current})" for check in checks if check.ok)
