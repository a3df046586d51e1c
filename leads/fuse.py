"""The mass-move fuse: before a publication, how many leads it would move to another stage at once, and where to."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import batched
from time import monotonic
from typing import Any

from django.utils import timezone

from leads.models import Lead, Stage, Workspace
from leads.replay import Replay
from leads.simulator import folds

CHUNK = 200
# Once it is clear that the fuse blows, count on only this long; and give up counting after that long.
ENOUGH, PATIENCE = 2.0, 10.0


@dataclass(slots=True)
class Forecast:
    """Where leads would go: by stage, how many. Of `leads` only `looked_at` were, when counting took too long."""

    fuse: int
    leads: int
    looked_at: int = 0
    moves: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """How many leads would move, as far as they were looked at."""
        return self.moves.total()

    @property
    def is_whole(self) -> bool:
        """Whether every lead was looked at."""
        return self.looked_at >= self.leads

    @property
    def asks(self) -> bool:
        """Whether somebody must say once more that they mean it: too many would move, or nobody knows how many."""
        return self.total > self.fuse or not self.is_whole

    @property
    def stages(self) -> list[tuple[str, int]]:
        """The names of the stages with their numbers, the most first."""
        names = dict(Stage.objects.values_list("key", "name"))
        return [(names.get(key, key), count) for key, count in self.moves.most_common()]


def forecast(document: dict[str, Any], *, history: bool) -> Forecast:
    """What publishing this document would move; nothing is written, nothing is locked.

    Visitors are left out: nobody passes a gate before we know who it is.
    """
    pks = list(Lead.objects.known().order_by("pk").values_list("pk", flat=True))
    found, begun = Forecast(Workspace.current().move_fuse, len(pks)), monotonic()
    replay = Replay(document, timezone.now())
    for chunk in batched(pks, CHUNK):
        found.moves.update(destinations(list(chunk), replay, history=history))
        found.looked_at += len(chunk)
        if monotonic() - begun > (ENOUGH if found.total > found.fuse else PATIENCE):
            break
    return found


def destinations(pks: list[int], replay: Replay, *, history: bool) -> Iterator[str]:
    """The stages these leads would go to, one for each that moves."""
    for folded in folds(pks, replay, history=history):
        if folded.moves and folded.moves[0].from_stage != folded.state.stage:
            yield folded.state.stage
