"""The part of a fold that moves leads: which gates to try, when, and what a move does to the state."""

from collections.abc import Sequence

from leads.fold_dues import next_wake
from leads.fold_facts import NewMove, PastMove
from leads.fold_points import Scorekeeper
from leads.fold_state import EARLIEST, Restart, StageInfo, State
from leads.scoring_model import NOTHING, Concerns, Gate, Model, Waits


class Gatekeeper(Scorekeeper):
    """Tries the gates of one fold."""

    def __init__(self, state: State, stages: Sequence[StageInfo], evidence_points: int) -> None:
        super().__init__(state, evidence_points)
        self.positions = {stage.key: stage.position for stage in stages}
        self.in_force: Model | None = None
        self.in_force_since = EARLIEST
        self.ahead: list[PastMove] = []  # recorded moves not replayed yet, the next one last
        self.foreseen: list[NewMove] = []  # the way that gates opened while moves were ahead
        self.moves: list[NewMove] = []
        self.shut: Concerns | None = None  # what can open a gate of `shut_in`; None: look at them all
        self.shut_in: Model | None = None
        self.waits: Waits | None = None

    def try_gates(
        self, pinned: Model | None, at: int, cause: str, types: Sequence[str] = (), *, points: bool = False, acted: bool = False
    ) -> None:
        """Look at the gates if what happened (events of these types, points, anything the person did) can have opened one."""
        state, model = self.state, self.in_force
        if pinned is not model or at < self.in_force_since:
            model = self.deciding(pinned, at)
        if model is not self.shut_in:
            self.shut, self.shut_in = None, model
        if model is None or not state.known:
            return
        if not self.ahead:
            shut = model.concerns.get(state.stage, NOTHING) if self.shut is None else self.shut
            if not shut.concerned(types, points, acted):
                return
        self.open_gates(model, at, cause)

    def deciding(self, pinned: Model | None, at: int) -> Model | None:
        """Whose gates are tried: the version in force then, or the one that a fact is pinned to if that came later."""
        model = self.in_force if at >= self.in_force_since else None
        if pinned is not model and (model is None or (pinned is not None and pinned.version > model.version)):
            return pinned
        return model

    def open_gates(self, pinned: Model | None, at: int, cause: str) -> None:
        """Move through gates until none opens; at most as many moves stand at one time as there are stages."""
        state, model = self.state, self.deciding(pinned, at)
        if model is None or not state.known or state.excluded:
            return
        self.view.at = at
        if self.ahead:
            self.foresee(model, at, cause)
            return
        while gate := self.open_gate(model, state.stage):
            if state.stage_at is not None and at <= state.stage_at and state.moves >= len(self.positions):
                break
            self.go(NewMove(at, state.stage, gate.to, gate.key, cause, model.version, state.engagement, state.fit))
        if state.wake is None:
            self.set_wake(at)

    def open_gate(self, model: Model, stage: str, *, forward: bool = False) -> Gate | None:
        """The first gate out of the stage that is open; if none is, what can open one is remembered."""
        here, shut = self.positions.get(stage, 0), NOTHING
        for gate in model.gates.get(stage, ()):
            there = self.positions.get(gate.to)
            if there is None or gate.to == stage or (forward and there <= here):
                continue
            concerns = gate.shut_by(self.view)
            if concerns is None:
                return gate
            shut = concerns if shut is NOTHING else shut | concerns
        self.shut, self.shut_in = shut, model
        return None

    # --- moves

    def foresee(self, model: Model, at: int, cause: str) -> None:
        """While recorded moves are ahead: note the forward gates that open, for time may close them before those are replayed.

        So a late fact leads as far as it would have led in time. Nothing is noted while evidence restarts.
        """
        state, view = self.state, self.view
        view.stage = self.foreseen[-1].to_stage if self.foreseen else state.stage
        while not state.restart and (gate := self.open_gate(model, view.stage, forward=True)):
            self.foreseen.append(NewMove(at, view.stage, gate.to, gate.key, cause, model.version, state.engagement, state.fit))
            view.stage = gate.to
        self.shut = None

    def go(self, move: NewMove) -> None:
        """Make a new move; it stands at the time its gate opened, but not before the last one."""
        state = self.state
        stands = move.at if state.stage_at is None else max(move.at, state.stage_at)
        self.moves.append(move._replace(at=stands, engagement=state.engagement, fit=state.fit))
        self.enter(move.from_stage, move.to_stage, stands, state.seq + 1)

    def enter(self, from_stage: str, to_stage: str, at: int, seq: int) -> None:
        """Stand in the new stage; going backwards restarts the evidence, coming back ends that."""
        state = self.state
        state.moves = state.moves + 1 if at == state.stage_at else 1
        state.stage, state.stage_at, state.seq, state.wake = to_stage, at, seq, None
        self.look_around()
        self.shut = None
        before, after = self.positions.get(from_stage, 0), self.positions.get(to_stage, 0)
        if after < before:
            above = max(before, state.restart.position) if state.restart else before
            state.restart = Restart(at, above)
        elif state.restart and after >= state.restart.position:
            state.restart = None

    def look_around(self) -> None:
        """Find what the gates out of the stage wait for, under the version in force."""
        self.waits = None if self.in_force is None else self.in_force.waits.get(self.state.stage)

    # --- time

    def set_wake(self, at: int) -> None:
        """Note when time alone may open a gate: a counted event leaves its window, or somebody has stayed or been idle long enough.

        It may turn out to be too early, when the person has done something since; never too late.
        """
        self.state.wake = next_wake(self.state, self.in_force, at)
        if self.state.wake is not None:
            self.hurry(self.state.wake)

    def wake_after(self, at: int, wait: int) -> None:
        """Time alone may open a gate so much later than now."""
        wake = self.state.wake
        if wake is None:
            self.set_wake(at)
        elif at + wait < wake:
            self.state.wake = at + wait
            self.hurry(at + wait)
