"""Whatever the order of arrival, the split, the repetition: the engine comes to the same end, with every feature at once.

`make test` tries 100 examples of each property; PROPERTY_EXAMPLES=2000 tries more (the slow part of the gate).
"""

import itertools
import json
import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from leads.engine import EARLIEST, Fact, PastMove, Published, State, compile_model, fold, start
from leads.fold_dues import next_wake
from leads.score_limits import clamp, clamp_one
from leads.scoring_model import Bounds
from tests.test_engine import DAY, HOUR, STAGES, fact, model

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "100"))
LAST = 40 * DAY
FIRST_GATES = [
    {"key": "up", "from": "cold", "to": "mql", "conditions": [{"event": "A", "times": {"at_least": 2}, "within": "1d"}]},
    {"key": "on", "from": "mql", "to": "sql", "conditions": [{"score": {"at_least": 30}}, {"event": "D", "every": "2h"}]},
    {"key": "down", "from": ["mql", "sql"], "to": "cold", "conditions": [{"event": "B", "times": {"exactly": 2}, "within": "2d"}]},
    {"key": "quiet", "from": "sql", "to": "mql", "match": "all", "conditions": [{"event": "A", "times": {"at_most": 0}, "within": "2d"}]},
    {"key": "stale", "from": "mql", "to": "cold", "match": "all", "conditions": [{"idle_for": "6d"}, {"in_stage_for": "3d"}]},
    {"key": "signed", "from": ["mql", "sql"], "to": "won", "match": "all", "conditions": [{"event": "C", "of": "company"}, {"event": "D"}]},
]
FIRST = {
    "scoring": {
        "derive": [{"from": "A", "when": [{"field": "event.x", "op": "is", "value": 1}], "as": "D"}],
        "limits": {"fit_max": 20, "fit_min": -5, "engagement_max": 60, "stop_above": 45, "floor": -10},
        "rules": [
            {"key": "a", "event": "A", "points": 10, "limit": {"times": 2, "per": "day"}, "expires_after": "3d"},
            {"key": "a-warm", "event": "A", "points": 7, "when": [{"field": "lead.title", "op": "is", "value": "cto"}]},
            {"key": "b", "event": "B", "points": -12, "expires_after": "2d"},
            {"key": "c", "event": "C", "reset": "engagement", "when": [{"field": "event.x", "op": "is", "value": 1}]},
            {"key": "d", "event": "D", "points": 5, "limit": {"times": 2, "days": 2}},
            {"key": "rich", "event": "B", "points": 3, "when": [{"field": "lead.score", "op": "gt", "value": 20}]},
        ],
        "fit": [
            {"key": "cto", "when": [{"field": "lead.title", "op": "is", "value": "cto"}], "points": 15},
            {"key": "acme", "when": [{"field": "company.name", "op": "is", "value": "acme"}], "points": 10},
            {"key": "no-title", "when": [{"field": "lead.title", "op": "missing"}], "points": -8},
        ],
        "idle": [
            {"key": "idle", "after": "4d", "every": "3d", "points": -6},
            {"key": "gone", "after": "9d", "points": -20},
        ],
        "exclude": [{"field": "lead.title", "op": "is", "value": "intern"}],
    },
    "gates": FIRST_GATES,
}
SECOND = {
    "scoring": {
        "limits": {"floor": 0},
        "rules": [
            {"key": "a", "event": "A", "points": 4, "limit": {"times": 1, "per": "day"}},
            {"key": "c", "event": "C", "points": 9},
        ],
        "fit": [{"key": "cto", "when": [{"field": "lead.title", "op": "is", "value": "cto"}], "points": 5}],
        "idle": [{"key": "idle", "after": "2d", "every": "2d", "points": -3}],
        "exclude": [{"field": "lead.title", "op": "is", "value": "dev"}],
    },
    "gates": [
        {"key": "up", "from": "cold", "to": "mql", "conditions": [{"event": "B"}, {"event": "A", "times": {"at_least": 3}}]},
        {"key": "cool", "from": "mql", "to": "cold", "conditions": [{"idle_for": "5d"}]},
    ],
}
PATIENT = {
    "key": "rested", "from": "mql", "to": "cold", "match": "all",
    "conditions": [{"event": "B", "times": {"exactly": 1}, "within": "3d"}, {"not": {"event": "C"}}, {"in_stage_for": "1d"}],
}  # fmt: skip
WORLD = {1: compile_model(FIRST, 1), 2: compile_model(SECOND, 2)}
ALWAYS_FIRST = (Published(EARLIEST, 1),)
LADDER = {
    1: model(
        a={},
        b={"event": "B", "points": 5, "limit": {"times": 2, "per": "day"}},
        gates=[
            {"key": "1", "from": "cold", "to": "mql", "conditions": [{"event": "A", "times": {"at_least": 2}, "within": "1d"}]},
            {"key": "2", "from": "mql", "to": "sql", "conditions": [{"event": "B", "within": "12h"}, {"score": {"at_least": 60}}]},
            {"key": "3", "from": "sql", "to": "won", "match": "all", "conditions": [{"event": "C"}, {"event": "D", "within": "6h"}]},
        ],
    ),
    2: model(version=2, a={"points": 3}),
}
traits = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"title": st.sampled_from(["CTO", "dev", "intern", None])}),
    st.fixed_dictionaries({"company": st.sampled_from(["acme", {"name": "acme", "id": "1"}, {"name": "other", "id": "2"}])}),
)
usually, seldom = st.sampled_from([True, True, True, False]), st.sampled_from([False, False, False, False, True])


