"""Histories folded as if another model were published: what simulator, fuse and what-if share. Nothing is written."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings

from leads import engine, scoring
from leads.fold_state import EARLIEST
from leads.histories import History, Recorded
from leads.models import ScoringVersion, Stage

# The model that is tried out, as a version; no row has this id.
TRIED = 0


class Published(NamedTuple):
    """From when on a version was in force (µs)."""

    at: int
    version: int


class Window(NamedTuple):
    """The moves that gates make in the last days, replayed: under the live model, and under the one tried out."""

    live: list[engine.NewMove]
    tried: list[engine.NewMove]


@dataclass(slots=True)
class Replay:
    """A model to try out against the live one, at one moment."""

    document: dict[str, Any]
    now: datetime
    tried: engine.Model = field(init=False)
    until: int = field(init=False)
    stages: list[engine.StageInfo] = field(init=False)
    published: list[Published] = field(init=False)
    models: dict[int, engine.Model] = field(init=False)

    def __post_init__(self) -> None:
        self.tried = engine.compile_model(self.document, TRIED)
        self.until = scoring.to_micros(self.now)
        self.stages = [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in Stage.objects.order_by("position", "pk")]
        versions = list(ScoringVersion.objects.order_by("number"))
        self.published = [Published(EARLIEST if each.rescored else scoring.to_micros(each.published_at), each.pk) for each in versions]
        self.models = {each.pk: scoring.compiled(each.pk) for each in versions} | {TRIED: self.tried}

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each stage: open, won or lost."""
        return {stage.key: stage.kind for stage in self.stages}

    @property
    def live(self) -> int | None:
        """The version that is live."""
        return self.published[-1].version if self.published else None

    def rescored(self, history: History) -> engine.Folded:
        """Everything folded as publishing with re-score will: all facts under the new model, recorded moves as they are."""
        until = max(self.until, history.facts[-1].at if history.facts else 0)
        return self.fold(
            engine.start(self.stages), history.facts, [Published(EARLIEST, TRIED)], everywhere=True, past=history.past, until=until
        )

    def published_now(self, history: History) -> engine.Folded:
        """Everything folded as publishing from now on will: facts keep their versions, then fit is looked at and gates are tried."""
        until = max(self.until, history.facts[-1].at if history.facts else 0)
        published = [*self.published, Published(until, TRIED)]
        return self.fold(engine.start(self.stages), history.facts, published, past=history.past, until=until)

    def window(self, history: History, since: int) -> Window:
        """What gates do from `since` on, once under the live model and once under the other, as if each were published then.

        Both begin where the lead really stood. Moves by hand are made in both when they were made; those of gates are not repeated.
        """
        place = bisect_right(history.facts, since, key=lambda fact: fact.at)
        past = [recorded.move for recorded in history.moves if recorded.move.at <= since]
        before = [each for each in self.published if each.at < since]
        begins = self.fold(engine.start(self.stages), history.facts[:place], before, past=past, until=since).state
        hand = by_hand(history.moves, since)
        facts = history.facts[place:]
        live = [] if self.live is None else self.replay(begins, facts, hand, [*before, Published(since, self.live)])
        return Window(live, self.replay(begins, facts, hand, [*before, Published(since, TRIED)]))

    def replay(
        self, state: engine.State, facts: Sequence[engine.Fact], hand: Iterable[engine.PastMove], published: list[Published]
    ) -> list[engine.NewMove]:
        """Fold on from `state`; moves by hand are made on the way, from wherever the lead then stands. Returns what gates do."""
        made: list[engine.NewMove] = []
        for move in hand:
            place = bisect_right(facts, move.at, key=lambda fact: fact.at)
            folded = self.fold(state, facts[:place], published, everywhere=True, until=move.at)
            state, facts, made = folded.state, facts[place:], made + folded.moves
            if state.stage != move.to_stage:
                moved = replace(move, seq=state.seq + 1, from_stage=state.stage)
                folded = self.fold(state, [], published, everywhere=True, past=[moved], until=move.at)
                state, made = folded.state, made + folded.moves
        return made + self.fold(state, facts, published, everywhere=True, until=self.until).moves

    def fold(
        self,
        state: engine.State,
        facts: Sequence[engine.Fact],
        published: Sequence[Published],
        *,
        until: int,
        past: Sequence[engine.PastMove] = (),
        everywhere: bool = False,
    ) -> engine.Folded:
        """The one call of the engine. `everywhere`: all facts count by the last version, whatever they are pinned to."""
        last = published[-1].version if published else None
        models: Mapping[int, engine.Model] = self.models
        if everywhere and last is not None:
            models = dict.fromkeys(self.models, self.models[last])
            facts = [fact if fact.version is not None else replace(fact, version=last) for fact in facts]
        return engine.fold(
            state, facts, models, stages=self.stages, until=until, live=last, past=past, evidence_points=settings.EVIDENCE_POINTS
        )


def by_hand(moves: Iterable[Recorded], since: int) -> list[engine.PastMove]:
    """The moves by hand after `since`, without those that were taken back."""
    return [recorded.move for recorded in moves if recorded.move.at > since and not recorded.gate and not recorded.undone]
