"""Histories folded as if another model were published: what simulator, fuse and what-if share. Nothing is written."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Max

from leads.engine import EARLIEST, Fact, Folded, Model, NewMove, PastMove, Published, StageInfo, State, compile_model, fold, start
from leads.fold_jobs import stage_infos
from leads.histories import History, Recorded
from leads.models import ScoringVersion, Stage
from leads.of_company import OfCompany
from leads.publishing import check_model, export_draft
from leads.scoring_model import merge_counters, needs_of
from leads.shape import PublishError, builtins
from leads.versions_in_force import Versions, compiled, read_versions, to_micros


def draft_to_try() -> dict[str, Any]:
    """The document that publishing the draft would make a version of. Raises PublishError with everything that is wrong with it."""
    doc = export_draft()
    if problems := check_model(doc, stages=list(Stage.objects.values_list("key", flat=True))):
        raise PublishError(problems)
    document: dict[str, Any] = builtins(doc)
    return document


class Window(NamedTuple):
    """The moves that gates make in the last days, replayed: under the live model, and under the one tried out."""

    live: list[NewMove]
    tried: list[NewMove]


@dataclass(slots=True)
class Replay:
    """A model to try out against the live one, at one moment."""

    document: dict[str, Any]
    now: datetime
    stages: list[StageInfo] = field(default_factory=stage_infos)
    tried: Model = field(init=False)
    until: int = field(init=False)
    versions: Versions = field(init=False)
    models: dict[int, Model] = field(init=False)
    both: list[Model] = field(init=False)
    bases: dict[int, Model] = field(init=False)
    telling: frozenset[str] | None = field(init=False)  # types of events that both may answer with other moves; None: whatever happens

    def __post_init__(self) -> None:
        # The id that the version would get next: of two versions the later one's gates count.
        number = (ScoringVersion.objects.aggregate(Max("pk"))["pk__max"] or 0) + 1
        self.tried = compile_model(self.document, number)
        self.until = to_micros(self.now)
        self.versions = read_versions()
        self.models = self.versions.models() | {number: self.tried}
        self.both = [self.tried, *([self.versions.live] if self.versions.live else [])]
        # Each of the two, counting what either of them counts.
        needs, counters = needs_of(*self.both), merge_counters(self.both)
        self.bases = {each.version: replace(each, version=number + 1, counters=counters, needs=needs) for each in self.both}
        self.telling = telling_types(self.both[-1], self.tried)

    @property
    def live(self) -> int | None:
        """The id of the version that is live."""
        return self.versions.live.version if self.versions.live else None

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each stage: open, won or lost."""
        return {stage.key: stage.kind for stage in self.stages}

    @property
    def of_company(self) -> OfCompany:
        """What either model asks of somebody's colleagues."""
        return self.versions.of_company | self.tried.of_company

    # --- now

    def rescored(self, history: History) -> Folded:
        """Everything folded as publishing with re-score will: all facts under the new model, recorded moves as they are."""
        tried = self.tried
        facts = [fact if fact.version is not None else fact.pinned_to(tried.version) for fact in history.facts]
        models = dict.fromkeys({fact.version for fact in facts if fact.version is not None}, tried) | {tried.version: tried}
        published = [Published(EARLIEST, tried.version)]
        return self.fold(start(self.stages), facts, published, tried, past=history.past, until=self.end_of(history), models=models)

    def published_now(self, history: History) -> Folded:
        """Everything folded as publishing from now on will: facts keep their versions; then fit is looked at and gates are tried."""
        end = self.end_of(history)
        return self.fold(start(self.stages), history.facts, self.with_tried(end), self.tried, past=history.past, until=end)

    def published_after(self, state: State) -> Folded:
        """The same from what the engine carries of a lead, without its facts."""
        end = max(self.until, state.clock)
        return self.fold(state, [], self.with_tried(end), self.tried, until=end)

    def end_of(self, history: History) -> int:
        """Now, or the last fact if a clock ran ahead."""
        return max(self.until, history.facts[-1].at if history.facts else 0)

    def with_tried(self, at: int) -> list[Published]:
        """The publications there were, and one more."""
        return [*self.versions.published, Published(at, self.tried.version)]

    # --- the last days

    def window(self, history: History, since: int) -> Window:
        """What gates do from `since` on, once under the live model and once under the other, as if each were published then.

        Both begin where the lead really stood. Moves by hand are made in both when they were made; those of gates are not repeated.
        """
        live = self.versions.live
        if self.stays(history, since):
            return Window([], [])
        place = bisect_right(history.facts, since, key=itemgetter(0))
        facts = history.facts[place:]
        begins = self.begin(history, place, since, self.tried)
        tried = self.replay(begins, facts, history.moves, since, self.tried)
        if live is None or self.moves_alike(facts):
            return Window(tried if live else [], tried)
        if live.exclude != self.tried.exclude:
            begins = self.begin(history, place, since, live)
        return Window(self.replay(begins, facts, history.moves, since, live), tried)

    def moves_alike(self, facts: Iterable[Fact]) -> bool:
        """Whether both models make the same moves of these facts, which saves replaying them twice."""
        return self.telling is not None and all(fact.type not in self.telling for fact in facts)

    def stays(self, history: History, since: int) -> bool:
        """Whether a lead stood at `since` where no gate leads on in either model, and nobody moved it since: most that are won or lost."""
        stood = [recorded.move.to_stage for recorded in history.moves if recorded.move.at <= since]
        if not stood or by_hand(history.moves, since):
            return False
        return not any(model.gates.get(stood[-1]) for model in self.both)

    def begin(self, history: History, place: int, since: int, model: Model) -> State:
        """Where the lead stood at `since`; it carries what both models count. Whom `model` excludes was excluded."""
        past = [recorded.move for recorded in history.moves if recorded.move.at <= since]
        before = [each for each in self.versions.published if each.at < since]
        return self.fold(start(self.stages), history.facts[:place], before, self.bases[model.version], past=past, until=since).state

    def replay(self, state: State, facts: Sequence[Fact], moves: Iterable[Recorded], since: int, model: Model) -> list[NewMove]:
        """Fold on under `model`; moves by hand are made on the way, from wherever the lead then stands. Returns what gates do."""
        before = [each for each in self.versions.published if each.at < since]
        published = before if before and before[-1].version == model.version else [*before, Published(since, model.version)]
        facts = [fact if fact.version == model.version else fact.pinned_to(model.version) for fact in facts]
        made: list[NewMove] = []
        for move in by_hand(moves, since):
            place = bisect_right(facts, move.at, key=itemgetter(0))
            folded = self.fold(state, facts[:place], published, model, until=move.at)
            state, facts, made = folded.state, facts[place:], made + folded.moves
            if state.stage != move.to_stage:
                moved = move._replace(seq=state.seq + 1, from_stage=state.stage)
                folded = self.fold(state, [], published, model, past=[moved], until=move.at)
                state, made = folded.state, made + folded.moves
        folded = self.fold(state, facts, published, model, until=self.until)
        # Whoever turns out to be excluded in these days never counted.
        return [] if folded.switched else made + folded.moves

    # --- the engine

    def fold(
        self,
        state: State,
        facts: Sequence[Fact],
        published: Sequence[Published],
        live: Model,
        *,
        until: int,
        past: Sequence[PastMove] = (),
        models: Mapping[int, Model] | None = None,
    ) -> Folded:
        """The one call of the engine."""
        if models is None:
            self.models.update({pk: compiled(pk) for pk in {fact.version for fact in facts} - self.models.keys() if pk is not None})
            models = self.models if live.version in self.models else self.models | {live.version: live}
        return fold(
            state,
            facts,
            models,
            stages=self.stages,
            until=until,
            live=live.version,
            past=past,
            published=published,
            evidence_points=settings.EVIDENCE_POINTS,
        )


def telling_types(one: Model, other: Model) -> frozenset[str] | None:
    """The types of events after which two models may move somebody differently; None: they may do so without any event.

    Points count only where a gate asks for them. Then it must be no more than some rules that differ.
    """
    if (one.gates, one.derived, one.exclude) != (other.gates, other.derived, other.exclude):
        return None
    if not any(concerns.points for concerns in one.concerns.values()):
        return frozenset()
    if (one.fit, one.idle, one.limits) != (other.fit, other.idle, other.limits):
        return None
    differing = {kind for kind in one.rules.keys() | other.rules.keys() if one.rules.get(kind) != other.rules.get(kind)}
    return frozenset(differing | {kind for kind, found in one.derived.items() if any(name in differing for _, name in found)})


def by_hand(moves: Iterable[Recorded], since: int) -> list[PastMove]:
    """The moves by hand after `since`, without those that were taken back."""
    return [recorded.move for recorded in moves if recorded.move.at > since and not recorded.gate and not recorded.move.neutral]
