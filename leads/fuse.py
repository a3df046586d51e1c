"""The mass-move fuse: before a publication, how many leads it would move to another stage at once, where to, and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from time import monotonic
from typing import Any

from django.utils import timezone

from leads.engine import Folded, StageInfo
from leads.fold_jobs import stage_infos
from leads.models import Lead, Stage, Workspace
from leads.replay import Replay
from leads.simulator import folds

CHUNK = 200
# Once it is clear that the fuse blows, count on only this long; and give up counting after that long.
ENOUGH, PATIENCE = 2.0, 10.0


@dataclass(slots=True)
class Forecast:
    """Where leads would go: by stage, how many; and how many through each gate, by its name.

    Of `leads` only `looked_at` were, when counting took too long.
    """

    fuse: int
    leads: int
    looked_at: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    gates: Counter[str] = field(default_factory=Counter)

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
    def words(self) -> str:
        """How many leads would move, where to and through which gates: 4 leads at once: 4 to Sales qualified (4 through Hot)."""
        names = dict(Stage.objects.values_list("key", "name"))
        least = "" if self.is_whole else "at least "
        stages = ", ".join(f"{count:,} to {names.get(key, key)}" for key, count in self.moves.most_common())
        gates = ", ".join(f"{count:,} through {name}" for name, count in self.gates.most_common())
        return f"{least}{self.total:,} {'lead' if self.total == 1 else 'leads'} at once" + (f": {stages} ({gates})" if stages else "")

    @property
    def reason(self) -> str:
        """Why somebody is asked."""
        if self.is_whole:
            return f"It asks because that is more than {self.fuse:,}."
        seen = f"{self.looked_at:,} of {self.leads:,} leads were looked at in the time there is"
        return f"{seen}; it asks because nobody knows how many of the others move."

    def add(self, folded: Folded, names: dict[str, str]) -> None:
        """Count one lead in, if it moves; `names` are those of the gates."""
        if folded.moves and folded.moves[0].from_stage != folded.state.stage:
            self.moves[folded.state.stage] += 1
            self.gates.update(names[move.gate] for move in folded.moves)


def forecast(document: dict[str, Any], *, history: bool) -> Forecast:
    """What publishing this document would move, as far as it can be counted while somebody waits for a page."""
    begun = monotonic()
    for found in count(document, history=history):
        if found.looked_at and monotonic() - begun > (ENOUGH if found.total > found.fuse else PATIENCE):
            break
    return found


def count(document: dict[str, Any], *, history: bool, stages: Sequence[StageInfo] | None = None) -> Iterator[Forecast]:
    """What publishing this document would move; yields it before the first lead and after each chunk, at the end it is whole.

    Nothing is written, nothing is locked. Visitors are left out: nobody passes a gate before we know who it is.
    `stages`: those there will be, when they are to be published too.
    """
    pks = list(Lead.objects.known().order_by("pk").values_list("pk", flat=True))
    found = Forecast(Workspace.current().move_fuse, len(pks))
    replay = Replay(document, timezone.now(), list(stages or stage_infos()))
    names = {gate["key"]: gate.get("name") or gate["key"] for gate in document.get("gates", [])}
    yield found
    for chunk in batched(pks, CHUNK):
        for folded in folds(list(chunk), replay, history=history):
            found.add(folded, names)
        found.looked_at += len(chunk)
        yield found
