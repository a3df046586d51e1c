"""The mass-move fuse: before a publication, how many leads it would move to another stage at once, and where to."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import batched
from time import monotonic
from typing import Any

from django.conf import settings
from django.utils import timezone

from leads import engine, scoring
from leads.models import Lead, Stage, Workspace

CHUNK = 200
# The version the document would become; no row has this id.
WOULD_BE = 0
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
    for chunk in batched(pks, CHUNK):
        found.moves.update(destinations(chunk, document, history=history))
        found.looked_at += len(chunk)
        if monotonic() - begun > (ENOUGH if found.total > found.fuse else PATIENCE):
            break
    return found


def destinations(pks: Iterable[int], document: dict[str, Any], *, history: bool) -> Iterator[str]:
    """The stages these leads would go to, one for each that moves."""
    stages = [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.order_by("position", "pk")]
    model, now = engine.compile_model(document, WOULD_BE), scoring.to_micros(timezone.now())
    leads = Lead.objects.select_related("company").in_bulk(list(pks))
    for job in scoring.plan_jobs(leads, new={}, again=set(leads), live=None, stages=stages):
        facts = [replace(fact, version=WOULD_BE) for fact in job.facts] if history else job.facts
        models = {pk: scoring.compiled(pk) for pk in {fact.version for fact in facts} if pk} | {WOULD_BE: model}
        folded = engine.fold(
            job.state,
            facts,
            models,
            stages=stages,
            until=now,
            live=WOULD_BE,
            past=job.past,
            evidence_points=settings.EVIDENCE_POINTS,
        )
        if folded.moves and folded.state.stage != job.lead.stage_id:
            yield folded.state.stage
