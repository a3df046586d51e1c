"""Working hours: reading them, and counting a duration in them."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ENTRY = re.compile(r"([a-z]{3})(?:\s*-\s*([a-z]{3}))?\s+(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)")
EXAMPLE = "write days and hours like mon-fri 09:00-17:00, several separated by commas"
LONGEST = timedelta(days=366)  # of working time; more is certainly a mistake


class Span(NamedTuple):
    """Minutes of the local day during which people work."""

    start: int
    end: int


class WorkingHours(NamedTuple):
    """The spans of each day of the week, Monday first; at least one day has one."""

    days: tuple[tuple[Span, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "WorkingHours":
        """Read `mon-fri 09:00-17:00` or `mon-thu 08:00-17:00, fri 08:00-12:00`. Raises ValueError with the cure."""
        week: list[list[Span]] = [[] for _ in DAYS]
        for entry in text.strip().lower().split(","):
            numbers, span = read_entry(entry.strip())
            for day in numbers:
                week[day].append(span)
        for name, spans in zip(DAYS, week, strict=True):
            spans.sort()
            if any(first.end > second.start for first, second in pairwise(spans)):
                raise ValueError(f"the working hours of {name} overlap in {text!r}; {EXAMPLE}")
        return cls(tuple(tuple(spans) for spans in week))

    def openings(self, start: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
        """The working spans after `start` as pairs of UTC times, in order, without end."""
        day = start.astimezone(zone).date()
        while True:
            for span in self.days[day.weekday()]:
                opens, closes = moment(day, span.start, zone), moment(day, span.end, zone)
                if closes > start and closes > opens:
                    yield max(opens, start), closes
            day += timedelta(days=1)

    def add(self, start: datetime, working: timedelta, zone: ZoneInfo) -> datetime:
        """The time (UTC) at which `working` working time has passed since `start`, in `zone`'s hours.

        What passes is counted in real time: a span in which clocks change is as long as it really is.
        Raises ValueError for a negative duration or one of more than 366 days.
        """
        if not timedelta(0) <= working <= LONGEST:
            raise ValueError(f"{working} is not a duration of working time; it must be between 0 and 366 days")
        for opens, closes in self.openings(start.astimezone(UTC), zone):
            if working <= closes - opens:
                return opens + working
            working -= closes - opens
        raise AssertionError("working hours have no end")

    def between(self, start: datetime, end: datetime, zone: ZoneInfo) -> timedelta:
        """How much working time lies between two times, in `zone`'s hours; negative when `end` is the earlier one."""
        if end < start:
            return -self.between(end, start, zone)
        total, start, end = timedelta(0), start.astimezone(UTC), end.astimezone(UTC)
        for opens, closes in self.openings(start, zone):
            if opens >= end:
                break
            total += min(closes, end) - opens
        return total


def read_entry(entry: str) -> tuple[list[int], Span]:
    """Read one `mon-fri 09:00-17:00`: the days as numbers, and the span. Raises ValueError with the cure."""
    match = ENTRY.fullmatch(entry)
    if not match:
        raise ValueError(f"{entry!r} is not a span of working hours; {EXAMPLE}")
    first, last = match[1], match[2] or match[1]
    for name in (first, last):
        if name not in DAYS:
            raise ValueError(f"{name!r} is not a day; write one of {' '.join(DAYS)}")
    start, end = clock(match[3], match[4]), clock(match[5], match[6])
    if start >= end:
        raise ValueError(f"in {entry!r} work ends before it begins; {EXAMPLE}")
    begin = DAYS.index(first)
    length = (DAYS.index(last) - begin) % 7 + 1
    return [(begin + number) % 7 for number in range(length)], Span(start, end)


def clock(hours: str, minutes: str) -> int:
    """Minutes since midnight; 24:00 is the end of the day. Raises ValueError for what no clock shows."""
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > 24 * 60:
        raise ValueError(f"{hours}:{minutes} is not a time of day; write one from 00:00 to 24:00")
    return total


def moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The UTC time at which the clocks of `zone` show `minutes` since midnight of `day`.

    A time that is skipped in spring is the one an hour later, one that comes twice in autumn is the first.
    """
    extra, minutes = divmod(minutes, 24 * 60)
    local = datetime.combine(day + timedelta(days=extra), time(minutes // 60, minutes % 60), tzinfo=zone)
    return local.astimezone(UTC)
