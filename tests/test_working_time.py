"""Working hours are read strictly and counted in real time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from leads.working_time import WorkingHours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = WorkingHours.parse("mon-fri 09:00-17:00")


def at(day: int, hour: int, minute: int = 0, *, month: int = 6, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("start", "working", "end"),
    [
        (at(8, 10), timedelta(hours=4), at(8, 14)),  # Monday morning
        (at(8, 13), timedelta(hours=4), at(8, 17)),  # ends as work ends
        (at(8, 15), timedelta(hours=4), at(9, 11)),  # over the night
        (at(12, 16), timedelta(hours=4), at(15, 12)),  # over the weekend
        (at(13, 12), timedelta(hours=1), at(15, 10)),  # begun on a Saturday
        (at(8, 3), timedelta(hours=1), at(8, 10)),  # begun at night
        (at(8, 17), timedelta(0), at(9, 9)),  # no time at all: the next working moment
        (at(8, 9), timedelta(hours=80), at(19, 17)),  # two weeks
    ],
)
def test_time_passes_only_while_people_work(start, working, end):
    assert OFFICE.add(start, working, BERLIN) == end


def test_the_start_may_come_in_any_zone_and_the_answer_is_utc():
    due = OFFICE.add(datetime(2026, 6, 8, 8, tzinfo=UTC), timedelta(hours=4), BERLIN)

    assert due == at(8, 14)
    assert due.tzinfo is UTC


def test_a_night_shift_is_an_hour_shorter_when_clocks_go_forward():
    night = WorkingHours.parse("sun 00:00-06:00, mon-sat 10:00-12:00")

    assert night.add(at(29, 0, month=3), timedelta(hours=5), BERLIN) == at(29, 6, month=3)
    assert night.add(at(29, 0, month=3), timedelta(hours=6), BERLIN) == at(30, 11, month=3)


def test_a_night_shift_is_an_hour_longer_when_clocks_go_back():
    night = WorkingHours.parse("sun 00:00-06:00")

    assert night.add(at(25, 0, month=10), timedelta(hours=7), BERLIN) == at(25, 6, month=10)


def test_a_time_that_clocks_skip_is_the_one_after():
    early = WorkingHours.parse("sun 02:30-05:00")

    assert early.add(at(29, 0, month=3), timedelta(minutes=30), BERLIN) == at(29, 4, month=3)


def test_spans_may_differ_by_day_wrap_around_the_week_and_last_until_midnight():
    hours = WorkingHours.parse("sat-mon 22:00-24:00, wed 08:00-09:00, wed 10:00-11:00")

    assert [len(spans) for spans in hours.days] == [1, 0, 2, 0, 0, 1, 1]
    assert hours.add(at(13, 23), timedelta(hours=2), BERLIN) == at(14, 23)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not a span of working hours; write days and hours like mon-fri 09:00-17:00"),
        ("9 to 5", "is not a span of working hours"),
        ("mon-fry 09:00-17:00", "'fry' is not a day; write one of mon tue"),
        ("mon-fri 17:00-09:00", "work ends before it begins"),
        ("mon-fri 09:00-25:00", "25:00 is not a time of day"),
        ("mon-fri 09:70-17:00", "09:70 is not a time of day"),
        ("mon 09:00-12:00, mon 11:00-13:00", "the working hours of mon overlap"),
    ],
)
def test_bad_hours_are_told_with_the_cure(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        WorkingHours.parse(text)


@pytest.mark.parametrize("working", [timedelta(seconds=-1), timedelta(days=400)])
def test_a_senseless_duration_is_refused(working):
    with pytest.raises(ValueError, match="between 0 and 366 days"):
        OFFICE.add(at(8, 9), working, BERLIN)
