"""How points are held within the limits of a scoring model, and the reason a line gives when they were."""

from leads.condition_nodes import View
from leads.documents import LimitsDoc
from leads.scoring_model import Model


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


def clamp(points: list[int], reasons: list[str], before: int, limits: LimitsDoc) -> None:
    """Hold one event's points within the limits. Judged by what was there before it: the event that crosses counts whole."""
    if limits.stop_above is not None and before > limits.stop_above:
        for i, given in enumerate(points):
            if given > 0:
                points[i], reasons[i] = 0, f"stops above {limits.stop_above}"
    bound(points, reasons, before, limits)


def bound(points: list[int], reasons: list[str], before: int, limits: LimitsDoc) -> None:
    """Keep the sum at most engagement_max, then not below floor, by cutting the last lines that go too far."""
    after = before + sum(points)
    if limits.engagement_max is not None and after > before:
        after -= _cut(points, reasons, after - max(before, limits.engagement_max), 1, f"at most {limits.engagement_max}")
    if limits.floor is not None and after < before:
        _cut(points, reasons, min(before, limits.floor) - after, -1, f"not below {limits.floor}")


def _cut(points: list[int], reasons: list[str], excess: int, sign: int, reason: str) -> int:
    """Take `excess` points of this sign away, from the last line on; returns how many were taken."""
    left = max(excess, 0)
    for i in reversed(range(len(points))):
        taken = min(left, max(points[i] * sign, 0))
        if taken:
            points[i], reasons[i] = points[i] - taken * sign, reason
            left -= taken
    return max(excess, 0) - left
