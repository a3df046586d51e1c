"""The part of a fold that keeps the score: what one fact is worth within the limits, line by line."""

import heapq
from collections.abc import Sequence
from functools import partial

from leads.fold_facts import Fact, Line
from leads.fold_state import EARLIEST, Expiry, State
from leads.fold_view import FoldView
from leads.score_limits import clamp, clamp_one, fit_points
from leads.scoring_model import Limit, Model, Rule

EXCLUDED = "excluded"
# Line(*…) and Expiry(*…), without the time that naming their parts takes.
line_of, expiry_of = partial(tuple.__new__, Line), partial(tuple.__new__, Expiry)


class Scorekeeper:
    """Keeps the score of one fold."""

    def __init__(self, state: State, evidence_points: int) -> None:
        self.state = state
        self.view = FoldView(state, evidence_points)
        self.number = state.events  # of the fact at hand, in fact order; the state learns it in the end
        self.lines: list[Line] = []
        self.soon = EARLIEST  # nothing that time brings is due before this

    def hurry(self, due: int) -> None:
        """Something is due then: look at the time no later."""
        if due < self.soon:
            self.soon = due

    def refit(self, at: int, cause: str, model: Model) -> None:
        """Give what fit rules give now, take back what those gave that no longer hold."""
        state = self.state
        state.fit_version, self.view.at = model.version, at
        wanted = fit_points(model, self.view)
        for key in sorted(wanted.keys() | state.held.keys()):
            held = state.held.pop(key, None)
            raw, points, reason = wanted.get(key, (0, 0, "no longer holds"))
            if state.excluded and points:
                points, reason = 0, EXCLUDED
            change = points - (held or 0)
            if change or (held is None and raw):
                self.book(Line(at, "fit", "fit", cause, key, raw, change, reason, model.version))
            if key in wanted:
                state.held[key] = points

    def score(self, fact: Fact, model: Model, rules: Sequence[Rule]) -> None:
        """Apply the rules of one event, by key and within the limits; a reset among them divides them."""
        view = self.view
        view.properties, view.at = fact.properties, fact.at
        giving: list[Rule] = []
        for rule in rules:
            if rule.when is not None and not rule.when.holds(view):
                continue
            if not rule.resets:
                giving.append(rule)
                continue
            self.give(fact, model, giving)
            self.reset(fact, model, rule)
            giving = []
        if len(giving) == 1:
            self.give_one(fact, model, giving[0])
        elif giving:
            self.give(fact, model, giving)

    def give(self, fact: Fact, model: Model, rules: Sequence[Rule]) -> None:
        """Book the points of some rules of one event."""
        state = self.state
        reasons = ["" if rule.limit is None or self.grant(rule.key, rule.limit, fact.at) else rule.limit.reason for rule in rules]
        applied = [0 if reason else rule.points for rule, reason in zip(rules, reasons, strict=True)]
        if state.excluded:
            applied, reasons = [0] * len(rules), [reason or EXCLUDED for reason in reasons]
        elif model.bounds is not None:
            clamp(applied, reasons, state.engagement, model.bounds)
        for rule, points, reason in zip(rules, applied, reasons, strict=True):
            self.lines.append(line_of((fact[0], "engagement", "points", fact[3], rule.key, rule.points, points, reason, model.version)))
            if points:
                self.earn(fact, model, rule, points)

    def give_one(self, fact: Fact, model: Model, rule: Rule) -> None:
        """The same for a single rule, at half the cost."""
        points, reason, limit = rule.points, "", rule.limit
        if limit is not None and not self.grant(rule.key, limit, fact.at):
            points, reason = 0, limit.reason
        if self.state.excluded:
            points, reason = 0, reason or EXCLUDED
        elif model.bounds is not None and points:
            points, reason = clamp_one(points, self.state.engagement, model.bounds)
        self.lines.append(line_of((fact[0], "engagement", "points", fact[3], rule.key, rule.points, points, reason, model.version)))
        if points:
            self.earn(fact, model, rule, points)

    def earn(self, fact: Fact, model: Model, rule: Rule, points: int) -> None:
        """Points that a line gives: they count, as evidence too, and may expire."""
        state, at, cause = self.state, fact[0], fact[3]
        state.engagement += points
        restart = state.restart
        if restart is not None and points > 0 and at > restart.at:
            restart.earned += points
        if rule.expires_after is not None:
            due = at + rule.expires_after
            heapq.heappush(state.expiries, expiry_of((due, self.number, rule.key, cause, points, model.version)))
            if due < self.soon:
                self.soon = due

    def reset(self, fact: Fact, model: Model, rule: Rule) -> None:
        """Set engagement to nothing, or to the floor if that is higher; what earlier lines gave expires no more."""
        state = self.state
        change = max(0, model.limits.floor or 0) - state.engagement
        applied, reason = (0, EXCLUDED) if state.excluded else (change, "")
        self.book(Line(fact.at, "engagement", "reset", fact.cause, rule.key, change, applied, reason, model.version))
        if not state.excluded:
            state.expiries = []

    def grant(self, key: str, limit: Limit, at: int) -> bool:
        """Whether the rule may give again; remembers that it did."""
        times = self.state.grants.get(key)
        if times is None:
            times = self.state.grants[key] = []
        since = EARLIEST if limit.window is None else at - limit.window
        if len(times) >= limit.times and times[-limit.times] > since:
            return False
        times.append(at)
        del times[: -limit.times]
        return True

    def book(self, line: Line) -> None:
        """Write a line that is no rule's, and add it to the sums."""
        self.lines.append(line)
        if line.axis == "fit":
            self.state.fit += line.points
        else:
            self.state.engagement += line.points
