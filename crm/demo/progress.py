"""Says how far the making of the demo's data is: a bar on a terminal, a line now and then elsewhere."""

import time
from typing import Any

WIDTH = 32
# Without a terminal, a line for each so many days.
EVERY_DAYS = 15


class Progress:
    """Call it with the day and the number of leads."""

    def __init__(self, out: Any, *, days: int) -> None:
        self.out = out
        self.days = days
        self.started_at = time.monotonic()
        self.said_day = -1

    def __call__(self, day: int, leads: int) -> None:
        """Tell, when there is something new to tell."""
        if day == self.said_day:
            return
        words = f"Day {day} of {self.days} · {leads} leads"
        if self.out.isatty():
            done = round(WIDTH * day / self.days)
            self.out.write(f"\r  {'█' * done}{'░' * (WIDTH - done)}  {words}   ", ending="")
            self.out.flush()
        elif self.said_day < 0 or day // EVERY_DAYS > self.said_day // EVERY_DAYS:
            self.out.write(f"  {words}")
            self.out.flush()
        self.said_day = day

    def end(self, events: int) -> None:
        """Say what was made, and how long it took."""
        if self.out.isatty():
            self.out.write("")
        self.out.write(f"  {events:,} events recorded in {time.monotonic() - self.started_at:.0f} seconds.")
