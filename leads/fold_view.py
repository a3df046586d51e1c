"""What conditions see while facts are folded: the state, and the properties of the event at hand."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from leads.condition_nodes import MICROSECONDS, EventCount, InCampaign, Leaf, View, lookup, split_path
from leads.fold_state import EARLIEST, State
from leads.scoring_model import POINT_PATHS


class FoldView(View):
    """The view of one fold."""

    def __init__(self, state: State, evidence_points: int) -> None:
        self.state = state
        self.evidence_points = evidence_points
        self.properties: Mapping[str, Any] = {}
        self.at = 0
        self.stage: str | None = None  # the stage to try gates from, when not the state's

    def field(self, path: str) -> object:
        """A property, a trait, or a column of the state."""
        root, name = split_path(path)
        if root == "event":
            return lookup(self.properties, name)
        if root == "company":
            return self.about_company(name)
        if path == "lead.stage":
            return self.stage or self.state.stage
        if path in POINT_PATHS:
            return getattr(self.state, name)
        return lookup(self.state.traits, name)

    def about_company(self, name: str) -> object:
        """What was told last about the company, by the person or a colleague."""
        try:
            return lookup(self.state.shared, name)
        except KeyError:
            return lookup(self.state.company, name)

    def number(self, axis: str) -> int:
        """The points so far."""
        return int(getattr(self.state, axis))

    def count(self, cond: EventCount) -> int:
        """How many of the remembered events count; after a move backwards only those after it."""
        times = self.state.counters.get(cond.key, ())
        return bisect_right(times, self.at) - bisect_right(times, self.earliest(cond)) if times else 0

    def earliest(self, cond: EventCount) -> int:
        """Only what happened after this counts."""
        earliest = EARLIEST if cond.within is None else self.at - cond.within
        return max(earliest, self.state.restart.at) if self.state.restart else earliest

    def until(self, node: Leaf) -> int | None:
        """When the oldest event that counts now leaves the window."""
        if not isinstance(node, EventCount) or node.within is None:
            return None
        times, earliest = self.state.counters.get(node.key, ()), self.earliest(node)
        return next((time + node.within for time in times if earliest < time <= self.at), None)

    def seconds_in_stage(self) -> float:
        """Since the last move; before the first, since the first fact."""
        since = self.state.first if self.state.stage_at is None else self.state.stage_at
        return 0.0 if since is None else (self.at - since) / MICROSECONDS

    def seconds_idle(self) -> float:
        """Since the person last did something; since the first fact when they never did, nothing before it."""
        since = self.state.idle_since
        return 0.0 if since is None else (self.at - since) / MICROSECONDS

    def in_campaign(self, cond: InCampaign) -> bool:
        """No: scoring knows no campaigns."""
        return False

    def held_back(self) -> str:
        """Why old points open no gate."""
        restart = self.state.restart
        if restart is None or restart.earned >= self.evidence_points:
            return ""
        return f"held since the move backwards: {restart.earned} of {self.evidence_points} new points"
