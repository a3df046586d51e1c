"""The engine over time: resets, idleness, exclusion, publications, gates that wait, and what colleagues do."""

from leads.engine import EARLIEST, PastMove, Published, compile_model, start, what_is_missing
from tests.test_engine import DAY, HOUR, STAGES, fact, points, run, stages


def compiled(version=1, *, gates=(), **scoring):
    return compile_model({"scoring": scoring, "gates": list(gates)}, version)


RULES = [
    {"key": "a", "event": "A", "points": 10, "expires_after": "30d"},
    {"key": "left", "event": "LEFT", "reset": "engagement"},
    {"key": "b", "event": "B", "points": -30},
]


def of_kind(folded, kind):
    return [(line.at, line.raw, line.points, line.reason) for line in folded.lines if line.kind == kind]


# --- resets


def test_a_reset_takes_everything_back_once():
    folded = run([fact(1), fact(2), fact(3, "LEFT"), fact(4)], compiled(rules=RULES), until=90 * DAY)

    assert of_kind(folded, "reset") == [(3, -20, -20, "")]
    assert of_kind(folded, "expiry") == [(4 + 30 * DAY, -10, -10, "")]
    assert folded.state.engagement == 0


def test_a_reset_lifts_what_is_below_nothing_and_stops_at_the_floor():
    assert points(run([fact(1, "B"), fact(2, "LEFT")], compiled(rules=RULES))) == [-30, 30]
    assert points(run([fact(n) for n in (1, 2)] + [fact(3, "LEFT")], compiled(rules=RULES, limits={"floor": 5}))) == [10, 10, -15]


def test_a_reset_stands_among_the_rules_of_its_event_by_key():
    rules = [
        {"key": "1", "event": "A", "points": 5},
        {"key": "2", "event": "A", "reset": "engagement"},
        {"key": "3", "event": "A", "points": 7},
    ]

    folded = run([fact(1)], compiled(rules=rules))

    assert [(line.rule, line.points) for line in folded.lines] == [("1", 5), ("2", -5), ("3", 7)]


# --- idleness

IDLE = [{"key": "idle-30", "after": "30d", "every": "30d", "points": -10}, {"key": "gone", "after": "45d", "points": -5}]


def test_doing_nothing_costs_points_again_and_again():
    folded = run([fact(0)], compiled(rules=[{"key": "a", "event": "A", "points": 100}], idle=IDLE), until=95 * DAY)

    assert [(line.cause, line.rule, line.points) for line in folded.lines if line.kind == "idle"] == [
        (f"idle:{30 * DAY}", "idle-30", -10),
        (f"idle:{45 * DAY}", "gone", -5),
        (f"idle:{60 * DAY}", "idle-30", -10),
        (f"idle:{90 * DAY}", "idle-30", -10),
    ]
    assert folded.state.next_due == 120 * DAY


def test_only_what_the_person_does_ends_idleness():
    idle = compiled(idle=IDLE[:1])
    ours = fact(20 * DAY, "LEAD_EDITED")._replace(acts=False)
    scanner = fact(21 * DAY, "EMAIL_CLICKED", counts=False)

    assert [line.at for line in run([fact(0), ours, scanner], idle, until=40 * DAY).lines] == [30 * DAY]
    assert [line.at for line in run([fact(0), fact(20 * DAY, "X")], idle, until=55 * DAY).lines] == [50 * DAY]


def test_a_new_idle_rule_does_not_look_back():
    published = [Published(0, 1), Published(100 * DAY, 2)]
    models = {1: compiled(), 2: compiled(2, idle=IDLE)}

    folded = run([fact(0)], models, live=2, published=published, until=125 * DAY)

    assert [(line.at, line.rule) for line in folded.lines] == [(120 * DAY, "idle-30")]


def test_idle_points_are_held_by_the_floor_and_keep_their_line():
    folded = run([fact(0)], compiled(idle=IDLE[:1], limits={"floor": 0}), until=40 * DAY)

    assert of_kind(folded, "idle") == [(30 * DAY, -10, 0, "not below 0")]


# --- exclusion

