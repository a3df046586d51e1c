"""Time in the demo: what is going to happen, in order, with the clock standing at each moment."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone

from crm import sweep
from crm.celery import app

type Act = Callable[[], object]
# Mails older than this leave no file in the local mailbox; their text stays with the message.
FILES_KEPT = timedelta(days=7)
NOWHERE = {"default": {"BACKEND": "django.core.mail.backends.dummy.EmailBackend"}}
# Hours (UTC) at which the workers of days long gone look for work, on weekdays and on weekends. Each look costs the same,
# however little there is to do; a month back and more, fewer will do.
SATURDAY = 5
LATELY = timedelta(days=30)
HOURS_LATELY, HOURS_BEFORE = ((7, 10, 13, 16, 20), (9, 18)), ((9, 16), (13,))


class World:
    """What is planned, and who watches. Watchers look at what the product did and plan what people do about it."""

    def __init__(self, clock: time_machine.Traveller, *, now: datetime) -> None:
        self.clock = clock
        self.now = now
        self.watchers: list[Act] = []
        self.planned: list[tuple[datetime, int, Act]] = []
        self.numbers = count()

    def plan(self, at: datetime, act: Act) -> None:
        """Let something happen at `at`; what lies after the demo's start never does."""
        if at <= self.now:
            heapq.heappush(self.planned, (max(at, timezone.now()), next(self.numbers), act))

    def live_until(self, moment: datetime) -> None:
        """Let everything planned up to `moment` happen, then let the workers do what is due, and the watchers look."""
        while self.planned and self.planned[0][0] <= moment:
            at, _, act = heapq.heappop(self.planned)
            self.clock.move_to(at)
            act()
        self.clock.move_to(moment)
        sweep.run_everything_due()
        for watch in self.watchers:
            watch()


def moments(begin: datetime, now: datetime) -> Iterator[datetime]:
    """When the workers look for work: a few times on a day long gone, often lately, and now."""
    moment = begin
    while moment < now:
        if now - moment < timedelta(hours=3):
            moment += timedelta(minutes=10)
        elif now - moment < timedelta(days=1):
            moment += timedelta(hours=1)
        else:
            moment = next_look(moment, HOURS_LATELY if now - moment < LATELY else HOURS_BEFORE)
        yield min(moment, now)


def next_look(moment: datetime, timetable: tuple[tuple[int, ...], tuple[int, ...]]) -> datetime:
    """The next hour on the timetable."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        hours = timetable[day.weekday() >= SATURDAY]
        later = [at for hour in hours if (at := day + timedelta(hours=hour)) > moment]
        if later:
            return later[0]
        day += timedelta(days=1)


@contextmanager
def frozen_at(begin: datetime) -> Iterator[time_machine.Traveller]:
    """Stand at `begin`, with everything quiet: nothing leaves the machine, no bell rings, SQLite does not wait for the disk."""
    with ExitStack() as stack:
        # Nobody listens yet; the workers start afterwards and find the rows.
        stack.enter_context(changed(app.conf, broker_url="memory://"))
        stack.enter_context(changed(settings, DEBUG=False, MAILERS=NOWHERE, CHAT_WEBHOOK_URL=""))
        stack.enter_context(careless_writing())
        yield stack.enter_context(time_machine.travel(begin, tick=False))


@contextmanager
def changed(target: Any, **values: Any) -> Iterator[None]:
    """Set attributes for the time of the block."""
    before = {name: getattr(target, name) for name in values}
    for name, value in values.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(target, name, value)


@contextmanager
def careless_writing() -> Iterator[None]:
    """Don't wait for the disk after each commit.

    Nothing is lost that could not be made up again: what a power cut leaves behind is thrown away at the next start
    (`unfinished` in crm.demo.data says so until the end). The running demo waits, as every Leadstate does.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def keep_files() -> None:
    """From now on mails are kept as files, for /mailbox/."""
    settings.MAILERS = {"default": {"BACKEND": "campaigns.transport.MailboxBackend", "OPTIONS": {"folder": str(settings.MAILBOX_DIR)}}}
