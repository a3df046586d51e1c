"""The engine: points with reasons, moves at most once, the same whatever the order of arrival."""

import itertools
import json
from collections import Counter

import pytest

from leads.engine import Fact, ModelError, NewMove, PastMove, Published, StageInfo, State, compile_model, fold, start, what_is_missing

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
STAGES = [
    StageInfo(key, i, kind)
    for i, (key, kind) in enumerate(zip("cold mql sql won lost".split(), "open open open won lost".split(), strict=True))
]
END = 1000 * DAY
numbers = itertools.count(1)

FOUNDING = {
    "scoring": {
        "derive": [{"from": "PAGE_VIEWED", "when": [{"field": "event.path", "op": "is", "value": "/pricing"}], "as": "VIEWED_PRICING"}],
        "rules": [
            {"key": "viewed-pricing", "event": "VIEWED_PRICING", "points": 10},
            {"key": "downloaded-api-docs", "event": "DOWNLOADED_API_DOCS", "points": 20},
            {"key": "abandoned-checkout", "event": "ABANDONED_CHECKOUT", "points": 15},
        ],
    },
    "gates": [
        {"key": "warm", "from": "cold", "to": "mql", "conditions": [{"event": "DOWNLOADED_API_DOCS"}, {"event": "DEMO_REQUESTED"}]},
        {
            "key": "hot",
            "from": "mql",
            "to": "sql",
            "conditions": [
                {"score": {"at_least": 80}},
                {"event": "DEMO_REQUESTED"},
                {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d", "every": "30m"},
            ],
        },
        {
            "key": "closed",
            "from": ["cold", "mql", "sql"],
            "to": "won",
            "match": "all",
            "conditions": [{"event": "CONTRACT_SIGNED"}, {"event": "PAYMENT_SUCCEEDED"}],
        },
    ],
}


def model(*, version=1, limits=None, fit=None, gates=None, derive=None, **rules):
    """A model of rules written as KEY={...}."""
    listed = [{"key": key.replace("_", "-"), "event": "A", "points": 10} | rule for key, rule in rules.items()]
    scoring = {"rules": listed, "limits": limits or {}, "fit": fit or [], "derive": derive or []}
    return compile_model({"scoring": scoring, "gates": gates or []}, version)


def fact(at, type="A", *, properties=None, traits=None, version=1, identifies=True, counts=True, source=1):
    number = next(numbers)
    return Fact(at, source, f"m{number:09}", f"event:{number}", type, properties or {}, traits or {}, version, identifies, counts)


def run(facts, compiled, *, state=None, until=0, past=(), live=1, published=None):
    models = compiled if isinstance(compiled, dict) else {compiled.version: compiled}
    return fold(state or start(STAGES), facts, models, stages=STAGES, until=until, live=live, past=past, published=published)


def points(folded):
    return [line.points for line in folded.lines]


def stages(folded):
    return [(move.from_stage, move.to_stage) for move in folded.moves]


def check_sums(folded, before=None):
    sums = Counter()
    for line in folded.lines:
        sums[line.axis] += line.points
    state, before = folded.state, before or start(STAGES)
    assert (before.engagement + sums["engagement"], before.fit + sums["fit"]) == (state.engagement, state.fit)


# --- the founding scenario


def test_the_founding_weights_add_up_and_promote_exactly_once_at_80():
    types = ["DOWNLOADED_API_DOCS", "ABANDONED_CHECKOUT", "VIEWED_PRICING", "ABANDONED_CHECKOUT", "SOMETHING_ELSE", "DOWNLOADED_API_DOCS"]
    facts = [fact(i * 10 * DAY, name) for i, name in enumerate(types, 1)]
    more = [fact(70 * DAY, "DOWNLOADED_API_DOCS"), fact(80 * DAY, "DOWNLOADED_API_DOCS")]

    folded = run(facts, compile_model(FOUNDING, 1))

    assert points(folded) == [20, 15, 10, 15, 20]
    assert folded.state.engagement == 80
    assert folded.moves == [
        NewMove(10 * DAY, "cold", "mql", "warm", facts[0].cause, 1, 20, 0),
        NewMove(60 * DAY, "mql", "sql", "hot", facts[5].cause, 1, 80, 0),
    ]
    assert run(more, compile_model(FOUNDING, 1), state=folded.state).moves == []


def test_79_points_do_not_promote():
    compiled = compile_model(FOUNDING | {"scoring": {"rules": [{"key": "x", "event": "DOWNLOADED_API_DOCS", "points": 79}]}}, 1)

    assert stages(run([fact(1, "DOWNLOADED_API_DOCS")], compiled)) == [("cold", "mql")]


def test_a_cold_leads_demo_request_moves_twice_at_one_fact():
    demo = fact(5, "DEMO_REQUESTED")

    moves = run([demo], compile_model(FOUNDING, 1)).moves

    assert [(m.at, m.from_stage, m.to_stage, m.gate, m.cause) for m in moves] == [
        (5, "cold", "mql", "warm", demo.cause),
        (5, "mql", "sql", "hot", demo.cause),
    ]


def test_pricing_three_times_in_a_week_counts_visits_half_an_hour_apart():
    def visits(*times):
        begun = fact(0, "DOWNLOADED_API_DOCS")
        views = [fact(time, "PAGE_VIEWED", properties={"path": "/pricing"}) for time in times]
        return stages(run([begun, *views], compile_model(FOUNDING, 1)))[1:]

    assert visits(DAY, DAY + 10 * MINUTE, DAY + 20 * MINUTE, DAY + 29 * MINUTE) == []
    assert visits(DAY, DAY + 30 * MINUTE, DAY + 45 * MINUTE) == []
    assert visits(DAY, DAY + 30 * MINUTE, DAY + 60 * MINUTE) == [("mql", "sql")]
    assert visits(DAY, 2 * DAY, 8 * DAY) == []
    assert visits(DAY, 2 * DAY, 8 * DAY - 1) == [("mql", "sql")]


def test_a_derived_type_is_a_second_type_of_the_same_event():
    compiled = compile_model(FOUNDING, 1)

    assert compiled.types_of("PAGE_VIEWED", {"path": "/Pricing"}) == ("PAGE_VIEWED", "VIEWED_PRICING")
    assert compiled.types_of("PAGE_VIEWED", {"path": "/"}) == ("PAGE_VIEWED",)
    assert points(run([fact(1, "PAGE_VIEWED", properties={"path": "/pricing"})], compiled)) == [10]


def test_won_needs_both_conditions_of_its_gate():
    assert stages(run([fact(1, "CONTRACT_SIGNED")], compile_model(FOUNDING, 1))) == []
    assert stages(run([fact(1, "CONTRACT_SIGNED"), fact(2, "PAYMENT_SUCCEEDED")], compile_model(FOUNDING, 1))) == [("cold", "won")]
    after = run([fact(1, "CONTRACT_SIGNED"), fact(2, "PAYMENT_SUCCEEDED"), fact(3, "DEMO_REQUESTED")], compile_model(FOUNDING, 1))
    assert after.state.stage == "won"


# --- rules, limits, clamps


def test_a_rule_looks_at_the_event_and_at_the_person():
    compiled = model(
        big={
            "when": [
                {"field": "event.total", "op": "gt", "value": 100},
                {"field": "lead.country", "op": "is", "value": "de"},
                {"field": "company.traits.plan", "op": "is", "value": "team"},
            ]
        }
    )
    who = {"country": "DE", "company": {"plan": "Team"}}

    assert points(run([fact(1, properties={"total": 101}, traits=who)], compiled)) == [10]
    assert points(run([fact(1, properties={"total": 100}, traits=who)], compiled)) == []
    assert points(run([fact(1, properties={"total": 101}), fact(2, traits=who)], compiled)) == []


def test_rules_of_one_event_apply_by_key():
    folded = run([fact(1)], model(b={"points": 2}, a={"points": 1}, c={"points": -3}))

    assert [(line.rule, line.points) for line in folded.lines] == [("a", 1), ("b", 2), ("c", -3)]


def test_a_limit_looks_back_over_a_sliding_window():
    compiled = model(a={"limit": {"times": 2, "per": "day"}})

    folded = run([fact(at) for at in (0, HOUR, 2 * HOUR, DAY - 1, DAY, DAY + HOUR - 1, DAY + HOUR)], compiled)

    assert points(folded) == [10, 10, 0, 0, 10, 0, 10]
    assert {(line.raw, line.reason) for line in folded.lines if not line.points} == {(10, "limit: 2 per day")}
    check_sums(folded)


@pytest.mark.parametrize(
    ("limit", "days"),
    [
        ({"per": "week"}, 7),
        ({"per": "month"}, 30),
        ({"per": "quarter"}, 90),
        ({"per": "half-year"}, 182),
        ({"per": "year"}, 365),
        ({"days": 10}, 10),
    ],
)
def test_a_period_has_so_many_days(limit, days):
    compiled = model(a={"limit": {"times": 1} | limit})

    assert points(run([fact(0), fact(days * DAY - 1), fact(days * DAY)], compiled)) == [10, 0, 10]


def test_a_limit_for_ever_never_ends():
    assert points(run([fact(0), fact(999 * DAY)], model(a={"limit": {"times": 1, "per": "ever"}}))) == [10, 0]


@pytest.mark.parametrize("limit", [{"times": 1}, {"times": 1, "per": "day", "days": 3}])
def test_a_limit_needs_one_period(limit):
    with pytest.raises(ModelError, match="either per or days"):
        model(a={"limit": limit})


def test_points_that_expire_at_once_are_refused():
    with pytest.raises(ModelError, match="expires_after: 90d"):
        model(a={"expires_after": "0d"})


def test_a_line_clamped_to_nothing_still_counts_as_granted():
    compiled = model(limits={"engagement_max": 10}, a={"limit": {"times": 2, "per": "ever"}}, b={"event": "B", "points": -10})

    folded = run([fact(1), fact(2), fact(3, "B"), fact(4)], compiled)

    assert [(line.points, line.reason) for line in folded.lines] == [(10, ""), (0, "at most 10"), (-10, ""), (0, "limit: 2 ever")]


def test_above_the_stop_nothing_is_added_and_the_crossing_event_counts_whole():
    compiled = model(limits={"stop_above": 25}, a={}, b={}, minus={"event": "B", "points": -20})

    folded = run([fact(1), fact(2), fact(3), fact(4, "B"), fact(5)], compiled)

    assert points(folded) == [10, 10, 10, 10, 0, 0, -20, 10, 10]
    assert folded.lines[4].reason == "stops above 25"
    check_sums(folded)


def test_at_exactly_the_stop_it_still_rises():
    assert points(run([fact(1), fact(2), fact(3)], model(limits={"stop_above": 10}, a={}))) == [10, 10, 0]


def test_engagement_is_held_between_floor_and_maximum():
    compiled = model(limits={"engagement_max": 25, "floor": -5}, a={"points": 20}, b={"event": "B", "points": -40})

    folded = run([fact(1), fact(2), fact(3), fact(4, "B"), fact(5, "B"), fact(6)], compiled)

    assert [(line.raw, line.points, line.reason) for line in folded.lines] == [
        (20, 20, ""),
        (20, 5, "at most 25"),
        (20, 0, "at most 25"),
        (-40, -30, "not below -5"),
        (-40, 0, "not below -5"),
        (20, 20, ""),
    ]
    check_sums(folded)


def test_limits_hold_the_sum_of_one_event():
    assert points(run([fact(1)], model(limits={"floor": 0}, a={"points": -10}, b={"points": 30}))) == [-10, 30]
    assert points(run([fact(1)], model(limits={"engagement_max": 25}, a={"points": 20}, b={"points": 20}, c={"points": -5}))) == [
        20,
        10,
        -5,
    ]


# --- expiry


def test_points_expire_once_at_their_time():
    compiled = model(a={"expires_after": "90d"})
    first = run([fact(0)], compiled)

    early = run([], compiled, state=first.state, until=90 * DAY - 1)
    due = run([], compiled, state=early.state, until=90 * DAY)
    late = run([fact(200 * DAY, "OTHER")], compiled, state=due.state, until=END)

    assert (first.state.next_due, early.lines) == (90 * DAY, [])
    [line] = due.lines
    assert (line.at, line.kind, line.raw, line.points) == (90 * DAY, "expiry", -10, -10)
    assert line.cause == f"expiry:{first.lines[0].cause}"
    assert (due.state.engagement, due.state.next_due, late.lines) == (0, None, [])


def test_an_expiry_comes_before_a_fact_of_the_same_time_and_takes_back_what_was_applied():
    compiled = model(limits={"engagement_max": 15}, a={"expires_after": "1d"})

    folded = run([fact(0), fact(HOUR), fact(DAY), fact(DAY + HOUR)], compiled)

    assert [(line.kind, line.points) for line in folded.lines] == [
        ("points", 10),
        ("points", 5),
        ("expiry", -10),
        ("points", 10),
        ("expiry", -5),
        ("points", 5),
    ]
    check_sums(folded)


def test_an_expiry_stops_at_the_floor_and_a_limited_line_has_nothing_to_expire():
    compiled = model(limits={"floor": 0}, a={"expires_after": "1d", "limit": {"times": 1, "per": "ever"}}, b={"event": "B", "points": -8})

    folded = run([fact(0), fact(1), fact(2, "B")], compiled, until=END)

    assert [(line.kind, line.points, line.reason) for line in folded.lines] == [
        ("points", 10, ""),
        ("points", 0, "limit: 1 ever"),
        ("points", -8, ""),
        ("expiry", -2, "not below 0"),
    ]
    assert folded.state.next_due is None


def test_an_expiry_can_open_a_gate():
    gates = [{"key": "cooled", "from": "cold", "to": "lost", "conditions": [{"field": "lead.score", "op": "lte", "value": -5}]}]
    compiled = model(gates=gates, a={"expires_after": "1d"}, b={"event": "B", "points": -5})
    facts = [fact(0), fact(1, "B")]

    folded = run(facts, compiled, until=END)

    assert [(m.at, m.to_stage, m.cause) for m in folded.moves] == [(DAY, "lost", f"expiry:{facts[0].cause}")]


# --- fit

FIT = [
    {"key": "cto", "when": [{"field": "lead.title", "op": "has_word", "value": "CTO"}], "points": 15},
    {"key": "big", "when": [{"field": "company.employees", "op": "gte", "value": 100}], "points": 30},
    {"key": "student", "when": [{"field": "lead.email", "op": "ends_with", "value": ".edu"}], "points": -20},
]


def test_fit_is_held_while_its_conditions_hold():
    cto = fact(1, "IDENTIFIED", traits={"title": "CTO"})
    same = fact(2, "IDENTIFIED", traits={"title": "Founder & CTO"})
    left = fact(3, "IDENTIFIED", traits={"title": "Advisor"})

    folded = run([cto, same, left], model(fit=FIT))

    assert [(line.axis, line.kind, line.cause, line.rule, line.raw, line.points, line.reason) for line in folded.lines] == [
        ("fit", "fit", f"fit:{cto.cause}", "cto", 15, 15, ""),
        ("fit", "fit", f"fit:{left.cause}", "cto", 0, -15, "no longer holds"),
    ]
    assert folded.state.held == {}


def test_fit_is_held_within_its_limits():
    facts = [fact(1, traits={"title": "CTO", "company": {"employees": 500}}), fact(2, traits={"title": None})]

    folded = run(facts, model(fit=FIT, limits={"fit_max": 40, "fit_min": -10}))
    student = run([fact(1, traits={"email": "a@uni.edu"})], model(fit=FIT, limits={"fit_max": 40, "fit_min": -10}))

    assert [(line.rule, line.points, line.reason) for line in folded.lines] == [
        ("big", 30, ""),
        ("cto", 10, "at most 40"),
        ("cto", -10, "no longer holds"),
    ]
    assert points(student) == [-10]
    check_sums(folded)


def test_a_new_version_refreshes_fit_when_it_is_published():
    models = {1: model(fit=FIT), 2: model(fit=[FIT[0] | {"points": 5}], version=2)}
    published = [Published(0, 1), Published(2 * DAY, 2)]

    folded = run([fact(1, traits={"title": "CTO"}), fact(3 * DAY, version=2)], models, live=2, published=published)

    assert [(line.at, line.points, line.version) for line in folded.lines if line.axis == "fit"] == [(1, 15, 1), (2 * DAY, -10, 2)]


def test_another_company_brings_its_own_traits():
    acme = {"company": {"id": "acme", "employees": 500}}
    tiny = {"company": {"id": "tiny", "name": "Tiny"}}

    folded = run([fact(1, traits=acme), fact(2, traits=tiny), fact(3, traits={"company": "Tiny Ltd"})], model(fit=FIT))

    assert points(folded) == [30, -30]
    assert folded.state.company == {"id": "tiny", "name": "Tiny Ltd"}


def test_fit_comes_before_rules():
    folded = run([fact(1, traits={"title": "CTO"})], model(fit=FIT, a={}))

    assert [line.axis for line in folded.lines] == ["fit", "engagement"]


# --- who counts


def test_suspect_engagement_neither_scores_nor_satisfies():
    folded = run([fact(1, "DEMO_REQUESTED", counts=False), fact(2, "DOWNLOADED_API_DOCS", counts=False)], compile_model(FOUNDING, 1))

    assert (folded.lines, folded.moves, folded.state.counters) == ([], [], {})


def test_an_anonymous_visitor_scores_and_passes_gates_once_known():
    facts = [fact(1, "DEMO_REQUESTED", identifies=False), fact(2, "DOWNLOADED_API_DOCS", identifies=False)]
    known = fact(3, "IDENTIFIED")

    anonymous = run(facts, compile_model(FOUNDING, 1))
    joined = run([known], compile_model(FOUNDING, 1), state=anonymous.state)

    assert (points(anonymous), anonymous.moves) == ([20], [])
    assert [(m.at, m.to_stage, m.cause) for m in joined.moves] == [(3, "mql", known.cause), (3, "sql", known.cause)]


def test_without_a_version_nothing_is_worth_anything():
    folded = run([fact(1, "DOWNLOADED_API_DOCS", version=None), fact(2, "DOWNLOADED_API_DOCS", version=9)], compile_model(FOUNDING, 1))

    assert (folded.lines, stages(folded)) == ([], [("cold", "mql")])
    assert run([fact(1, "DEMO_REQUESTED")], {}, live=None).moves == []


# --- moves

BACK = PastMove(50 * DAY, 3, "sql", "mql")
PROMOTED = [PastMove(1 * DAY, 1, "cold", "mql"), PastMove(1 * DAY, 2, "mql", "sql")]


def moved_back(*later):
    before = [fact(DAY, "DEMO_REQUESTED"), *(fact(2 * DAY + i, "DOWNLOADED_API_DOCS") for i in range(5))]
    return run([*before, *later], compile_model(FOUNDING, 1), past=[*PROMOTED, BACK], until=END)


def test_after_a_move_backwards_old_evidence_opens_nothing():
    folded = moved_back(fact(51 * DAY, "SOMETHING_ELSE"), fact(52 * DAY, "ABANDONED_CHECKOUT"))

    assert (folded.state.engagement, folded.state.stage, folded.moves) == (115, "mql", [])


def test_after_a_move_backwards_twenty_new_points_let_the_score_count_again():
    folded = moved_back(fact(51 * DAY, "ABANDONED_CHECKOUT"), fact(52 * DAY, "VIEWED_PRICING"))

    assert [(m.at, m.from_stage, m.to_stage, m.gate) for m in folded.moves] == [(52 * DAY, "mql", "sql", "hot")]
    assert folded.state.restart is None


def test_after_a_move_backwards_a_new_event_counts():
    assert stages(moved_back(fact(51 * DAY, "DEMO_REQUESTED"))) == [("mql", "sql")]
    assert stages(moved_back(fact(50 * DAY, "DEMO_REQUESTED"))) == []


def test_points_of_the_very_moment_of_the_move_are_not_earned_since():
    state = moved_back().state

    folded = run([fact(50 * DAY, "DOWNLOADED_API_DOCS")], compile_model(FOUNDING, 1), state=state)

    assert (folded.state.restart.earned, folded.moves) == (0, [])


def test_a_move_backwards_holds_gates_and_never_points():
    compiled = model(a={}, b={"event": "B", "points": 1, "when": [{"field": "lead.score", "op": "gte", "value": 10}]})

    folded = run([fact(DAY), fact(60 * DAY, "B")], compiled, past=[*PROMOTED, BACK])

    assert points(folded) == [10, 1]


def test_what_is_missing_says_why_old_points_do_not_count():
    state = moved_back(fact(51 * DAY, "ABANDONED_CHECKOUT")).state

    told = {gate.key: checks for gate, checks in what_is_missing(state, compile_model(FOUNDING, 1), stages=STAGES, now=52 * DAY)}

    assert [(check.ok, check.current) for check in told["hot"]] == [
        (False, "115, held since the move backwards: 15 of 20 new points"),
        (False, "0/1"),
        (False, "0/3 in 7 days"),
    ]


def test_leaving_a_final_stage_backwards_restarts_evidence_too():
    past = [PastMove(DAY, 1, "cold", "lost"), PastMove(2 * DAY, 2, "lost", "mql")]

    folded = run([fact(HOUR, "SOMETHING_ELSE"), fact(3 * DAY, "ABANDONED_CHECKOUT")], compile_model(FOUNDING, 1), past=past)

    assert (folded.state.stage, folded.state.restart.position, folded.state.restart.earned) == ("mql", 4, 15)


def test_going_further_back_keeps_holding_until_the_highest_stage_is_reached():
    past = [*PROMOTED, BACK, PastMove(51 * DAY, 4, "mql", "cold")]
    facts = [fact(DAY, "DEMO_REQUESTED"), *(fact(2 * DAY + i, "DOWNLOADED_API_DOCS") for i in range(5)), fact(52 * DAY, "DEMO_REQUESTED")]

    slow = run([*facts[:-1], fact(52 * DAY, "DOWNLOADED_API_DOCS", version=None)], compile_model(FOUNDING, 1), past=past)

    assert stages(slow) == [("cold", "mql")]
    assert stages(run(facts, compile_model(FOUNDING, 1), past=past)) == [("cold", "mql"), ("mql", "sql")]


def test_recorded_moves_are_replayed_and_never_made_again():
    facts = [fact(DAY, "DEMO_REQUESTED"), fact(2 * DAY, "VIEWED_PRICING")]
    first = run(facts, compile_model(FOUNDING, 1))
    past = [PastMove(m.at, seq, m.from_stage, m.to_stage) for seq, m in enumerate(first.moves, 1)]

    again = run(facts, compile_model(FOUNDING, 1), past=past)

    assert (again.moves, again.lines, again.state.to_json() | {"watermark": 0}) == (
        [],
        first.lines,
        first.state.to_json() | {"watermark": 0},
    )


def test_a_late_fact_leads_as_far_as_in_time_and_stands_after_the_last_move():
    views = [fact(day * DAY, "VIEWED_PRICING") for day in (2, 3, 4)]
    late, trial = fact(DAY, "DOWNLOADED_API_DOCS"), fact(60 * DAY, "DOWNLOADED_API_DOCS")
    past = [PastMove(60 * DAY, 1, "cold", "mql")]

    folded = run([late, *views, trial], compile_model(FOUNDING, 1), past=past)

    assert [(m.at, m.from_stage, m.to_stage, m.cause) for m in folded.moves] == [(60 * DAY, "mql", "sql", views[2].cause)]


def test_a_hand_move_is_not_undone_by_what_would_have_happened():
    past = [PastMove(60 * DAY, 1, "cold", "lost")]

    folded = run([fact(DAY, "DEMO_REQUESTED"), fact(61 * DAY, "VIEWED_PRICING")], compile_model(FOUNDING, 1), past=past)

    assert (folded.state.stage, folded.state.seq, folded.moves) == ("lost", 1, [])


def test_a_hand_move_forward_tries_the_gates_of_its_stage():
    state = run(
        [fact(DAY, "ABANDONED_CHECKOUT")] + [fact(DAY + i, "ABANDONED_CHECKOUT") for i in range(1, 6)], compile_model(FOUNDING, 1)
    ).state

    folded = run([], compile_model(FOUNDING, 1), state=state, past=[PastMove(9 * DAY, 1, "cold", "mql")], until=10 * DAY)

    assert [(m.at, m.to_stage, m.cause) for m in folded.moves] == [(9 * DAY, "sql", "move:1")]


def test_gates_that_open_each_other_stop():
    gates = [
        {"key": "up", "from": "cold", "to": "mql", "conditions": [{"field": "lead.score", "op": "exists"}]},
        {"key": "down", "from": "mql", "to": "cold", "conditions": [{"field": "lead.score", "op": "exists"}]},
    ]
    first = run([fact(1)], model(gates=gates))
    past = [PastMove(m.at, seq, m.from_stage, m.to_stage) for seq, m in enumerate(first.moves, 1)]

    assert len(first.moves) == len(STAGES)
    assert len(run([fact(1)], model(gates=gates), past=past).moves) == 0


def test_gates_are_tried_in_the_documents_order():
    gates = [
        {"key": "b", "from": "cold", "to": "sql", "conditions": [{"event": "A"}]},
        {"key": "a", "from": "cold", "to": "mql", "conditions": [{"event": "A"}]},
    ]

    assert stages(run([fact(1)], model(gates=gates))) == [("cold", "sql")]


def test_a_gate_to_a_stage_that_is_gone_stays_shut():
    gates = [{"key": "x", "from": "cold", "to": "trial", "conditions": [{"event": "A"}]}]

    assert run([fact(1)], model(gates=gates)).moves == []


def test_a_gate_that_waits_for_silence_opens_when_it_is_due():
    gates = [
        {
            "key": "quiet",
            "from": "mql",
            "to": "cold",
            "match": "all",
            "conditions": [{"event": "A", "times": {"at_most": 1}, "within": "7d"}],
        },
        {"key": "busy", "from": "cold", "to": "mql", "conditions": [{"event": "A", "times": {"at_least": 2}, "within": "7d"}]},
    ]
    compiled = model(gates=gates)

    folded = run([fact(DAY), fact(2 * DAY)], compiled)
    later = run([], compiled, state=State.from_json(folded.state.to_json()), until=END)

    assert (stages(folded), folded.state.next_due) == ([("cold", "mql")], 8 * DAY)
    assert [(m.at, m.to_stage, m.cause) for m in later.moves] == [(8 * DAY, "cold", f"time:{8 * DAY}")]
    assert later.state.next_due is None


# --- the state


def test_the_state_survives_json_and_stays_small():
    gates = FOUNDING["gates"]
    compiled = model(
        gates=gates,
        fit=FIT,
        limits={"stop_above": 300, "floor": 0},
        a={"limit": {"times": 3, "per": "day"}, "expires_after": "2d"},
        view={"event": "VIEWED_PRICING", "limit": {"times": 5, "per": "ever"}},
    )
    types = ["A", "VIEWED_PRICING", "DEMO_REQUESTED", "OTHER"]
    facts = [fact(i * HOUR, types[i % 4], traits={"title": f"CTO {i % 7}"}) for i in range(10_000)]

    short, long = run(facts[:200], compiled), run(facts, compiled)

    sizes = [len(json.dumps(folded.state.to_json())) for folded in (short, long)]
    assert sizes[1] < sizes[0] + 100
    assert State.from_json(json.loads(json.dumps(long.state.to_json()))) == long.state


def test_folding_does_not_change_the_state_it_was_given():
    compiled = compile_model(FOUNDING, 1)
    state = run([fact(1, "DEMO_REQUESTED", traits={"title": "x", "company": {"name": "y"}})], compiled, past=[BACK]).state
    before = json.dumps(state.to_json())

    run([fact(60 * DAY, "DOWNLOADED_API_DOCS", traits={"title": "z", "company": {"name": "w"}})], compiled, state=state)

    assert json.dumps(state.to_json()) == before


def test_counters_of_a_version_that_is_no_longer_live_are_dropped():
    state = run([fact(1, "DEMO_REQUESTED")], compile_model(FOUNDING, 1)).state

    assert run([], {2: model(version=2)}, state=state, live=2).state.counters == {}