@st.composite
def histories(draw, pins=(1, 1, 1, None), min_size=1, colleagues=True):
    """Facts in fact order; times collide often. They are pinned to versions that are, or will be, published."""
    drafts = draw(
        st.lists(
            st.tuples(
                st.integers(0, 60).map(lambda n: n * 6 * HOUR), st.integers(1, 2), st.sampled_from("ABCD"), st.integers(0, 1), traits,
                st.sampled_from(pins), st.booleans(), usually, usually, seldom if colleagues else st.just(False),
            ),
            min_size=min_size,
            max_size=25,
        )
    )  # fmt: skip
    facts = [
        Fact(at, source, f"k{i:02}", f"event:{i}", name, {"x": x}, told, version, identifies, counts, acts, colleague)
        for i, (at, source, name, x, told, version, identifies, counts, acts, colleague) in enumerate(drafts)
    ]
    return sorted(facts, key=order)


def order(each):
    return (each.at, each.source, each.key)


class Driver:
    """What stores facts, folds onwards or again, and writes the differences, without a database."""

    def __init__(self, models=None, published=ALWAYS_FIRST, mark_every=None):
        self.models, self.state, self.published = models or WORLD, start(STAGES), tuple(published)
        self.facts, self.ledger, self.past, self.marks, self.mark_every = {}, {}, [], [], mark_every

    @property
    def live(self):
        return self.models[self.published[-1].version]

    def deliver(self, facts):
        news = sorted({order(each): each for each in facts if order(each) not in self.facts}.values(), key=order)
        self.facts |= {order(each): each for each in news}
        if not news:
            return
        late = self.state.last is not None and order(news[0]) <= self.state.last
        if late or news[0].at < self.state.watermark:
            self.again(before=news[0].at)
        else:
            self.fold(self.state, news)

    def publish(self, version, at):
        """From then on another version is in force; fold onwards if the states count what it asks for, else again."""
        before = self.live
        self.published = (*self.published, Published(at, version))
        if self.live.counts_within(before):
            self.fold(self.state, [], until=at)
        else:
            self.again(until=at)

    def again(self, *, before=None, until=0):
        """Fold again, from the newest mark before a time or from the start."""
        self.marks = [mark for mark in self.marks if before is not None and mark.at < before]
        after, state = (self.marks[-1].at, self.marks[-1].state) if self.marks else (EARLIEST, start(STAGES))
        self.ledger = {key: (points, at) for key, (points, at) in self.ledger.items() if at <= after}
        self.fold(state, sorted((each for each in self.facts.values() if each.at > after), key=order), until=until)

    def fold(self, state, facts, until=0):
        folded = fold(
            State.from_json(json.loads(json.dumps(state.to_json()))),
            facts,
            self.models,
            stages=STAGES,
            until=until,
            live=self.live.version,
            past=self.past,
            published=self.published,
            mark_every=self.mark_every,
        )
        if folded.switched:
            assert not folded.lines and not folded.moves
            return self.again(until=until)
        self.state = folded.state
        self.marks += folded.marks
        for line in folded.lines:
            key = (line.cause, line.rule, line.kind, line.axis)
            assert key not in self.ledger, "a cause gives once"
            self.ledger[key] = (line.points, line.at)
        for move in folded.moves:
            assert not self.past or move.at >= self.past[-1].at
            self.past.append(PastMove(move.at, len(self.past) + 1, move.from_stage, move.to_stage))
        return self.check()

    def check(self):
        for axis, column in (("engagement", self.state.engagement), ("fit", self.state.fit)):
            assert sum(points for key, (points, _) in self.ledger.items() if key[3] == axis) == column
        assert self.state.seq == len(self.past)
        assert not self.past or self.past[-1].to_stage == self.state.stage

    def finish(self):
        self.fold(self.state, [], until=LAST)
        return self

    def points(self):
        return {key: points for key, (points, _) in self.ledger.items() if points}

    def columns(self):
        state = self.state
        known = (state.traits, state.company, state.shared, state.known, state.excluded, state.held, state.grants, state.events, state.idle)
        return state.engagement, state.fit, state.first, state.active, state.idle_due, *known


