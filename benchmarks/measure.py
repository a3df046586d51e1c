"""One ratio: our work by turns with the limit it is divided by."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Row:
    """One ratio: `ours` and `limit` each do the work once and return how many items they did."""

    name: str
    goal: float
    ours: Callable[[], int]
    limit: Callable[[], int]
    before: Callable[[], None] = lambda: None


def rate(work: Callable[[], int]) -> float:
    """Items a second."""
    start = time.perf_counter()
    items = work()
    return items / (time.perf_counter() - start)


def measure(row: Row, *, rounds: int) -> dict[str, object]:
    """Measure by turns after one round that does not count."""
    ratios = []
    for number in range(rounds + 1):
        row.before()
        limit, ours = rate(row.limit), rate(row.ours)
        if number:
            ratios.append(ours / limit)
    return {
        "row": row.name,
        "goal": row.goal,
        "median": round(statistics.median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
        "rounds": rounds,
    }
