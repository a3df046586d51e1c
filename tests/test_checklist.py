"""A gate's conditions as a checklist: groups, values now, what completes them, and the moments that matter."""

from datetime import UTC, datetime, timedelta

import pytest

from leads.checklist import Group, make_checklist
from leads.condition_nodes import View
from leads.conditions import Place, parse

NOW = datetime(2026, 2, 2, 11, 0, tzinfo=UTC)
PRICING = {"event": "VIEWED_PRICING", "times": {"at_least": 3}, "within": "7d"}


class Seen(View):
    """A lead of which everything is said in numbers."""

    def __init__(self, *, count=0, points=0, seconds=0, until=None, held="", **fields):
        self.counted, self.points, self.seconds, self.ends, self.held, self.fields = count, points, seconds, until, held, fields

    def field(self, path):
        return self.fields[path.rpartition(".")[2]]

    def count(self, cond):
        return self.counted

    def number(self, axis):
        return self.points

    def seconds_in_stage(self):
        return self.seconds

    def seconds_idle(self):
        return self.seconds

    def in_campaign(self, cond):
        return False

    def until(self, node):
        return None if self.ends is None else int(self.ends.timestamp() * 1_000_000)

    def held_back(self):
        return self.held


def checklist(*conditions, **seen):
    return make_checklist(parse(list(conditions), place=Place.GATE), Seen(**seen), now=NOW)


def only(*conditions, **seen):
    (item,) = checklist(*conditions, **seen).parts
    return item


def test_a_count_tells_how_far_it_is_what_it_needs_and_when_the_first_expires():
    soon = NOW + timedelta(hours=3)

    item = only(PRICING, count=2, until=soon)

    assert (item.ok, item.text) == (False, "“Viewed pricing” at least 3 times within 7 days")
    assert (item.current, item.wanted) == ("2 of 3 in 7 days", "“Viewed pricing” once more")
    assert (item.at, item.at_words) == (soon, "the first of them expires")


@pytest.mark.parametrize(
    ("condition", "seen", "current", "wanted"),
    [
        ({"event": "DEMO_REQUESTED"}, {}, "not yet", ""),
        ({"event": "DEMO_REQUESTED", "within": "7d"}, {}, "not in 7 days", ""),
        ({"event": "DEMO_REQUESTED"}, {"count": 1}, "", ""),
        (PRICING, {"count": 3}, "3 of 3 in 7 days", ""),
        (PRICING | {"of": "company"}, {"count": 1}, "1 of 3 in 7 days", "“Viewed pricing” twice more, by anybody at the company"),
        ({"score": {"at_least": 80}}, {"points": 79}, "79", "1 more point"),
        ({"engagement": {"at_least": 80}}, {"points": 20}, "20", "60 more engagement points"),
        ({"score": {"at_least": 80}}, {"points": 90, "held": "since"}, "90, held", ""),
        ({"field": "lead.title", "op": "exists"}, {}, "not known", ""),
        ({"field": "lead.title", "op": "has_word", "value": "CTO"}, {"title": "CFO"}, "“CFO”", ""),
        ({"in_stage_for": "7d"}, {"seconds": 5.5 * 86_400}, "5 days so far", ""),
        ({"idle_for": "7d"}, {"seconds": 8 * 86_400}, "for 8 days", ""),
    ],
)
def test_each_kind_of_condition_tells_its_value_and_what_completes_it(condition, seen, current, wanted):
    item = only(condition, **seen)

    assert (item.current, item.wanted) == (current, wanted)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (PRICING, "“Viewed pricing” at most 2 times within 7 days"),
        ({"event": "DEMO_REQUESTED"}, "Never “Demo requested”"),
        ({"event": "DEMO_REQUESTED", "times": {"at_most": 1}}, "“Demo requested” at least 2 times"),
        ({"field": "lead.title", "op": "missing"}, "Title is known"),
        ({"score": {"at_least": 80}}, "Not: score at least 80"),
    ],
)
def test_not_is_said_as_the_opposite(condition, text):
    assert only({"not": condition}).text == text


def test_time_alone_completes_a_wait_and_the_moment_is_told():
    item = only({"in_stage_for": "7d"}, seconds=86_400)

    assert (item.at, item.at_words) == (NOW + timedelta(days=6), "by itself")


def test_groups_stay_groups_and_those_of_one_kind_are_one():
    demo, paid, signed = ({"event": name} for name in ("DEMO_REQUESTED", "PAYMENT_SUCCEEDED", "CONTRACT_SIGNED"))

    whole = checklist(demo, {"any": [paid, {"all": [demo, signed]}]}, {"all": [signed]})

    assert (whole.any_is_enough, whole.ok, whole.met, len(whole.parts)) == (False, False, 0, 3)
    inner = whole.parts[1]
    assert isinstance(inner, Group)
    assert (inner.any_is_enough, len(inner.parts)) == (True, 2)
    assert (inner.parts[1].any_is_enough, len(inner.parts[1].parts)) == (False, 2)


def test_none_of_several_is_each_of_their_opposites():
    whole = checklist({"not": {"any": [{"event": "DEMO_REQUESTED"}, {"event": "PAYMENT_SUCCEEDED"}]}})

    assert (whole.any_is_enough, whole.ok) == (False, True)
    assert [item.text for item in whole.parts] == ["Never “Demo requested”", "Never “Payment succeeded”"]
