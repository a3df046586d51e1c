"""Send windows and cron slots in people's own zones: each local slot once, also on the days the clocks change."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from campaigns.documents import WindowDoc
from leads.zones import known

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"(\d\d):([0-5]\d)-(\d\d):([0-5]\d)")
MIDNIGHT = 24 * 60
# Longer than the longest time between two openings: a window that is open one day a week, plus the change of clocks.
SEARCHED_DAYS = 9


class ScheduleError(ValueError):
    """A window or a cron line nobody can follow; the text names the cure."""


@dataclass(frozen=True, slots=True)
class Window:
    """When mail may go out. `days` by weekday number (0 = Monday); `start` and `end` in minutes since midnight.

    An end at or before the start lies on the next day: 22:00-06:00 is the night that begins on one of `days`.
    """

    days: frozenset[int]
    start: int
    end: int

    def opening(self, at: datetime, zone: ZoneInfo) -> datetime:
        """The first moment at or after `at` (aware) at which the window is open in `zone`, in UTC."""
        today = at.astimezone(zone).date()
        for offset in range(-1, SEARCHED_DAYS):
            day = today + timedelta(days=offset)
            if day.weekday() not in self.days:
                continue
            opens, closes = self._of_day(day, zone)
            if at < closes:
                return max(at.astimezone(UTC), opens)
        raise ScheduleError("the window has no days")

    def _of_day(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """Where the window of one local day begins and ends. An hour that the clocks skip moves it forward, whole."""
        end = self.end if self.end > self.start else self.end + MIDNIGHT
        opens, closes = instant(day, self.start, zone), instant(day, end, zone)
        return opens, closes if closes > opens else opens + timedelta(minutes=end - self.start)


def instant(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The moment (UTC) of a wall-clock time: `minutes` after midnight of `day`.

    A time the clocks skip moves forward by what they skip; of a time that comes twice the first is meant.
    """
    days, minutes = divmod(minutes, MIDNIGHT)
    wall = datetime.combine(day + timedelta(days=days), time(minutes // 60, minutes % 60), zone)
    return wall.astimezone(UTC)


def read_window(doc: WindowDoc) -> Window:
    """Read {days: mon-fri, hours: "08:00-18:00"}. Raises ScheduleError with the cure."""
    match = HOURS.fullmatch(doc.hours)
    start, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
    if start >= MIDNIGHT or end > MIDNIGHT or start == end:
        raise ScheduleError(f'{doc.hours!r} are not hours; write two different times such as "08:00-18:00" or "00:00-24:00"')
    return Window(read_days(doc.days), start, end)


def read_days(text: str) -> frozenset[int]:
    """Read `mon-fri`, `sat,sun`, `fri-mon` or one day. Raises ScheduleError with the cure."""
    days: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        names = part.split("-")
        if len(names) > 2 or any(name not in DAYS for name in names):
            raise ScheduleError(f"{part!r} is not a day; write some of {' '.join(DAYS)}, for example mon-fri or sat,sun")
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(days)


def next_opening(windows: Iterable[Window], at: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment at or after `at` at which all windows are open, in UTC; None when they never are together."""
    windows = list(windows)
    moment, last = at.astimezone(UTC), at + timedelta(days=SEARCHED_DAYS)
    while moment < last:
        later = max((window.opening(moment, zone) for window in windows), default=moment)
        if later == moment:
            return moment
        moment = later
    return None


def zone_of(*names: str | None) -> ZoneInfo:
    """The first of these zones that exists, UTC when none does: an unknown zone falls back, it never opens the window."""
    return ZoneInfo(next((name for name in names if name and known(name)), "UTC"))


def check_cron(line: str) -> None:
    """Raise ScheduleError with the cure unless `line` is a cron line of five fields that some day matches."""
    try:
        if len(line.split()) != 5:
            raise CronSimError("Wrong number of fields")
        next(CronSim(line, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        why = str(error) or "it never fires"
        raise ScheduleError(f"{line!r} is not a schedule ({why}); write five fields, for example 0 10 * * tue") from error


def slots_before(line: str, at: datetime, zone: ZoneInfo, *, after: datetime) -> Iterator[datetime]:
    """The moments (UTC) at which a cron line fires in `zone`, after `after`, up to and including `at`; the newest first."""
    # CronSim yields what lies strictly before its start, in whole seconds.
    for moment in CronSim(line, at.astimezone(zone) + timedelta(seconds=1), reverse=True):
        slot = moment.astimezone(UTC)
        if slot <= after:
            return
        if slot <= at:
            yield slot