def in_order(facts, models=None, published=ALWAYS_FIRST):
    driver = Driver(models, published)
    driver.deliver(facts)
    return driver.finish()


def arrivals(facts):
    """The same facts permuted, some of them twice, in groups."""
    return st.tuples(
        st.permutations(facts + facts[::3]),
        st.lists(st.integers(1, 6), min_size=1, max_size=60),
    ).map(lambda drawn: list(grouped(*drawn)))


def grouped(facts, sizes):
    rest = list(facts)
    for size in itertools.cycle(sizes):
        if not rest:
            return
        yield rest[:size]
        rest = rest[size:]


properties = settings(max_examples=EXAMPLES, deadline=None)


@properties
@given(st.data())
def test_any_order_of_arrival_gives_the_same_ledger_and_the_same_columns(data):
    facts = data.draw(histories())
    driver = Driver(mark_every=data.draw(st.sampled_from([None, 1, 3])))

    for group in data.draw(arrivals(facts)):
        driver.deliver(group)
        driver.fold(driver.state, [], until=data.draw(st.integers(0, 12)) * DAY)

    expected = in_order(facts)
    assert driver.finish().points() == expected.points()
    assert driver.columns() == expected.columns()


@properties
@given(st.data())
def test_a_publication_half_way_is_the_same_as_one_known_from_the_start(data):
    facts, at = data.draw(histories(pins=(1, 1, 2, None))), data.draw(st.integers(0, 30)) * 12 * HOUR
    driver = Driver(mark_every=data.draw(st.sampled_from([None, 2])))
    groups = data.draw(arrivals(facts))
    when = data.draw(st.integers(0, len(groups)))

    for group in groups[:when]:
        driver.deliver([each for each in group if each.at <= at and each.version != 2])
    driver.publish(2, max(at, driver.state.clock))
    for group in groups:
        driver.deliver(group)

    expected = in_order(facts, published=driver.published)
    assert driver.finish().points() == expected.points()
    assert driver.columns() == expected.columns()


@properties
@given(st.data())
def test_facts_one_by_one_give_the_same_as_all_at_once(data):
    second = data.draw(st.booleans())
    facts = data.draw(histories(pins=(1, 2, None) if second else (1, None)))
    published = (*ALWAYS_FIRST, Published(data.draw(st.integers(0, 30)) * DAY, 2)) if second else ALWAYS_FIRST
    one_by_one, at_once = Driver(published=published), Driver(published=published)

    for group in grouped(facts, data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=30))):
        one_by_one.deliver(group)
    at_once.deliver(facts)

    assert one_by_one.finish().points() == at_once.finish().points()
    assert one_by_one.columns() == at_once.columns()
    if not any(each.traits for each in facts):  # or somebody is excluded half-way, and what they passed before stays
        assert one_by_one.state == at_once.state
        assert one_by_one.past == at_once.past


@properties
@given(st.data())
def test_folding_again_with_the_recorded_moves_changes_nothing(data):
    facts = data.draw(histories())
    by_hand = st.sampled_from([("cold", "mql"), ("mql", "sql"), ("sql", "mql"), ("sql", "lost"), ("lost", "mql"), ("won", "cold")])
    driver = Driver(mark_every=data.draw(st.sampled_from([None, 1])))
    for group in data.draw(arrivals(facts)):
        driver.deliver(group)
        driver.fold(driver.state, [], until=data.draw(st.integers(0, 12)) * DAY)
        wanted = data.draw(st.none() | by_hand)
        if wanted and wanted[0] == driver.state.stage:
            at = max(driver.state.clock, driver.past[-1].at if driver.past else 0)
            driver.past.append(PastMove(at, len(driver.past) + 1, *wanted))
            driver.fold(driver.state, [])
    driver.finish()
    settled, moves, ledger, stage = driver.columns(), list(driver.past), dict(driver.ledger), driver.state.stage

    driver.again()
    driver.finish()

    assert (driver.columns(), driver.past, driver.ledger, driver.state.stage) == (settled, moves, ledger, stage)


@properties
@given(st.data())
def test_a_merge_is_the_fold_of_both_histories(data):
    facts = data.draw(histories(min_size=2))
    mine = [each for n, each in enumerate(facts) if n % 2]
    theirs = [each for n, each in enumerate(facts) if not n % 2]
    survivor, absorbed = Driver(), Driver()
    survivor.deliver(mine)
    absorbed.deliver(theirs)

    survivor.facts |= absorbed.facts
    survivor.again()

    expected = in_order(facts)
    assert survivor.finish().points() == expected.points()
    assert survivor.columns() == expected.columns()


