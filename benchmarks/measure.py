"""One ratio: our work by turns with the limit it is divided by."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Row:
    """One ratio: `ours` and `limit` each do the work once and return how many items they did. `goal` None: only to be looked at.

    `before_ours` and `before_limit` prepare them, `after` clears up; they take no part in the time.
    """

    name: str
    goal: float | None
    ours: Callable[[], int]
    limit: Callable[[], int]
    before_ours: Callable[[], None] = nothing
    before_limit: Callable[[], None] = nothing
    after: Callable[[], None] = nothing


@dataclass(frozen=True)
class Result:
    """What a row gave: the rounds' ratios, and the rates (items a second) they came from."""

    row: str
    goal: float | None
    median: float
    min: float
    max: float
    ours: float
    limit: float
    rounds: int

    def reaches(self, share: float) -> bool:
        """Whether it reached that share of its goal, if it has one."""
        return self.goal is None or self.median >= self.goal * share

    @property
    def line(self) -> str:
        """As a line of the table."""
        goal = "no goal here" if self.goal is None else f"goal ≥ {self.goal}"
        return f"{self.median:>7} ({goal:<12} min {self.min}, max {self.max})  {self.row}"


def rate(work: Callable[[], int]) -> float:
    """Items a second."""
    start = time.perf_counter()
    items = work()
    return items / (time.perf_counter() - start)


def measure(row: Row, *, rounds: int) -> Result:
    """Measure by turns, ours first, after one round that does not count."""
    pairs = []
    for number in range(rounds + 1):
        row.before_ours()
        ours = rate(row.ours)
        row.before_limit()
        limit = rate(row.limit)
        row.after()
        if number:
            pairs.append((ours, limit))
    ratios = [ours / limit for ours, limit in pairs]
    return Result(
        row=row.name,
        goal=row.goal,
        median=round(statistics.median(ratios), 3),
        min=round(min(ratios), 3),
        max=round(max(ratios), 3),
        ours=round(statistics.median(ours for ours, _ in pairs)),
        limit=round(statistics.median(limit for _, limit in pairs)),
        rounds=rounds,
    )


def sync_cost(*, seconds: float = 1.0) -> float:
    """What it costs (µs, the median) to write 8 KiB and force them to the disk: commits can't be quicker."""
    times = []
    with tempfile.NamedTemporaryFile(dir=os.environ.get("VAR_DIR")) as file:
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6
