"""The pure heart: fold facts, in fact order, into points with reasons and moves between stages.

No ORM, no clock, no I/O, integers only; times are µs since 1970, UTC. The same input gives the same
output, byte for byte, whether facts come one by one or all at once. Order at one cause: what time took
back before it, fit, rules by key, limits, gates by position.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from leads.condition_nodes import Check, EventView, explain
from leads.documents import LimitsDoc
from leads.fold_state import EARLIEST, Expiry, Restart, StageInfo, State, start
from leads.fold_view import FoldView
from leads.score_limits import bound, clamp, fit_points
from leads.scoring_model import Counter, Gate, Limit, Model, ModelError, Rule, compile_model

__all__ = [
    "Fact",
    "Folded",
    "Gate",
    "Line",
    "Model",
    "ModelError",
    "NewMove",
    "PastMove",
    "StageInfo",
    "State",
    "compile_model",
    "fold",
    "start",
    "what_is_missing",
]

NO_LIMITS = LimitsDoc()


@dataclass(frozen=True, slots=True)
class Fact:
    """An event as the engine sees it. `version`: the model it is pinned to. `counts`: False for suspect engagement."""

    at: int
    source: int
    key: str
    cause: str
    type: str
    properties: dict[str, Any]
    traits: dict[str, Any]
    version: int | None
    identifies: bool
    counts: bool


@dataclass(frozen=True, slots=True)
class PastMove:
    """A recorded transition: an input, never changed. `neutral`: taken back by hand, or the taking back; restarts nothing."""

    at: int
    seq: int
    from_stage: str
    to_stage: str
    neutral: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger: `raw` is what the rule says, `points` what was applied, `reason` why they differ."""

    at: int
    axis: str
    kind: str
    cause: str
    rule: str
    raw: int
    points: int
    reason: str
    version: int


@dataclass(frozen=True, slots=True)
class NewMove:
    """A gate opened. `cause` is the fact or the expiry after which it did, `time:<at>` or `move:<seq>`."""

    at: int
    from_stage: str
    to_stage: str
    gate: str
    cause: str
    version: int
    engagement: int
    fit: int


class Folded(NamedTuple):
    """What a fold gives: the state after it, the ledger lines and the moves of it."""

    state: State
    lines: list[Line]
    moves: list[NewMove]


def fold(
    state: State,
    facts: Sequence[Fact],
    models: Mapping[int, Model],
    *,
    stages: Sequence[StageInfo],
    until: int,
    live: int | None,
    past: Sequence[PastMove] = (),
    evidence_points: int = 20,
) -> Folded:
    """Fold facts into a state.

    `facts` come in fact order (at, source, key) and lie after `state.last` and not before `state.watermark`;
    otherwise fold everything again from `start(stages)`. `past` are the recorded transitions; those the state
    knows are skipped, the rest is replayed. While one is still ahead no gate is tried. What time takes back is
    applied up to `until`, or to the last fact or move if that is later. `state` itself is not changed.
    """
    folding = _Folding(state.copy(), models, stages, live, evidence_points)
    folding.run(facts, past, until)
    return Folded(folding.state, folding.lines, folding.moves)


def what_is_missing(
    state: State, model: Model, *, stages: Sequence[StageInfo], now: int, evidence_points: int = 20
) -> list[tuple[Gate, list[Check]]]:
    """The gates out of the lead's stage, each with its conditions checked for this moment."""
    folding = _Folding(state, {model.version: model}, stages, model.version, evidence_points)
    folding.view.at = now
    return [(gate, explain(gate.conditions, folding.view)) for gate in model.gates.get(state.stage, ())]