@properties
@given(st.data())
def test_repeated_facts_change_nothing(data):
    facts = data.draw(histories())
    driver = in_order(facts)
    before = json.dumps(driver.state.to_json(), sort_keys=True), list(driver.past), dict(driver.ledger)

    for group in data.draw(arrivals(facts)):
        driver.deliver(group)

    assert (json.dumps(driver.state.to_json(), sort_keys=True), driver.past, driver.ledger) == before


@properties
@given(st.data())
def test_two_drivers_agree_byte_for_byte(data):
    facts, until = data.draw(histories()), data.draw(st.integers(0, 40)) * DAY

    def folded():
        result = fold(start(STAGES), facts, WORLD, stages=STAGES, until=until, live=1, published=ALWAYS_FIRST)
        return json.dumps([result.state.to_json(), result.lines, result.moves])

    assert folded() == folded()


@properties
@given(st.data())
def test_without_steps_backwards_the_end_stage_does_not_depend_on_arrival(data):
    facts = data.draw(histories(min_size=4, colleagues=False))
    driver = Driver(LADDER)

    for group in data.draw(arrivals(facts)):
        driver.deliver(group)

    assert driver.finish().state.stage == in_order(facts, LADDER).state.stage


@properties
@given(st.data())
def test_the_state_survives_json_at_every_fact(data):
    state = start(STAGES)
    for each in data.draw(histories()):
        folded = fold(state, [each], WORLD, stages=STAGES, until=each.at, live=1)
        state = state if folded.switched else folded.state

        assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


@settings(max_examples=min(EXAMPLES, 500), deadline=None)
@given(st.data())
def test_no_moment_is_missed_at_which_time_alone_may_open_a_gate(data):
    patient = {1: compile_model(FIRST | {"gates": [*FIRST_GATES, PATIENT]}, 1)}
    driver = Driver(patient, mark_every=data.draw(st.sampled_from([None, 1])))

    for group in grouped(data.draw(histories(min_size=4)), data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=9))):
        driver.deliver(group)
        if driver.state.stage == "cold" and data.draw(st.booleans()):
            at = max(driver.state.clock, driver.past[-1].at if driver.past else 0)
            driver.past.append(PastMove(at, len(driver.past) + 1, "cold", "mql"))
            driver.fold(driver.state, [])
        state = driver.state
        due = next_wake(state, driver.live, max(state.clock, state.watermark))
        if due is not None and state.known and not state.excluded:
            assert state.wake is not None
            assert state.wake <= due


def test_a_fact_from_before_an_expiry_that_was_applied_calls_for_a_refold():
    models = {1: model(limits={"floor": 0}, a={"expires_after": "1d"}, b={"event": "B", "points": -8})}
    facts = [fact(0), fact(12 * HOUR, "B")]
    driver = Driver(models)

    driver.deliver(facts[:1])
    driver.fold(driver.state, [], until=2 * DAY)
    driver.deliver(facts[1:])

    assert sorted(driver.finish().points().values()) == [-8, -2, 10]
    assert driver.points() == in_order(facts, models).points()


def test_the_lines_of_a_long_history_add_up():
    facts = [fact(n * HOUR, "ABCD"[n % 4], properties={"x": n // 4 % 2}) for n in range(800)]
    driver = in_order(facts)

    counted = Counter(key[2] for key in driver.ledger)
    assert {"points", "reset", "fit", "idle"} <= counted.keys()


@properties
@given(st.data())
def test_a_first_publication_leaves_the_order_of_arrival_free(data):
    at = data.draw(st.integers(0, 30)) * 12 * HOUR
    facts = [each._replace(version=None if each.version is None and each.at < at else 1) for each in data.draw(histories())]
    published = (Published(at, 1),)
    unpinned = [each for each in facts if each.version is None]
    driver = Driver(published=published)

    driver.deliver(unpinned)  # they were there before
    for group in data.draw(arrivals(facts)):
        driver.deliver(group)
        driver.fold(driver.state, [], until=data.draw(st.integers(0, 12)) * DAY)

    expected = in_order(facts, published=published)
    assert driver.finish().points() == expected.points()
    assert driver.columns() == expected.columns()


@given(
    points=st.integers(-50, 50).filter(bool),
    before=st.integers(-60, 60),
    stop_above=st.integers(-40, 40),
    top=st.integers(-40, 40),
    floor=st.integers(-40, 40),
)
def test_a_single_rule_is_held_within_the_bounds_like_several(points, before, stop_above, top, floor):
    bounds = Bounds(stop_above, top, floor, "stops", "tops", "floors")
    several, reasons = [points], [""]
    clamp(several, reasons, before, bounds)

    assert clamp_one(points, before, bounds) == (several[0], reasons[0])
