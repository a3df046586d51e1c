"""How points are held within the limits of a scoring model, and the reason a line gives when they were."""

from leads.condition_nodes import View
from leads.scoring_model import Bounds, Model


def fit_points(model: Model, view: View) -> dict[str, tuple[int, int, str]]:
    """For each fit rule that holds, by key: its points, how many of them fit within the limits, and why not all."""
    total, found = 0, {}
    limits = model.limits
    for rule in model.fit:
        if not rule.when.holds(view):
            continue
        reason, after = "", total + rule.points
        if limits.fit_max is not None and after > limits.fit_max and rule.points > 0:
            after, reason = max(total, limits.fit_max), f"at most {limits.fit_max}"
        if limits.fit_min is not None and after < limits.fit_min and rule.points < 0:
            after, reason = min(total, limits.fit_min), f"not below {limits.fit_min}"
        found[rule.key] = (rule.points, after - total, reason)
        total = after
    return found


def clamp(points: list[int], reasons: list[str], before: int, bounds: Bounds) -> None:
    """Hold one event's points within the bounds. Judged by what was there before it: the event that crosses counts whole."""
    if before > bounds.stop_above:
        for i, given in enumerate(points):
            if given > 0:
                points[i], reasons[i] = 0, bounds.stops
    bound(points, reasons, before, bounds)


def clamp_one(points: int, before: int, bounds: Bounds) -> tuple[int, str]:
    """`clamp` for a single rule that gives something: the points that count, and why not all."""
    after = before + points
    if points > 0:
        if before > bounds.stop_above:
            return 0, bounds.stops
        if after > bounds.top:
            return max(before, bounds.top) - before, bounds.tops
    elif after < bounds.floor:
        return min(before, bounds.floor) - before, bounds.floors
    return points, ""


def bound(points: list[int], reasons: list[str], before: int, bounds: Bounds) -> None:
    """Keep the sum at most at the top, then not below the floor, by cutting the last lines that go too far."""
    after = before + sum(points)
    if after > before:
        after -= _cut(points, reasons, after - max(before, bounds.top), 1, bounds.tops)
    if after < before:
        _cut(points, reasons, min(before, bounds.floor) - after, -1, bounds.floors)


def _cut(points: list[int], reasons: list[str], excess: int, sign: int, reason: str) -> int:
    """Take `excess` points of this sign away, from the last line on; returns how many were taken."""
    if excess <= 0:
        return 0
    left = excess
    for i in reversed(range(len(points))):
        taken = min(left, max(points[i] * sign, 0))
        if taken:
            points[i], reasons[i] = points[i] - taken * sign, reason
            left -= taken
    return excess - left
