"""One fold at work: walks through facts, time and recorded moves, and carries the state along. See leads.engine for the rules."""

import heapq
from collections.abc import Mapping, Sequence

from leads.condition_nodes import EventView
from leads.fold_dues import idle_due, idle_turn, next_idle
from leads.fold_facts import Fact, Line, Mark, PastMove
from leads.fold_gates import Gatekeeper
from leads.fold_points import EXCLUDED
from leads.fold_state import EARLIEST, LATEST, Expiry, Published, StageInfo, State
from leads.fold_traits import hear, learn
from leads.score_limits import bound, clamp
from leads.scoring_model import Counter, Kind, Model, merge_counters, needs_of

# Types of events whose treatment is kept: more than anybody has, and an end to what a broken client can fill memory with.
MANY = 2_000


class Folding(Gatekeeper):
    """One fold at work."""

    def __init__(
        self, state: State, models: Mapping[int, Model], stages: Sequence[StageInfo], live: int | None, evidence_points: int
    ) -> None:
        super().__init__(state, stages, evidence_points)
        self.models = models
        self.counters: Mapping[str, tuple[Counter, ...]] = {}
        self.kinds: dict[int | None, dict[str | tuple[str, ...], Kind]] = {}  # by the version that events are pinned to
        self.pinned: int | None = None  # the version that the fact at hand is pinned to, its model, what that does with its types
        self.pinned_model: Model | None = None
        self.pinned_kinds: dict[str | tuple[str, ...], Kind] = {}
        self.live = None if live is None else models.get(live)
        self.upcoming: list[Published] = []  # publications not passed yet, the next one last
        self.marks: list[Mark] = []
        self.mark_every: int | None = None
        self.next_mark = LATEST  # how many facts there will be when the state is noted next

    def watch(self, facts: Sequence[Fact], published: Sequence[Published]) -> None:
        """Find which versions take part: the one in force, those still to come, and those the facts are pinned to."""
        live = self.live
        versions = {fact.version for fact in facts}
        is_alone = live is not None and versions <= {live.version}
        if live and is_alone and published and published[-1].version == self.state.version == live.version:  # the usual case
            self.in_force, self.in_force_since = live, published[-1].at
            self.counters, self.kinds = live.counters, {live.version: live.kinds}
            return
        passed = next((n for n, each in enumerate(published, 1) if each.version == self.state.version), 0)
        if passed:
            self.in_force, self.in_force_since = self.models.get(published[passed - 1].version), published[passed - 1].at
        self.upcoming = list(reversed(published[passed:]))
        versions |= {each.version for each in self.upcoming}
        versions |= {self.in_force.version if self.in_force else None, self.live.version if self.live else None}
        taking_part = {version: self.models[version] for version in sorted(v for v in versions if v in self.models and v is not None)}
        self.counters = merge_counters(taking_part.values())
        if len(taking_part) == 1:  # then it does with events what every fold under this version does
            self.kinds = {version: model.kinds for version, model in taking_part.items()}

    def forget_counters(self) -> None:
        """Keep only what the live version counts, and what those count that are in force until then."""
        needs: Mapping[str, int] = self.live.needs if self.live else {}
        if self.upcoming or self.in_force is not self.live:
            needs = needs_of(self.live, self.in_force, *(self.models.get(each.version) for each in self.upcoming))
        counters = self.state.counters
        self.state.counters = {key: times[-needs[key] :] for key, times in counters.items() if key in needs}

    def run(self, facts: Sequence[Fact], past: Sequence[PastMove], until: int) -> None:
        """Walk through time: at one moment what time brings comes first, then facts, then recorded moves."""
        state, take = self.state, self.take
        self.ahead = sorted((move for move in past if move.seq > state.seq), key=lambda move: -move.seq)
        self.plan_mark()
        self.look_around()
        before: Fact | None = None
        for fact in facts:
            at = fact.at
            if self.number >= self.next_mark:
                self.mark(before, at)
            while self.ahead and self.ahead[-1].at < at:
                self.replay()
            if at >= self.soon:
                self.let_pass(at)
            take(fact)
            before = fact
        state.last, state.events = state.last if before is None else before[:3], self.number
        while self.ahead:
            self.replay()
        self.let_pass(until if not facts else max(until, facts[-1].at))

    def plan_mark(self) -> None:
        """Note after how many facts the state is to be noted next."""
        if self.mark_every:
            self.next_mark = (self.state.marked // self.mark_every + 1) * self.mark_every

    def mark(self, last: Fact | None, upcoming: int) -> None:
        """Note the state, if it is complete up to some moment before the `upcoming` fact, and nothing else hangs on what is ahead."""
        state = self.state
        state.last = state.last if last is None else last[:3]
        if state.last is None or upcoming <= max(state.last[0], state.watermark) or self.foreseen:
            return
        state.marked = state.events = self.number
        at = max(state.last[0], state.watermark)
        state.clock = max(state.clock, at)
        self.marks.append(Mark(at, state.copy()))
        self.plan_mark()

    # --- facts

    def take(self, fact: Fact) -> None:  # noqa: C901 - every fact comes by here: its parts as functions would cost more than what they do
        """One fact: who it is, what it is worth, what it opens."""
        at, _, _, cause, kind, properties, traits, version, identifies, counts, acts, colleague = fact[:]  # bare: faster to unpack
        state = self.state
        self.number += 1
        model = self.pinned_model if version == self.pinned else self.pin(version)
        try:
            types, rules, lone, counters, derives = self.pinned_kinds[kind]
        except KeyError:
            types, rules, lone, counters, derives = self.look_up(kind, (kind,))
        if derives and model is not None and len(more := model.types_of(kind, properties)) > 1:
            types, rules, lone, counters, _ = self.pinned_kinds.get(more) or self.look_up(more, more)
        if colleague:
            self.overhear(fact, model, types, counters)
            return
        if state.first is None:
            self.begin(at)
        in_force, gave = self.in_force, False
        is_new = identifies and not state.known
        if is_new:
            state.known = True
        if traits or model is not in_force or state.fit_version != version:
            gave = self.learn(fact, model)
        if counts:
            if acts:
                self.act(at)
            if rules and model is not None:
                gave = True
                if lone is not None:
                    self.give_one(fact, model, lone)
                else:
                    self.score(fact, model, rules)
            if counters:
                self.count(fact, counters)
        if is_new or traits:
            self.shut = None
            self.open_gates(model, at, cause)
            return
        shut, is_usual = self.shut, self.shut_in is model is in_force
        if shut and is_usual and not (acts and shut.acts) and not (gave and shut.points) and shut.types.isdisjoint(types):
            return
        self.try_gates(model, at, cause, types if counts else (), points=gave, acted=counts and acts)

    def pin(self, version: int | None) -> Model | None:
        """The facts to come are pinned to that version; returns its model."""
        self.pinned, self.pinned_kinds = version, self.kinds.setdefault(version, {})
        self.pinned_model = None if version is None else self.models.get(version)
        return self.pinned_model

    def look_up(self, key: str | tuple[str, ...], types: tuple[str, ...]) -> Kind:
        """What is done with events of these types that are pinned to the version at hand."""
        model = self.pinned_model
        rules = model.rules_for(types) if model else ()
        lone = rules[0] if len(rules) == 1 and rules[0].when is None and not rules[0].resets else None
        counters = tuple(counter for name in types for counter in self.counters.get(name, ()))
        found = Kind(types, rules, lone, counters, derives=model is not None and key in model.derived)
        if len(self.pinned_kinds) < MANY:
            self.pinned_kinds[key] = found
        return found

    def learn(self, fact: Fact, model: Model | None) -> bool:
        """What is said about the person; fit is looked at when something was, and for the first time under a version.

        Tells whether it was.
        """
        ruling = self.ruling(model, fact.at)
        if fact.traits:
            learn(self.state, fact.traits)
        elif ruling is None or self.state.fit_version == ruling.version:
            return False
        if ruling is not None:
            self.refit(fact.at, f"fit:{fact.cause}", ruling)
        return True

    def ruling(self, model: Model | None, at: int) -> Model | None:
        """The model whose fit counts then, for a fact that is pinned to `model`."""
        return model if at < self.in_force_since else self.in_force or model

    def overhear(self, fact: Fact, model: Model | None, types: tuple[str, ...], counters: Sequence[Counter]) -> None:
        """What a colleague told about the company, and what they did that counts for all of it."""
        at = fact.at
        is_news = bool(fact.traits) and hear(self.state, fact.traits) and self.state.first is not None
        if is_news and (ruling := self.ruling(model, at)) is not None:
            self.refit(at, f"fit:{fact.cause}", ruling)
        if fact.counts:
            self.count(fact, counters)
        if is_news:
            self.shut = None
            self.open_gates(model, at, fact.cause)
        elif fact.counts:
            self.try_gates(model, at, fact.cause, types)

    def begin(self, at: int) -> None:
        """The first fact about the person: from now on idleness and stays are measured."""
        self.state.first, self.state.wake = at, None
        self.set_idle()
        self.set_wake(at)

    def act(self, at: int) -> None:
        """The person did something: idleness begins anew."""
        state, model = self.state, self.in_force
        state.active = at
        if model is None:
            return
        if model.idle_first is not None:
            if state.idle:
                state.idle.clear()
            state.idle_due = due = at + model.idle_first
            if due < self.soon:
                self.soon = due
        waits = self.waits
        if waits is not None and waits.idles and (state.wake is None or at + waits.idles[0] < state.wake):
            self.wake_after(at, waits.idles[0])

    def count(self, fact: Fact, counters: Sequence[Counter]) -> None:
        """Remember when it happened for every event condition that asks; it will leave the windows that gates wait for."""
        at, state = fact.at, self.state
        waits = self.waits
        for counter in counters:
            if fact.colleague and not counter.of_company:
                continue
            key, every = counter.key, counter.every
            if counter.when is not None and not counter.when.holds(EventView(fact.properties)):
                continue
            times = state.counters.get(key)
            if not times:
                state.counters[key] = [at]
            elif every is None or at - times[-1] >= every:
                times.append(at)
                if len(times) > counter.need:
                    del times[: -counter.need]
            if waits is not None and (wait := waits.falling.get(key)) is not None and (state.wake is None or at + wait < state.wake):
                self.wake_after(at, wait)

    # --- time

    def let_pass(self, to: int) -> None:
        """Let time pass: take back what expires up to `to`, punish idleness, pass publications, try gates that waited."""
        state = self.state
        while (due := self.next_due()) <= to:
            mark = max(state.watermark, due)
            if state.expiries and state.expiries[0].due == due:
                self.expire(heapq.heappop(state.expiries))
            elif state.idle_due == due:
                self.idle(due)
            elif self.upcoming and self.upcoming[-1].at <= due:
                mark = mark if self.publish(self.upcoming.pop(), due) else state.watermark
            else:
                state.wake = None
                self.open_gates(None, due, f"time:{due}")
            state.watermark = mark
        self.soon = due
        state.clock = max(state.clock, to)

    def next_due(self) -> int:
        """When time brings something next. A version that always was in force is passed before anything else."""
        due = self.state.next_due
        due = LATEST if due is None else due
        if not self.upcoming:
            return due
        at = self.upcoming[-1].at
        return min(due, at if at > EARLIEST else self.state.watermark)

    def publish(self, publication: Published, at: int) -> bool:
        """From now on another version is in force: fit is looked at anew, and its gates are tried.

        Returns whether that meant anything: a first version that changes nothing leaves the history before it open.
        """
        state, model, before = self.state, self.models.get(publication.version), len(self.lines) + len(self.moves)
        is_first = state.version is None
        state.version, self.in_force, self.in_force_since = publication.version, model, publication.at
        state.idle_due = state.wake = None
        self.look_around()
        if model is None or not self.number:
            return not is_first
        self.set_idle()
        if publication.at > EARLIEST:
            self.refit(at, f"fit:version:{model.version}", model)
            self.open_gates(model, at, f"version:{model.version}")
        return not is_first or len(self.lines) + len(self.moves) > before

    def expire(self, expiry: Expiry) -> None:
        """Take back what a line gave, once, as far as the limits let it."""
        model = self.models.get(expiry.version)
        applied, reasons = [-expiry.points], [""]
        if model is not None and model.bounds is not None:
            bound(applied, reasons, self.state.engagement, model.bounds)
        cause = f"expiry:{expiry.cause}"
        self.book(Line(expiry.due, "engagement", "expiry", cause, expiry.rule, -expiry.points, applied[0], reasons[0], expiry.version))
        self.shut = None  # a condition may have begun to hold by time at this very moment
        self.try_gates(None, expiry.due, cause, points=True)

    def idle(self, due: int) -> None:
        """Nothing was done for long enough: every idle rule whose turn it is gives, by key."""
        state, model = self.state, self.in_force
        for rule in model.idle if model else ():
            if model is None or idle_due(state, rule, self.in_force_since) != due:
                continue
            state.idle[rule.key] = idle_turn(state, rule, self.in_force_since) + 1
            applied, reasons = [rule.points], [""]
            if state.excluded:
                applied, reasons = [0], [EXCLUDED]
            elif model.bounds is not None:
                clamp(applied, reasons, state.engagement, model.bounds)
            self.book(Line(due, "engagement", "idle", f"idle:{due}", rule.key, rule.points, applied[0], reasons[0], model.version))
        self.set_idle()
        self.shut = None  # as in expire
        self.try_gates(None, due, f"idle:{due}", points=True)

    def set_idle(self) -> None:
        """Note when an idle rule gives next."""
        self.state.idle_due = next_idle(self.state, self.in_force, self.in_force_since)
        if self.state.idle_due is not None:
            self.hurry(self.state.idle_due)

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
        self.open_gates(None, move.at, f"move:{move.seq}")
