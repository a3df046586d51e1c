"""The pure heart: fold facts, in fact order, into points with reasons and moves between stages.

No ORM, no clock, no I/O, integers only; times are µs since 1970, UTC. The same input gives the same
output, byte for byte, whether facts come one by one or all at once. At one moment: what expires, then
idleness, publications, gates that waited for the time; then facts, each with fit, rules by key, limits,
and gates by position; then recorded moves.

Which version decides: rules are the fact's own (its pin); fit, idle rules and what time opens belong to
the version in force at that moment; gates to the later of the two; exclusion to the live one.
"""

from collections.abc import Mapping, Sequence

from leads.condition_nodes import Check, explain
from leads.fold_facts import Fact, Folded, Line, Mark, NewMove, PastMove
from leads.fold_state import EARLIEST, Published, StageInfo, State, start
from leads.fold_traits import is_excluded
from leads.folding import Folding
from leads.scoring_model import Gate, Model, ModelError, compile_model

__all__ = [
    "EARLIEST",
    "Fact",
    "Folded",
    "Gate",
    "Line",
    "Mark",
    "Model",
    "ModelError",
    "NewMove",
    "PastMove",
    "Published",
    "StageInfo",
    "State",
    "compile_model",
    "fold",
    "start",
    "what_is_missing",
]


def fold(
    state: State,
    facts: Sequence[Fact],
    models: Mapping[int, Model],
    *,
    stages: Sequence[StageInfo],
    until: int,
    live: int | None,
    past: Sequence[PastMove] = (),
    published: Sequence[Published] | None = None,
    evidence_points: int = 20,
    mark_every: int | None = None,
) -> Folded:
    """Fold facts into a state.

    `facts` come in fact order (at, source, key) and lie after `state.last` and not before `state.watermark`;
    otherwise fold everything again from `start(stages)`, or from a mark before them. `published` tells which version
    was in force from when, the live one last; left out, the live one always was. `past` are the recorded transitions;
    those the state knows are skipped, the rest is replayed. While one is still ahead no gate is tried. What time brings
    is applied up to `until`, or to the last fact or move if that is later. With `mark_every` the state is noted at every
    so many facts. `state` itself is not changed.
    """
    if published is None:
        published = () if live is None else (Published(EARLIEST, live),)
    excluded = is_excluded(state, facts, None if live is None else models.get(live))
    if excluded != state.excluded and state.events:
        return Folded(state, [], [], [], switched=True)
    folding = Folding(state.copy(), models, stages, live, evidence_points)
    folding.state.excluded = excluded
    folding.mark_every = mark_every
    folding.watch(facts, published)
    folding.run(facts, past, until)
    folding.forget_counters()
    return Folded(folding.state, folding.lines, folding.moves, folding.marks)


def what_is_missing(
    state: State, model: Model, *, stages: Sequence[StageInfo], now: int, evidence_points: int = 20
) -> list[tuple[Gate, list[Check]]]:
    """The gates out of the lead's stage, each with its conditions checked for this moment."""
    folding = Folding(state, {model.version: model}, stages, model.version, evidence_points)
    folding.view.at = now
    return [(gate, explain(gate.conditions, folding.view)) for gate in model.gates.get(state.stage, ())]
