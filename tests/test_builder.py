"""The builder: conditions become rows and rows become the same conditions; what is deeper is never flattened."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads.builder import ALL, ANY, Group, Written, groups_of, kept, written, written_gate
from leads.builder_form import Builder
from leads.builder_rows import Row, condition_of, row_of, without_defaults
from leads.conditions import Place, parse
from leads.shape import same

# --- what rows can say

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines are busy

words = st.text("aB0 é漢ß,;:-{}[]'\"%<&#👍", min_size=1, max_size=12).filter(str.strip)
numbers = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9, allow_nan=False)
paths = st.sampled_from(["lead.title", "lead.traits.seats", "company.employees", "lead.traits.a b", "company.traits.x.y"])
spans = st.builds("{}{}".format, st.integers(1, 99_999), st.sampled_from("smhdw"))


def listed(values):
    return st.lists(values, min_size=1, max_size=4)


comparisons = (
    st.tuples(st.sampled_from(["is", "is_not", "contains", "not_contains"]), words | numbers | st.booleans())
    | st.tuples(st.sampled_from(["has_word", "starts_with", "ends_with", "matches"]), words)
    | st.tuples(st.sampled_from(["gt", "gte", "lt", "lte"]), words | numbers)
    | st.tuples(st.just("between"), st.tuples(numbers, numbers).map(list) | st.tuples(words, words).map(list))
    | st.tuples(st.sampled_from(["in", "not_in"]), listed(words) | listed(numbers) | listed(st.booleans()))
)
fields = st.builds(lambda path, pair: {"field": path, "op": pair[0], "value": pair[1]}, paths, comparisons) | st.builds(
    lambda path, op: {"field": path, "op": op}, paths, st.sampled_from(["exists", "missing"])
)
where = st.builds(lambda one, name: one | {"field": f"event.{name}"}, fields, st.sampled_from(["plan", "page.path"]))
optional = {
    "times": st.builds(lambda word, n: {word: n}, st.sampled_from(["at_least", "at_most", "exactly"]), st.integers(1, 1000)),
    "within": spans,
    "every": spans,
    "of": st.sampled_from(["lead", "company"]),
    "when": st.builds(lambda one: [one], where) | where | st.just([]),
}
events = st.fixed_dictionaries({"event": st.sampled_from(["VIEWED_PRICING", "X1"])}, optional=optional)
points = st.builds(lambda axis, n: {axis: {"at_least": n}}, st.sampled_from(["score", "engagement", "fit"]), st.integers(-10_000, 10_000))
times = st.builds(lambda word, span: {word: span}, st.sampled_from(["in_stage_for", "idle_for"]), spans)
leaves = fields | events | points | times
groups = (
    leaves
    | st.builds(lambda word, items: {word: items}, st.sampled_from(["all", "any"]), listed(leaves))
    | st.builds(lambda items: {"not": {"any": items}}, listed(leaves))
    | st.builds(lambda item: {"not": item}, leaves)
)


@patient
@given(leaves)
def test_a_row_says_what_the_condition_says(condition):
    row = row_of(condition)

    again = condition_of(row)
    assert parse([again], place=Place.GATE) == parse([without_defaults(condition)], place=Place.GATE)
    assert row_of(again) == row


@patient
@given(st.lists(groups, max_size=5) | groups)
def test_groups_give_back_the_document_they_were_made_of(conditions):
    shown = groups_of(conditions)

    assert same(kept(shown, Written(conditions), gate=False).conditions, conditions)


@patient
@given(st.lists(leaves, min_size=1, max_size=4), st.sampled_from(["any", "all"]))
def test_a_gate_with_a_plain_list_is_one_group_and_gives_it_back(conditions, match):
    before = Written(conditions, match)
    shown = groups_of(conditions, match)

    assert [group.kind for group in shown] == [match]
    assert kept(shown, before, gate=True) == before
    assert written_gate(shown).match == match


@patient
@given(st.lists(groups, max_size=4))
def test_what_the_builder_wrote_comes_back_in_the_same_shape(conditions):
    once = written(groups_of(conditions))

    assert same(written(groups_of(once)), once)
    assert all(parse([each], place=Place.GATE) for each in once)


@patient
@given(st.lists(groups, min_size=1, max_size=3), st.lists(st.tuples(*[st.booleans()] * 3), min_size=4, max_size=4))
def test_written_groups_hold_for_whom_the_document_holds(conditions, answers):
    node, again = parse(conditions, place=Place.GATE), parse(written(groups_of(conditions)), place=Place.GATE)

    for number, idle, held in answers:
        view = Coin(number, idle, held)
        assert node.holds(view) == again.holds(view)


class Coin:
    """Answers in a fixed way, whatever is asked."""

    def __init__(self, number, idle, held):
        self.given = (10_000 * number, 10**9 * idle, held)

    def field(self, path):
        return self.given[0] if "e" in path else "CTO"

    def count(self, cond):
        return self.given[0]

    def number(self, axis):
        return self.given[0]

    def seconds_in_stage(self):
        return self.given[1]

    seconds_idle = seconds_in_stage

    def held_back(self):
        return "held" if self.given[2] else ""


# --- what rows can't say


@pytest.mark.parametrize(
    "conditions",
    [
        [{"any": [{"all": [{"score": {"at_least": 1}}, {"fit": {"at_least": 1}}]}, {"fit": {"at_least": 9}}]}],
        [{"not": {"not": {"score": {"at_least": 1}}}}],
        [{"not": {"all": [{"score": {"at_least": 1}}, {"fit": {"at_least": 1}}]}}],
        [{"not": [{"score": {"at_least": 1}}]}],
        [{"all": []}],
        [{"campaign": "X"}],
        [{"event": "X", "when": [{"field": "event.a", "op": "exists"}, {"field": "event.b", "op": "exists"}]}],
        [{"event": "X", "when": [{"any": [{"field": "event.a", "op": "exists"}]}]}],
        [{"event": "X", "since": "run"}],
        [{"field": "lead.title", "op": "in", "value": ["CTO", 5]}],
        [{"field": "lead.title", "op": "is", "value": "two\nlines"}],
        [{"field": "lead.title", "op": "in", "value": ["CTO", " "]}],
        [{"field": "lead.title", "op": "between", "value": [1]}],
        [{"field": "lead.title", "op": "is", "value": None}],
        [{"field": "lead.title", "op": "is", "value": {"a": 1}}],
        [{"in_stage_for": "7 d"}],
        [{"score": {"at_least": 1.5}}],
        [{"score": {"at_least": 1}, "fit": {"at_least": 1}}],
        [{"scroe": {"at_least": 1}}],
        ["CTO"],
        "CTO",
    ],
)
def test_what_is_deeper_than_groups_is_not_shown_as_groups(conditions):
    assert groups_of(conditions) is None


def test_alternatives_of_a_gate_that_are_groups_are_not_flattened():
    both = {"all": [{"event": "A"}, {"event": "B"}]}

    assert groups_of([{"event": "X"}, both], "any") is None
    assert groups_of([{"event": "X"}, {"not": {"event": "B"}}], "any") is None
    assert [group.kind for group in groups_of([both], "any")] == ["all"]
    assert kept(groups_of([both], "any"), Written([both], "any"), gate=True) == Written([both], "any")


def test_every_row_that_cannot_be_read_is_named_with_the_cure():
    wrong = [
        Group(ALL, [Row(), Row("lead.title", {"op": "is", "kind": "text"}), Row("lead.titel", {"op": "exists"})]),
        Group(ANY, [Row("lead.traits.seats", {"op": "gt", "kind": "number", "value": "many"}), Row("event", {"event": "!"})]),
    ]
    builder = Builder(Place.GATE, groups=wrong)

    assert builder.read(Written([])) is None
    assert {place: list(errors) for place, errors in builder.errors.items()} == {
        (0, 0): ["what"],
        (0, 1): ["value"],
        (0, 2): ["what"],
        (1, 0): ["value"],
        (1, 1): ["event"],
    }
    assert "write for example 20" in builder.errors[1, 0]["value"]
    assert "did you mean lead.title?" in builder.errors[0, 2]["what"]