STAFF = [{"field": "lead.email", "op": "ends_with", "value": "@leadstate.example"}]
GATES = [{"key": "in", "from": "cold", "to": "mql", "conditions": [{"event": "A"}]}]
FIT = [{"key": "cto", "when": [{"field": "lead.title", "op": "is", "value": "CTO"}], "points": 15}]


def test_an_excluded_person_earns_nothing_and_goes_nowhere():
    model = compiled(rules=RULES, fit=FIT, idle=IDLE, exclude=STAFF, gates=GATES)

    folded = run([fact(1, traits={"email": "ada@leadstate.example", "title": "CTO"}), fact(2)], model, until=40 * DAY)

    assert {(line.kind, line.raw, line.points, line.reason) for line in folded.lines} == {
        ("fit", 15, 0, "excluded"),
        ("points", 10, 0, "excluded"),
        ("idle", -10, 0, "excluded"),
    }
    assert (folded.moves, folded.state.score, folded.state.excluded) == ([], 0, True)


def test_switching_exclusion_calls_for_the_whole_history():
    model = compiled(rules=RULES, exclude=STAFF, gates=GATES)
    before = run([fact(1)], model)
    news = [fact(2, traits={"email": "ada@leadstate.example"})]

    switched = run(news, model, state=before.state)

    assert switched.switched and not switched.lines
    assert switched.state == before.state


# --- publications and re-scoring


def test_rules_are_the_facts_own_and_gates_of_a_new_version_open_when_it_is_published():
    models = {1: compiled(rules=RULES[:1]), 2: compiled(2, rules=[RULES[0] | {"points": 50}], gates=GATES)}
    published = [Published(0, 1), Published(10 * DAY, 2)]

    folded = run([fact(DAY)], models, live=2, published=published, until=11 * DAY)

    assert points(folded) == [10]
    assert [(move.at, move.to_stage, move.cause, move.version) for move in folded.moves] == [(10 * DAY, "mql", "version:2", 2)]


def test_a_version_published_for_the_past_always_was_in_force():
    models = {2: compiled(2, rules=[RULES[0] | {"points": 50}], gates=GATES, idle=IDLE[:1])}

    folded = run([fact(DAY, version=2)], models, live=2, published=[Published(EARLIEST, 2)], until=40 * DAY)

    assert points(folded) == [50, -50, -10]
    assert [(move.at, move.to_stage) for move in folded.moves] == [(DAY, "mql")]


def test_windows_of_the_past_open_no_gate_of_a_new_version():
    gate = {"key": "in", "from": "cold", "to": "mql", "conditions": [{"event": "A", "times": {"at_least": 2}, "within": "7d"}]}
    models = {1: compiled(), 2: compiled(2, gates=[gate])}

    folded = run([fact(0), fact(DAY)], models, live=2, published=[Published(0, 1), Published(60 * DAY, 2)], until=61 * DAY)

    assert folded.moves == []


# --- gates that wait for the time


def test_a_gate_opens_when_somebody_has_stayed_long_enough():
    gates = [*GATES, {"key": "stale", "from": "mql", "to": "lost", "conditions": [{"in_stage_for": "14d"}]}]

    folded = run([fact(DAY)], compiled(gates=gates))
    later = run([], compiled(gates=gates), state=folded.state, until=20 * DAY)

    assert folded.state.next_due == 15 * DAY
    assert [(move.at, move.to_stage, move.cause) for move in later.moves] == [(15 * DAY, "lost", f"time:{15 * DAY}")]


def test_a_gate_opens_when_somebody_has_been_idle_long_enough_and_evidence_restarts():
    gates = [*GATES, {"key": "went-quiet", "from": "mql", "to": "cold", "conditions": [{"idle_for": "90d"}]}]
    model = compiled(gates=gates)

    quiet = run([fact(0), fact(10 * DAY, "X")], model, until=101 * DAY)
    back = run([fact(110 * DAY)], model, state=quiet.state)

    assert [(move.at, move.to_stage) for move in quiet.moves] == [(0, "mql"), (100 * DAY, "cold")]
    assert quiet.state.restart.at == 100 * DAY
    assert stages(back) == [("cold", "mql")]