class _Folding:
    """One fold at work."""

    def __init__(
        self, state: State, models: Mapping[int, Model], stages: Sequence[StageInfo], live: int | None, evidence_points: int
    ) -> None:
        self.state = state
        self.models = models
        self.live = None if live is None else models.get(live)
        self.positions = {stage.key: stage.position for stage in stages}
        self.view = FoldView(state, evidence_points)
        self.ahead: list[PastMove] = []  # recorded moves not replayed yet, the next one last
        self.foreseen: list[NewMove] = []  # the way that gates opened while moves were ahead
        self.lines: list[Line] = []
        self.moves: list[NewMove] = []
        known = self.live.counter_keys if self.live else frozenset()
        if not state.counters.keys() <= known:
            state.counters = {key: times for key, times in state.counters.items() if key in known}

    def run(self, facts: Sequence[Fact], past: Sequence[PastMove], until: int) -> None:
        """Walk through time: at one moment what expires comes first, then facts, then recorded moves."""
        self.ahead = sorted((move for move in past if move.seq > self.state.seq), key=lambda move: -move.seq)
        for fact in facts:
            while self.ahead and self.ahead[-1].at < fact.at:
                self.replay()
            self.let_pass(fact.at)
            self.take(fact)
        while self.ahead:
            self.replay()
        self.let_pass(until)

    # --- facts

    def take(self, fact: Fact) -> None:
        """One fact: who it is, what it is worth, what it opens."""
        state = self.state
        state.events += 1
        state.last = (fact.at, fact.source, fact.key)
        state.known = state.known or fact.identifies
        model = None if fact.version is None else self.models.get(fact.version)
        if fact.traits:
            self.learn(fact.traits)
        if model is not None and (fact.traits or state.fit_version != model.version):
            self.refit(fact, model)
        if fact.counts:
            types = (fact.type,) if model is None else model.types_of(fact.type, fact.properties)
            if model is not None:
                self.score(fact, model, model.rules_for(types))
            self.count(fact, types)
        self.try_gates(fact.at, fact.cause)

    def learn(self, traits: Mapping[str, Any]) -> None:
        """Last writer wins, key by key; nothing (null) forgets. Another company id is another company."""
        for key, value in traits.items():
            if key != "company":
                _set(self.state.traits, key, value)
                continue
            about = {"name": value} if isinstance(value, str) else value
            if not isinstance(about, Mapping):
                continue
            if "id" in about and about["id"] != self.state.company.get("id", about["id"]):
                self.state.company = {}
            for name, said in about.items():
                _set(self.state.company, name, said)

    def refit(self, fact: Fact, model: Model) -> None:
        """Give what fit rules give now, take back what those gave that no longer hold."""
        state = self.state
        state.fit_version, self.view.at = model.version, fact.at
        wanted = fit_points(model, self.view)
        for key in sorted(wanted.keys() | state.held.keys()):
            raw, points, reason = wanted.get(key, (0, 0, "no longer holds"))
            change = points - state.held.get(key, 0)
            if change:
                self.book(Line(fact.at, "fit", "fit", f"fit:{fact.cause}", key, raw, change, reason, model.version))
                state.held[key] = points
            if not points:
                state.held.pop(key, None)

    def score(self, fact: Fact, model: Model, rules: Sequence[Rule]) -> None:
        """Apply the rules of one event, within the limits."""
        if not rules:
            return
        state, view = self.state, self.view
        view.properties, view.at = fact.properties, fact.at
        rules = [rule for rule in rules if rule.when is None or rule.when.holds(view)]
        reasons = ["" if rule.limit is None or self.grant(rule.key, rule.limit, fact.at) else rule.limit.reason for rule in rules]
        applied = [0 if reason else rule.points for rule, reason in zip(rules, reasons, strict=True)]
        clamp(applied, reasons, state.engagement, model.limits)
        for rule, points, reason in zip(rules, applied, reasons, strict=True):
            self.book(Line(fact.at, "engagement", "points", fact.cause, rule.key, rule.points, points, reason, model.version))
            if points and rule.expires_after is not None:
                expiry = Expiry(fact.at + rule.expires_after, state.events, rule.key, fact.cause, points, model.version)
                heapq.heappush(state.expiries, expiry)

    def grant(self, key: str, limit: Limit, at: int) -> bool:
        """Whether the rule may give again; remembers that it did."""
        times = self.state.grants.setdefault(key, [])
        since = EARLIEST if limit.window is None else at - limit.window
        if len(times) >= limit.times and times[-limit.times] > since:
            return False
        times.append(at)
        del times[: -limit.times]
        return True

    def count(self, fact: Fact, types: Sequence[str]) -> None:
        """Remember when it happened for every event condition that asks."""
        if self.live is None:
            return
        for name in types:
            for counter in self.live.counters.get(name, ()):
                if counter.when is None or counter.when.holds(EventView(fact.properties)):
                    _remember(self.state.counters.setdefault(counter.key, []), counter, fact.at)

    def book(self, line: Line) -> None:
        """Write a line, and add it to the sums."""
        state = self.state
        self.lines.append(line)
        if line.axis == "fit":
            state.fit += line.points
            return
        state.engagement += line.points
        if state.restart and line.kind == "points" and line.points > 0 and line.at > state.restart.at:
            state.restart.earned += line.points

    # --- time

    def let_pass(self, to: int) -> None:
        """Let time pass: take back what expires up to `to`, and try the gates that open by themselves."""
        state = self.state
        while (due := state.next_due) is not None and due <= to:
            state.watermark = max(state.watermark, due)
            if state.expiries and state.expiries[0].due == due:
                self.expire(heapq.heappop(state.expiries))
            else:
                state.wake = None
                self.try_gates(due, f"time:{due}")
        state.clock = max(state.clock, to)

    def expire(self, expiry: Expiry) -> None:
        """Take back what a line gave, once, as far as the limits let it."""
        model = self.models.get(expiry.version)
        applied, reasons = [-expiry.points], [""]
        limits = model.limits if model else NO_LIMITS
        bound(applied, reasons, self.state.engagement, limits)
        cause = f"expiry:{expiry.cause}"
        self.book(Line(expiry.due, "engagement", "expiry", cause, expiry.rule, -expiry.points, applied[0], reasons[0], expiry.version))
        self.try_gates(expiry.due, cause)

    def set_wake(self, at: int) -> None:
        """Note when a counted event leaves the window of a gate that waits for that."""
        state, live = self.state, self.live
        if live is None or state.stage not in live.waiting:
            state.wake = None
            return
        falling = {count.key: count for gate in live.gates[state.stage] for count in gate.falling}
        dues = [time + count.within for count in falling.values() for time in state.counters.get(count.key, ()) if count.within]
        state.wake = min((due for due in dues if due > at), default=None)

    # --- moves

    def replay(self) -> None:
        """Apply the next recorded transition; after the last one go on where gates have opened meanwhile."""
        move = self.ahead[-1]
        self.let_pass(move.at)
        self.ahead.pop()
        self.state.watermark = max(self.state.watermark, move.at)
        restart = self.state.restart
        self.enter(move.from_stage, move.to_stage, move.at, move.seq)
        if move.neutral:
            self.state.restart = restart
        steps = [i for i, step in enumerate(self.foreseen) if step.from_stage == move.to_stage]
        self.foreseen = self.foreseen[steps[-1] :] if steps and not self.state.restart else []
        if not self.ahead:
            for step in self.foreseen:
                self.go(step)
            self.foreseen, self.view.stage = [], None
        self.try_gates(move.at, f"move:{move.seq}")

    def foresee(self, live: Model, at: int, cause: str) -> None:
        """While recorded moves are ahead: note the forward gates that open, for time may close them before those are replayed.

        So a late fact leads as far as it would have led in time. Nothing is noted while evidence restarts.
        """
        state, view = self.state, self.view
        view.stage = self.foreseen[-1].to_stage if self.foreseen else state.stage
        while not state.restart and (gate := self.open_gate(live, view.stage, forward=True)):
            self.foreseen.append(NewMove(at, view.stage, gate.to, gate.key, cause, live.version, state.engagement, state.fit))
            view.stage = gate.to

    def go(self, move: NewMove) -> None:
        """Make a new move; it stands at the time its gate opened, but not before the last one."""
        state = self.state
        stands = move.at if state.stage_at is None else max(move.at, state.stage_at)
        self.moves.append(replace(move, at=stands, engagement=state.engagement, fit=state.fit))
        self.enter(move.from_stage, move.to_stage, stands, state.seq + 1)

    def enter(self, from_stage: str, to_stage: str, at: int, seq: int) -> None:
        """Stand in the new stage; going backwards restarts the evidence, coming back ends that."""
        state = self.state
        state.moves = state.moves + 1 if at == state.stage_at else 1
        state.stage, state.stage_at, state.seq = to_stage, at, seq
        before, after = self.positions.get(from_stage, 0), self.positions.get(to_stage, 0)
        if after < before:
            above = max(before, state.restart.position) if state.restart else before
            state.restart = Restart(at, above)
        elif state.restart and after >= state.restart.position:
            state.restart = None

    def try_gates(self, at: int, cause: str) -> None:
        """Move through gates until none opens; at most as many moves stand at one time as there are stages."""
        state, live = self.state, self.live
        if live is None or not state.known:
            return
        self.view.at = at
        if self.ahead:
            self.foresee(live, at, cause)
            return
        while gate := self.open_gate(live, state.stage):
            if state.stage_at is not None and at <= state.stage_at and state.moves >= len(self.positions):
                break
            self.go(NewMove(at, state.stage, gate.to, gate.key, cause, live.version, state.engagement, state.fit))
        self.set_wake(at)

    def open_gate(self, live: Model, stage: str, *, forward: bool = False) -> Gate | None:
        """The first gate out of the stage that is open."""
        here = self.positions.get(stage, 0)
        for gate in live.gates.get(stage, ()):
            there = self.positions.get(gate.to)
            if there is None or gate.to == stage or (forward and there <= here):
                continue
            if gate.conditions.holds(self.view):
                return gate
        return None


def _set(values: dict[str, Any], key: str, value: object) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _remember(times: list[int], counter: Counter, at: int) -> None:
    """Keep the last times that count: those less than `every` after the last one do not."""
    if counter.every is None or not times or at - times[-1] >= counter.every:
        times.append(at)
        del times[: -counter.need]
