"""The condition language: what it accepts, what it means, how it explains itself."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import Q
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from leads.condition_queries import to_q
from leads.conditions import ConditionError, EventView, Place, View, describe, evaluate, event_counts, explain, lookup, parse
from leads.models import Lead
from tests.factories import make_lead


class Person(View):
    """A view made of plain values."""

    def __init__(self, *, fields=None, counts=None, points=None, seconds=0.0, campaigns=(), held=""):
        self.fields, self.counts, self.points = fields or {}, counts or {}, points or {}
        self.seconds, self.campaigns, self.held = seconds, campaigns, held

    def field(self, path):
        return lookup(self.fields, path)

    def count(self, cond):
        return self.counts.get(cond.event, 0)

    def number(self, axis):
        return self.points.get(axis, 0)

    def seconds_in_stage(self):
        return self.seconds

    def in_campaign(self, cond):
        return (cond.key or cond.trigger, cond.status) in self.campaigns

    def held_back(self):
        return self.held


def holds(condition, view=None, *, place=Place.RUN, **values):
    return evaluate(parse(condition, place=place), view or Person(**values))


def compare(value, op, wanted=None):
    condition = {"field": "lead.traits.x", "op": op} | ({} if wanted is None else {"value": wanted})
    return holds(condition, fields={"lead.traits.x": value})


def problem(conditions, *, place=Place.GATE):
    with pytest.raises(ConditionError) as caught:
        parse(conditions, place=place)
    return caught.value


@pytest.mark.parametrize(
    ("value", "op", "wanted"),
    [
        ("Team", "is", "tEAM"),
        ("Straße", "is", "STRASSE"),
        (5, "is", 5),
        (5, "is", 5.0),
        (Decimal("5.00"), "is", 5),
        (True, "is", True),
        ("team", "is_not", "free"),
        ("CTO & founder", "contains", "FOUND"),
        (["api", "SSO"], "contains", "sso"),
        ("team", "not_contains", "free"),
        ("CTO & founder", "has_word", "cto"),
        ("Head of Engineering", "has_word", "head of"),
        ("/docs/api", "starts_with", "/Docs"),
        ("a@Example.com", "ends_with", "@example.com"),
        ("/docs/api/v2", "matches", "/docs/*/V?"),
        ("sql", "in", ["SQL", "won"]),
        (3, "in", [1, 2, 3]),
        (["a", "b"], "in", ["B"]),
        ("cold", "not_in", ["sql", "won"]),
        (6, "gt", 5),
        (5, "gte", 5),
        (4.5, "lt", 5),
        (5, "lte", 5),
        (5, "between", [5, 9]),
        ("2026-02-01", "gt", "2026-01-31"),
        ("b", "between", ["A", "C"]),
        (0, "exists", None),
        (False, "exists", None),
        (None, "missing", None),
        ("", "missing", None),
    ],
)
def test_an_operator_holds(value, op, wanted):
    assert compare(value, op, wanted)


@pytest.mark.parametrize(
    ("value", "op", "wanted"),
    [
        ("Team", "is", "Teams"),
        (1, "is", True),
        (True, "is", 1),
        ("5", "is", 5),
        ("Director", "has_word", "CTO"),
        ("CTOs", "has_word", "CTO"),
        ("xdocs", "matches", "docs*"),
        (["api"], "contains", "ap"),
        ("sql", "not_in", ["SQL"]),
        ("CTO", "not_contains", "cto"),
        (5, "gt", 5),
        (4, "between", [5, 9]),
        ("", "exists", None),
        (0, "missing", None),
        ({"a": 1}, "is", "a"),
        ([], "gt", 0),
    ],
)
def test_an_operator_does_not_hold(value, op, wanted):
    assert not compare(value, op, wanted)


@pytest.mark.parametrize("op", ["is", "gt", "gte", "lt", "lte", "contains"])
@pytest.mark.parametrize(("value", "wanted"), [(5, "5"), ("5", 5), (True, 1), ({}, 1), ([], "x")])
def test_comparing_a_number_with_text_is_false_never_an_error(op, value, wanted):
    assert not compare(value, op, wanted)


@pytest.mark.parametrize("op", ["has_word", "starts_with", "ends_with", "matches", "contains"])
def test_a_number_has_no_words(op):
    assert not compare(5, op, "5")


ALL_VALUES = {"in": ["x"], "not_in": ["x"], "between": [1, 2], "exists": None, "missing": None}
OPERATORS = "is is_not contains not_contains has_word starts_with ends_with matches in not_in gt gte lt lte between exists missing".split()


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("fields", [{}, {"lead.traits.x": None}, {"lead.traits.x": ""}])
def test_nothing_passes_only_missing_and_the_negative_operators(op, fields):
    condition = {"field": "lead.traits.x", "op": op}
    if ALL_VALUES.get(op, "x") is not None:
        condition["value"] = ALL_VALUES.get(op, "x")

    assert holds(condition, fields=fields) is (op in ("missing", "is_not", "not_contains", "not_in"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from([op for op in OPERATORS if op not in ALL_VALUES]),
    st.sampled_from(["x", "5", "a b"]),
)
def test_no_value_makes_an_operator_fail(value, op, wanted):
    assert compare(value, op, wanted) in (True, False)


def test_a_list_means_all_and_nothing_means_always():
    assert holds([])
    assert holds([{"score": {"at_least": 5}}, {"fit": {"at_least": 1}}], points={"score": 5, "fit": 1})
    assert not holds([{"score": {"at_least": 5}}, {"fit": {"at_least": 2}}], points={"score": 5, "fit": 1})


def test_all_any_and_not_nest():
    condition = {"any": [{"all": [{"score": {"at_least": 80}}, {"not": {"event": "LEFT"}}]}, {"event": "DEMO_REQUESTED"}]}

    assert holds(condition, points={"score": 80})
    assert not holds(condition, points={"score": 80}, counts={"LEFT": 1})
    assert holds(condition, counts={"LEFT": 1, "DEMO_REQUESTED": 1})
    assert holds({"not": [{"event": "A"}, {"event": "B"}]}, counts={"A": 1})


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        (None, {0: False, 1: True, 2: True}),
        ({"at_least": 2}, {1: False, 2: True, 3: True}),
        ({"at_most": 1}, {0: True, 1: True, 2: False}),
        ({"at_most": 0}, {0: True, 1: False}),
        ({"exactly": 2}, {1: False, 2: True, 3: False}),
    ],
)
def test_events_are_counted(times, counts):
    condition = {"event": "A"} | ({"times": times} if times else {})

    assert {count: holds(condition, counts={"A": count}) for count in counts} == counts


def test_an_event_condition_knows_what_it_needs():
    [node] = event_counts(parse([{"event": "A", "times": {"at_most": 2}, "within": "7d", "every": "30m"}], place=Place.GATE))

    assert (node.need, node.within, node.every, node.since, node.of) == (3, 604_800_000_000, 1_800_000_000, "ever", "lead")


def test_what_is_counted_has_a_key_that_does_not_depend_on_how_often():
    def key(**more):
        return event_counts(parse([{"event": "A"} | more], place=Place.GATE))[0].key

    assert key() == key(times={"at_least": 5})
    others = [key(), key(within="7d"), key(every="7d"), key(when=[{"field": "event.x", "op": "exists"}])]
    assert len(set(others)) == len(others)
    assert key(within="7d") == key(within="1w")


def test_in_a_campaign_events_count_since_the_run_began():
    assert event_counts(parse([{"event": "A"}], place=Place.RUN))[0].since == "run"
    assert event_counts(parse([{"event": "A", "since": "ever"}], place=Place.RUN))[0].since == "ever"
    assert event_counts(parse([{"event": "A"}], place=Place.AUDIENCE))[0].since == "ever"


def test_an_event_condition_looks_at_the_events_properties():
    [node] = event_counts(parse([{"event": "A", "when": [{"field": "event.cart.total", "op": "gt", "value": 100}]}], place=Place.GATE))

    assert evaluate(node.when, EventView({"cart": {"total": 120}}))
    assert evaluate(node.when, EventView({"cart.total": 120}))
    assert not evaluate(node.when, EventView({"cart": 120}))


def test_time_in_stage_and_campaigns_are_seen_where_they_are_allowed():
    assert holds({"in_stage_for": "7d"}, seconds=7 * 86_400)
    assert not holds({"in_stage_for": "7d"}, seconds=7 * 86_400 - 1)
    assert holds({"campaign": "WELCOME", "status": "completed"}, campaigns={("WELCOME", "completed")})
    assert holds({"campaign": {"trigger": "event"}}, campaigns={("event", "active")})


@pytest.mark.parametrize(
    ("condition", "place", "path", "cure"),
    [
        ({"field": "lead.titel", "op": "is", "value": "x"}, Place.GATE, [0, "field"], "did you mean lead.title"),
        ({"field": "titel", "op": "is", "value": "x"}, Place.GATE, [0, "field"], "begin with lead. or company."),
        ({"field": "event.plan", "op": "is", "value": "x"}, Place.FIT, [0, "field"], "begin with lead. or company."),
        ({"field": "event.plan", "op": "is", "value": "x"}, Place.RUN, [0, "field"], "begin with lead. or company."),
        ({"field": "lead.", "op": "exists"}, Place.GATE, [0, "field"], "no field"),
        ({"field": ["lead.title"], "op": "exists"}, Place.GATE, [0, "field"], "no field"),
        ({"field": "lead.stage", "op": "is", "value": "mql"}, Place.RULE, [0, "field"], "not known when points are given"),
        ({"field": "lead.fit", "op": "gt", "value": 1}, Place.FIT, [0, "field"], "not known when points are given"),
        ({"field": "lead.title", "op": "contain", "value": "x"}, Place.GATE, [0, "op"], "did you mean contains"),
        ({"field": "lead.title", "value": "x"}, Place.GATE, [0, "op"], "op is missing"),
        ({"field": "lead.title", "op": ["is"], "value": "x"}, Place.GATE, [0, "op"], "no operator"),
        ({"field": "lead.title", "op": "is"}, Place.GATE, [0, "value"], "needs a value"),
        ({"field": "lead.title", "op": "is", "value": ""}, Place.GATE, [0, "value"], "use op: missing"),
        ({"field": "lead.title", "op": "in", "value": "x"}, Place.GATE, [0, "value"], "a list of values"),
        ({"field": "lead.title", "op": "has_word", "value": 5}, Place.GATE, [0, "value"], "a text"),
        ({"field": "lead.fit", "op": "between", "value": [1, "2"]}, Place.GATE, [0, "value"], "two numbers or two texts"),
        ({"field": "lead.title", "op": "exists", "value": True}, Place.GATE, [0, "value"], "leave value out"),
        ({"field": "lead.title", "op": "is", "val": "x"}, Place.GATE, [0, "val"], "did you mean value"),
        ({"evnt": "A"}, Place.GATE, [0], "did you mean event"),
        ({}, Place.GATE, [0], "is no condition"),
        ({"event": "A", "score": {"at_least": 1}}, Place.GATE, [0], "make it two conditions"),
        ({"event": "Viewed Pricing"}, Place.GATE, [0, "event"], "write it like VIEWED_PRICING"),
        ({"event": 5}, Place.GATE, [0, "event"], "no event type"),
        ({"event": "A", "of": "team"}, Place.GATE, [0, "of"], "of is lead"),
        ({"event": "A", "since": "run"}, Place.GATE, [0, "since"], "leave since out"),
        ({"event": "A", "since": "monday"}, Place.RUN, [0, "since"], "ever or run"),
        ({"event": "A", "within": "7 days"}, Place.GATE, [0, "within"], "for example 10m or 7d"),
        ({"event": "A", "within": "0d"}, Place.GATE, [0, "within"], "longer than nothing"),
        ({"event": "A", "times": 3}, Place.GATE, [0, "times"], "at_least: 3"),
        ({"event": "A", "times": {"at_least": 0}}, Place.GATE, [0, "times", "at_least"], "from 1 to 1000"),
        ({"event": "A", "times": {"at_least": True}}, Place.GATE, [0, "times", "at_least"], "whole number"),
        ({"event": "A", "times": {"at_last": 3}}, Place.GATE, [0, "times", "at_last"], "did you mean at_least"),
        ({"event": "A", "times": {"at_least": 1, "at_most": 3}}, Place.GATE, [0, "times"], "exactly one of"),
        ({"event": "A", "when": [{"field": "lead.title", "op": "exists"}]}, Place.GATE, [0, "when", 0, "field"], "begin with event."),
        ({"event": "A"}, Place.RULE, [0, "event"], "a scoring rule cannot ask for event"),
        ({"score": 80}, Place.GATE, [0, "score"], "at_least: 80"),
        ({"score": {"at_least": "80"}}, Place.GATE, [0, "score"], "whole number"),
        ({"score": {"at_most": 80}}, Place.GATE, [0, "score", "at_most"], "did you mean at_least"),
        ({"idle_for": "7 days"}, Place.GATE, [0, "idle_for"], "for example 10m or 7d"),
        ({"idle_for": "7d"}, Place.EXCLUDE, [0, "idle_for"], "an exclusion cannot ask for idle_for"),
        ({"in_stage_for": "7d"}, Place.RULE, [0, "in_stage_for"], "cannot ask for in_stage_for"),
        ({"campaign": "X"}, Place.GATE, [0, "campaign"], "cannot ask for campaign"),
        ({"campaign": "X", "status": "activ"}, Place.RUN, [0, "status"], "did you mean active"),
        ({"campaign": {"trigger": "mail"}}, Place.RUN, [0, "campaign", "trigger"], "no kind of trigger"),
        ({"campaign": 5}, Place.RUN, [0, "campaign"], "by its key"),
        ({"any": []}, Place.GATE, [0, "any"], "at least one condition"),
        ({"any": [{"event": "A"}, {"evnt": "B"}]}, Place.GATE, [0, "any", 1], "did you mean event"),
        ({"not": {"evnt": "B"}}, Place.GATE, [0, "not"], "did you mean event"),
        ("score", Place.GATE, [0], "a condition is a mapping"),
        (None, Place.GATE, [0], "a condition is a mapping"),
    ],
)
def test_a_mistake_says_where_it_is_and_how_to_cure_it(condition, place, path, cure):
    error = problem([condition], place=place)

    assert error.path == path
    assert cure in str(error)


def test_conditions_that_nest_without_end_are_refused():
    conditions = [{"event": "A"}]
    for _ in range(5000):
        conditions = [{"not": conditions}]

    assert "too deeply" in str(problem(conditions))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["event", "field", "A", "lead.title", "is"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["field", "op", "value", "event", "times", "within", "all", "any", "not", "score", "campaign", "status", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(Place),
)
def test_anything_at_all_is_read_or_refused_with_a_sentence(conditions, place):
    try:
        node = parse(conditions, place=place)
    except ConditionError as error:
        assert str(error)
    else:
        assert describe(node)
        assert evaluate(node, Person()) in (True, False)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ([], "always"),
        ({"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}, "VIEWED_PRICING at least 3 times within 7 days"),
        ({"event": "A", "times": {"at_most": 0}, "every": "30m"}, "never A, 30 minutes apart"),
        ({"event": "A", "times": {"exactly": 1}, "within": "1d"}, "A exactly 1 time within 1 day"),
        ({"event": "A", "when": [{"field": "event.plan", "op": "is", "value": "team"}]}, "A where event.plan is “team”"),
        ({"field": "lead.traits.seats", "op": "between", "value": [5, 10]}, "seats is between 5 and 10"),
        ({"field": "lead.stage", "op": "in", "value": ["sql", "won"]}, "stage is one of “sql”, “won”"),
        ({"field": "company.name", "op": "missing"}, "company.name is not known"),
        ({"in_stage_for": "90s"}, "in this stage for 90 seconds"),
        ({"campaign": {"trigger": "event"}, "status": "ever"}, "was ever in any campaign triggered by event"),
        ({"not": {"any": [{"score": {"at_least": 80}}, {"event": "A"}]}}, "not (score at least 80 or A)"),
        ([{"any": [{"event": "A"}, {"event": "B"}]}, {"event": "C"}], "(A or B) and C"),
    ],
)
def test_a_condition_reads_as_a_phrase(condition, text):
    assert describe(parse(condition, place=Place.RUN)) == text


def test_what_is_missing_is_told_with_current_values():
    node = parse(
        [
            {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"},
            {"score": {"at_least": 80}},
            {"not": {"field": "lead.title", "op": "has_word", "value": "student"}},
        ],
        place=Place.GATE,
    )
    view = Person(counts={"VIEWED_PRICING": 2}, points={"score": 85}, fields={"lead.title": "CTO"}, held="held since the move backwards")

    assert [(check.ok, check.current) for check in explain(node, view)] == [
        (False, "2/3 in 7 days"),
        (False, "85, held since the move backwards"),
        (True, "“CTO”"),
    ]


@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ({"score": {"at_least": 80}}, False),
        ({"field": "lead.score", "op": "gte", "value": 80}, False),
        ({"not": {"score": {"at_least": 80}}}, False),
        ({"not": {"field": "lead.score", "op": "lt", "value": 80}}, False),
        ({"field": "lead.score", "op": "lt", "value": 90}, True),
        ({"not": {"score": {"at_least": 90}}}, True),
        ({"event": "A"}, True),
    ],
)
def test_old_points_open_nothing_and_close_nothing_while_held_back(condition, answer):
    view = Person(points={"score": 85}, fields={"lead.score": 85}, counts={"A": 1}, held="held")

    assert holds(condition, view, place=Place.GATE) is answer


class Row(Person):
    """The view of a stored lead."""

    def __init__(self, lead):
        names = ("name", "email", "title", "country", "score", "engagement", "fit")
        fields = {f"lead.{name}": getattr(lead, name) for name in names} | {"lead.stage": lead.stage_id}
        seconds = (timezone.now() - lead.stage_since).total_seconds()
        super().__init__(
            fields=fields, points={"score": lead.score, "engagement": lead.engagement, "fit": lead.fit}, seconds=seconds, campaigns=()
        )


AUDIENCES = [
    ([], True),
    ({"score": {"at_least": 30}}, True),
    ({"score": {"at_least": 10**12}}, False),
    ({"field": "lead.score", "op": "between", "value": [10, 30]}, True),
    ({"field": "lead.score", "op": "gt", "value": 9.5}, False),
    ({"field": "lead.stage", "op": "is_not", "value": "SQL"}, True),
    ({"field": "lead.stage", "op": "in", "value": ["sql", "Won"]}, True),
    ({"field": "lead.title", "op": "missing"}, True),
    ({"field": "lead.title", "op": "exists"}, True),
    ({"field": "lead.title", "op": "has_word", "value": "cto"}, False),
    ({"field": "lead.title", "op": "is", "value": "müller"}, False),
    ({"field": "lead.title", "op": "not_contains", "value": "cto"}, False),
    ({"event": "A", "times": {"at_most": 0}}, False),
    ({"in_stage_for": "7d"}, True),
    ({"campaign": "X", "status": "active"}, True),
    ({"not": {"campaign": "X"}}, True),
    ({"any": [{"score": {"at_least": 50}}, {"field": "lead.stage", "op": "is", "value": "mql"}]}, True),
    ({"any": [{"score": {"at_least": 50}}, {"event": "A"}]}, False),
    ([{"score": {"at_least": 20}}, {"field": "lead.title", "op": "has_word", "value": "cto"}], False),
    ({"not": {"field": "lead.title", "op": "has_word", "value": "cto"}}, False),
    ({"not": [{"score": {"at_least": 20}}, {"field": "lead.stage", "op": "is", "value": "sql"}]}, True),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("condition", "exact"), AUDIENCES)
def test_an_audience_filter_never_leaves_out_a_lead_that_matches(condition, exact):
    now = timezone.now()
    make_lead(title="CTO", engagement=30, stage_id="sql", stage_since=now - timedelta(days=8))
    make_lead(title="MÜLLER", engagement=10, fit=20, stage_id="mql")
    make_lead(title="", engagement=60, stage_id="won", stage_since=now - timedelta(days=6))
    node = parse(condition, place=Place.AUDIENCE)

    found, is_exact = to_q(node, campaign_q=lambda cond: Q(pk__in=[]), now=now)

    passing = set(Lead.objects.filter(found))
    matching = {lead for lead in Lead.objects.all() if evaluate(node, Row(lead))}
    assert is_exact is exact
    assert matching == passing if exact else matching <= passing
