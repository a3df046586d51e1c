"""The clock of a handoff: it runs in working time, and the first human touch stops it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from leads.models import Task, Workspace
from leads.sla import clock_of, remaining, share_left, span, touch
from leads.working_time import WorkingHours
from tests.factories import make_company, make_lead, make_rep

pytestmark = pytest.mark.django_db
FRIDAY = datetime(2026, 6, 5, 15, tzinfo=UTC)  # two hours before the weekend
MONDAY = datetime(2026, 6, 8, 9, tzinfo=UTC)


def make_handoff(*, created_at=FRIDAY, due_at=datetime(2026, 6, 8, 11, tzinfo=UTC), **fields):
    lead = fields.pop("lead", None) or make_lead()
    return Task.objects.create(lead=lead, kind=Task.Kind.HANDOFF, title="Ready", created_at=created_at, due_at=due_at, **fields)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (FRIDAY, datetime(2026, 6, 8, 11, tzinfo=UTC), timedelta(hours=4)),
        (datetime(2026, 6, 6, 12, tzinfo=UTC), datetime(2026, 6, 7, 12, tzinfo=UTC), timedelta(0)),
        (MONDAY, FRIDAY, -timedelta(hours=2)),
        (MONDAY, MONDAY, timedelta(0)),
        (datetime(2026, 6, 5, 3, tzinfo=UTC), datetime(2026, 6, 5, 23, tzinfo=UTC), timedelta(hours=8)),
    ],
)
def test_working_time_between_two_times_leaves_out_nights_and_weekends(start, end, expected):
    assert WorkingHours.parse("mon-fri 09:00-17:00").between(start, end, ZoneInfo("UTC")) == expected


def test_the_weekend_takes_nothing_from_the_time_left():
    task = make_handoff()

    assert remaining(task, FRIDAY) == timedelta(hours=4)
    assert remaining(task, datetime(2026, 6, 7, 12, tzinfo=UTC)) == timedelta(hours=2)
    assert share_left(task, datetime(2026, 6, 7, 12, tzinfo=UTC)) == 0.5


def test_after_the_deadline_the_time_is_negative_and_the_share_is_nothing():
    task = make_handoff()
    late = datetime(2026, 6, 8, 12, 30, tzinfo=UTC)

    clock = clock_of(task, late)

    assert remaining(task, late) == -timedelta(minutes=90)
    assert share_left(task, late) == 0.0
    assert clock.is_over
    assert clock.is_urgent
    assert clock.words == "1 h 30 min over"


def test_the_last_quarter_is_urgent():
    task = make_handoff()

    early = clock_of(task, datetime(2026, 6, 8, 9, 30, tzinfo=UTC))
    late = clock_of(task, datetime(2026, 6, 8, 10, tzinfo=UTC))

    assert (early.is_urgent, early.words, early.percent) == (False, "1 h 30 min left", 38)
    assert (late.is_urgent, late.words, late.percent) == (True, "1 h left", 25)


def test_hours_are_counted_where_the_owner_lives():
    Workspace.objects.create(pk=1, timezone="UTC")
    task = make_handoff(owner=make_rep(timezone="America/New_York"), due_at=datetime(2026, 6, 8, 15, tzinfo=UTC))

    # Monday 13:00 UTC is 9:00 in New York.
    assert remaining(task, MONDAY) == timedelta(hours=2)
    assert remaining(task, MONDAY, zone="Europe/Berlin") == timedelta(hours=2)


@pytest.mark.parametrize("without", [{"due_at": None}, {"touched_at": FRIDAY}, {"done_at": FRIDAY}])
def test_without_a_deadline_or_once_stopped_no_clock_runs(without):
    task = make_handoff(**without)

    assert remaining(task, FRIDAY) is None
    assert share_left(task, FRIDAY) is None
    assert clock_of(task, FRIDAY) is None


def test_the_workspace_is_not_asked_when_its_zone_is_given(django_assert_num_queries):
    task = make_handoff()

    with django_assert_num_queries(0):
        clock_of(task, MONDAY, zone="UTC")


def test_a_touch_stops_the_clock_of_own_and_joined_handoffs_once():
    first, second = make_lead(company=make_company()), make_lead()
    own, joined, done = make_handoff(lead=first), make_handoff(lead=second), make_handoff(lead=first, done_at=FRIDAY)
    joined.colleagues.add(first)
    todo = Task.objects.create(lead=first, title="Send the offer")
    stranger = make_handoff()

    stopped = touch(first, MONDAY)
    again = touch(first, MONDAY + timedelta(hours=1))

    for task in (own, joined, done, todo, stranger):
        task.refresh_from_db()
    assert (stopped, again) == (2, 0)
    assert own.touched_at == joined.touched_at == MONDAY
    assert done.touched_at is todo.touched_at is stranger.touched_at is None


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=20), "1 min"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(hours=3, minutes=5), "3 h 5 min"),
        (timedelta(hours=26, minutes=5), "26 h"),
    ],
)
def test_working_time_is_said_in_hours_and_minutes(time, words):
    assert span(time) == words