def test_who_comes_back_in_time_is_not_idle():
    gates = [*GATES, {"key": "went-quiet", "from": "mql", "to": "cold", "conditions": [{"idle_for": "90d"}]}]

    assert stages(run([fact(0), fact(89 * DAY, "X")], compiled(gates=gates), until=178 * DAY)) == [("cold", "mql")]


# --- the whole company


def test_what_colleagues_do_counts_where_a_condition_says_so():
    won = {
        "key": "won",
        "from": "cold",
        "to": "won",
        "match": "all",
        "conditions": [{"event": "SIGNED", "of": "company"}, {"event": "PAID", "of": "company"}],
    }
    alone = {"key": "alone", "from": "cold", "to": "mql", "conditions": [{"event": "SIGNED"}]}
    rules = [{"key": "s", "event": "SIGNED", "points": 10}]
    theirs = fact(2, "SIGNED", traits={"title": "CEO"})._replace(colleague=True)

    folded = run([fact(1, "X"), theirs, fact(3, "PAID")], compiled(rules=rules, gates=[won, alone]))

    assert stages(folded) == [("cold", "won")]
    assert (folded.lines, folded.state.traits, folded.state.active) == ([], {}, 3)


def test_a_stay_that_began_before_anybody_knew_the_person_ends_in_time():
    gates = [
        {"key": "rested", "from": "mql", "to": "sql", "match": "all", "conditions": [{"event": "A"}, {"in_stage_for": "1d"}]},
        {"key": "gone", "from": "mql", "to": "cold", "conditions": [{"idle_for": "6d"}]},
    ]
    facts = [fact(0, identifies=False), fact(HOUR, "B")]

    folded = run(facts, compiled(gates=gates), past=[PastMove(0, 1, "cold", "mql")], until=3 * DAY)

    assert [(move.at, move.to_stage) for move in folded.moves] == [(DAY, "sql")]


def test_somebody_who_comes_back_opens_a_gate_that_asks_for_nobody_idle():
    gate = {"key": "back", "from": "cold", "to": "mql", "match": "all", "conditions": [{"not": {"idle_for": "7d"}}, {"event": "PAID"}]}
    early = {"key": "first", "from": "cold", "to": "lost", "conditions": [{"event": "NEVER"}]}
    paid_while_idle = fact(20 * DAY, "PAID")._replace(acts=False)

    folded = run([fact(0), paid_while_idle, fact(21 * DAY, "X")], compiled(gates=[early, gate]))

    assert [(move.at, move.to_stage) for move in folded.moves] == [(21 * DAY, "mql")]


# --- what is missing


def test_what_is_missing_tells_when_a_count_begins_to_fall():
    gate = {"key": "hot", "from": "cold", "to": "mql", "conditions": [{"event": "A", "times": {"at_least": 3}, "within": "7d"}]}
    model = compiled(gates=[gate])
    state = run([fact(DAY), fact(2 * DAY)], model).state

    [(_, [check])] = what_is_missing(state, model, stages=STAGES, now=3 * DAY)

    assert (check.ok, check.current, check.until) == (False, "2/3 in 7 days", 8 * DAY)


def test_a_lead_that_was_never_seen_lacks_everything():
    model = compiled(gates=[{"key": "q", "from": "cold", "to": "lost", "conditions": [{"idle_for": "7d"}, {"in_stage_for": "7d"}]}])

    [(_, checks)] = what_is_missing(start(STAGES), model, stages=STAGES, now=HOUR)

    assert [check.ok for check in checks] == [False, False]


def test_moves_taken_back_restart_nothing():
    gates = [*GATES, {"key": "hot", "from": "mql", "to": "sql", "conditions": [{"event": "B"}]}]
    past = [PastMove(5, 1, "cold", "mql"), PastMove(6, 2, "mql", "sql", neutral=True), PastMove(7, 3, "sql", "mql", neutral=True)]

    folded = run([fact(5), fact(8, "B")], compiled(gates=gates), past=past)

    assert folded.state.restart is None
    assert stages(folded) == [("mql", "sql")]
