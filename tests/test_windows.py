from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.documents import WindowDoc
from campaigns.windows import ScheduleError, check_cron, next_opening, read_days, read_window, slots_before, zone_of

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in ("Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago", "Asia/Kolkata")
]


def window(hours="09:00-17:00", days="mon-sun"):
    return read_window(WindowDoc(days=days, hours=hours))


def local(*wall, zone=BERLIN):
    return datetime(*wall, tzinfo=zone)


def utc(moment):
    # Equality of aware times in one zone ignores the fold, so compare moments in UTC.
    return moment.astimezone(UTC)


def test_inside_the_window_it_is_open_at_once():
    at = local(2026, 1, 7, 12, 30)

    assert window().opening(at, BERLIN) == utc(at)


def test_before_the_window_it_opens_the_same_day_and_after_it_the_next():
    assert window().opening(local(2026, 1, 7, 6), BERLIN) == utc(local(2026, 1, 7, 9))
    assert window().opening(local(2026, 1, 7, 18), BERLIN) == utc(local(2026, 1, 8, 9))


def test_the_end_of_the_window_is_outside():
    assert window().opening(local(2026, 1, 7, 17), BERLIN) == utc(local(2026, 1, 8, 9))


def test_friday_evening_waits_until_monday():
    assert window(days="mon-fri").opening(local(2026, 1, 9, 19), BERLIN) == utc(local(2026, 1, 12, 9))


def test_hours_count_in_the_persons_zone():
    at = datetime(2026, 1, 7, 15, tzinfo=UTC)  # 00:00 in Tokyo

    assert window().opening(at, ZoneInfo("Asia/Tokyo")) == datetime(2026, 1, 8, 0, tzinfo=UTC)


def test_a_window_over_midnight_belongs_to_the_day_it_begins():
    night = window("22:00-06:00", "fri")

    assert night.opening(local(2026, 1, 10, 3), BERLIN) == utc(local(2026, 1, 10, 3))  # the night from Friday to Saturday
    assert night.opening(local(2026, 1, 9, 3), BERLIN) == utc(local(2026, 1, 9, 22))


def test_a_window_until_midnight_is_open_to_the_last_minute():
    assert window("20:00-24:00").opening(local(2026, 1, 7, 23, 59), BERLIN) == utc(local(2026, 1, 7, 23, 59))
    assert window("20:00-24:00").opening(local(2026, 1, 8, 0, 0), BERLIN) == utc(local(2026, 1, 8, 20))


def test_an_opening_the_clocks_skip_moves_forward():
    # 2026-03-29 in Berlin: 02:00 becomes 03:00.
    assert window("02:30-05:00").opening(local(2026, 3, 29, 0), BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_window_that_lies_in_the_skipped_hour_is_still_open_once():
    opens = window("02:30-03:00").opening(local(2026, 3, 29, 0), BERLIN)

    assert opens == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_an_opening_that_comes_twice_means_the_first():
    # 2026-10-25 in Berlin: 03:00 becomes 02:00.
    assert window("02:30-05:00").opening(local(2026, 10, 25, 0), BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_two_windows_are_open_where_both_are():
    both = [window("08:00-18:00", "mon-fri"), window("16:00-22:00", "mon-sun")]

    assert next_opening(both, local(2026, 1, 9, 18, 30), BERLIN) == utc(local(2026, 1, 12, 16))


def test_windows_that_never_meet_never_open():
    assert next_opening([window(days="mon-fri"), window(days="sat,sun")], local(2026, 1, 9, 18), BERLIN) is None


def test_without_a_window_it_is_always_open():
    at = local(2026, 1, 10, 3)

    assert next_opening([], at, BERLIN) == utc(at)


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    hours=st.integers(0, 366 * 24),
    start=st.integers(0, 23),
    length=st.integers(1, 23),
    days=st.sampled_from(["mon-sun", "mon-fri", "sun", "sat,sun"]),
)
def test_an_opening_is_never_early_never_far_and_stays_open(zone, hours, start, length, days):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    one = window(f"{start:02}:00-{(start + length) % 24:02}:00", days)

    opens = one.opening(at, zone)

    assert at <= opens <= at + timedelta(days=8)
    assert one.opening(opens, zone) == opens


@pytest.mark.parametrize(
    ("text", "days"),
    [("mon-fri", {0, 1, 2, 3, 4}), ("sat, sun", {5, 6}), ("fri-mon", {4, 5, 6, 0}), ("Wed", {2})],
)
def test_days_are_read(text, days):
    assert read_days(text) == days


@pytest.mark.parametrize("hours", ["08:00-08:00", "25:00-26:00", "08:61-09:00", "00:00-24:30"])
def test_hours_nobody_can_follow_are_refused_with_the_cure(hours):
    with pytest.raises(ScheduleError, match=r'write two different times such as "08:00-18:00"'):
        window(hours)


def test_a_misspelt_day_is_refused_with_the_cure():
    with pytest.raises(ScheduleError, match=r"'thurs' is not a day; write some of mon tue"):
        window(days="mon-fri,thurs")


def test_an_unknown_zone_falls_back_to_the_next():
    assert zone_of("Mars/Olympus", "", "Europe/Berlin").key == "Europe/Berlin"
    assert zone_of(None, "").key == "UTC"


@pytest.mark.parametrize("line", ["0 10 * *", "61 10 * * tue", "0 10 * * someday", "0 0 31 2 *", "* * * * * *"])
def test_a_schedule_nobody_can_follow_is_refused_with_the_cure(line):
    with pytest.raises(ScheduleError, match="write five fields, for example 0 10"):
        check_cron(line)


def test_a_schedule_that_can_be_followed_passes():
    check_cron("0 10 * * tue")
    check_cron("0 0 29 2 *")


def test_slots_come_newest_first_and_only_those_after_the_last():
    slots = list(slots_before("0 10 * * tue", local(2026, 1, 21, 12), BERLIN, after=utc(local(2026, 1, 6, 10))))

    assert slots == [utc(local(2026, 1, 20, 10)), utc(local(2026, 1, 13, 10))]


def test_a_slot_counts_from_its_very_moment():
    at = local(2026, 1, 20, 10)

    assert list(slots_before("0 10 * * tue", at, BERLIN, after=utc(at) - timedelta(days=1))) == [utc(at)]
    assert not list(slots_before("0 10 * * tue", at - timedelta(microseconds=1), BERLIN, after=utc(at) - timedelta(days=1)))


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("line", ["30 2 * * *", "0 0 * * *"])
def test_each_local_day_has_one_slot_also_when_the_clocks_change(zone, line):
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    slots = [slot.astimezone(zone).date() for slot in slots_before(line, end, zone, after=begin)]

    assert len(slots) in (365, 366)
    assert all(later - earlier == timedelta(days=1) for later, earlier in pairwise(slots))
