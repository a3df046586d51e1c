"""The gate simulator: who would pass now if the draft were live from now on. The mass-move fuse (leads/fuse.py) asks the same way."""

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from django.utils import timezone

from leads.engine import Folded, NewMove, State, start, what_is_missing
from leads.fold_jobs import is_current
from leads.histories import History, next_leads, read_histories
from leads.models import FoldState, Lead
from leads.replay import Replay
from leads.versions_in_force import compiled


@dataclass(frozen=True, slots=True)
class Passing:
    """One lead that would pass a gate, with its score then, and why: the conditions that hold, in short."""

    lead: int
    score: int
    from_stage: str
    to_stage: str
    gate: str
    why: tuple[str, ...]


# The hottest first; each is different in the first three.
Ranked = tuple[int, int, int, Passing]


@dataclass(slots=True)
class Simulation:
    """How many leads would move, how many through each gate, and the hottest of those."""

    count: int = 0
    looked_at: int = 0
    is_whole: bool = True
    by_gate: dict[str, int] = field(default_factory=dict)
    moves: dict[str, list[Passing]] = field(default_factory=dict)


def simulate(document: dict[str, Any], *, limit: int, seconds: float | None = None) -> Simulation:
    """Who would pass now if this model were published from now on. Of each gate at most `limit` leads, the hottest.

    With `seconds` it stops after that time, and says so in `is_whole`.
    """
    replay = Replay(document, timezone.now())
    found, ends = Simulation(), None if seconds is None else time.monotonic() + seconds
    hottest: dict[str, list[Ranked]] = {}
    for pks in chunks():
        if ends is not None and time.monotonic() > ends:
            found.is_whole = False
            break
        for pk, before, folded in published(pks, replay):
            found.count += bool(folded.moves)
            for place, move in enumerate(folded.moves):
                found.by_gate[move.gate] = found.by_gate.get(move.gate, 0) + 1
                rank(hottest.setdefault(move.gate, []), limit, replay, pk, before, folded, place)
        found.looked_at += len(pks)
    found.moves = {gate: [each[3] for each in sorted(ranked, reverse=True)] for gate, ranked in hottest.items()}
    return found


def rank(ranked: list[Ranked], limit: int, replay: Replay, pk: int, before: State, folded: Folded, place: int) -> None:
    """Add one move to the hottest of its gate (a heap), if it is one of them; only then it is asked why."""
    move, score = folded.moves[place], folded.state.score
    if len(ranked) == limit and (score, -pk, place) < ranked[0][:3]:
        return
    passing = Passing(pk, score, move.from_stage, move.to_stage, move.gate, why(replay, before, folded, place))
    add = heapq.heappush if len(ranked) < limit else heapq.heappushpop
    add(ranked, (score, -pk, place, passing))


def chunks() -> Iterator[list[int]]:
    """All leads, in the order of ids, as many as are read at a time."""
    after = 0
    while pks := next_leads(after):
        after = pks[-1]
        yield pks


def folds(pks: list[int], replay: Replay, *, history: bool) -> Iterator[Folded]:
    """These leads as they would be, with or without their past scored anew."""
    if not history:
        return (folded for _, _, folded in published(pks, replay))
    return (replay.rescored(each) for each in read_histories(pks, company_types=replay.company_types))


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
    for history in read_histories(sorted(again), company_types=replay.company_types) if again else ():
        yield history.lead.pk, stood(history, replay), replay.published_now(history)


def is_usable(state: State, version_id: int | None, replay: Replay) -> bool:
    """Whether a stored state counts what the model tried out asks for."""
    if version_id is None or not is_current(state, version_id, replay.versions):
        return False
    return replay.tried.counts_within(compiled(version_id))


def stood(history: History, replay: Replay) -> State:
    """Where a lead stands and since when, as its recorded moves say."""
    last = history.past[-1] if history.past else None
    return replace(start(replay.stages), stage=history.lead.stage, stage_at=last.at if last else None)


def why(replay: Replay, before: State, folded: Folded, place: int) -> tuple[str, ...]:
    """The conditions of the gate that hold for the move at this place of the chain."""
    move: NewMove = folded.moves[place]
    since = folded.moves[place - 1].at if place else before.stage_at
    state = replace(folded.state, stage=move.from_stage, stage_at=since)
    missing = what_is_missing(state, replay.tried, stages=replay.stages, now=move.at)
    checks = next((checks for gate, checks in missing if gate.key == move.gate), [])
    return tuple(f"{check.text} ({check.current})" for check in checks if check.ok)
