"""What a what-if has found so far: sums that stay small however many leads there are, and the leads that differ most."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from leads.engine import Line, NewMove
from leads.handoff import STAGE as READY
from leads.histories import History
from leads.replay import Replay, Window
from leads.scoring_model import DAY
from leads.standing import LineKey, Standing, standing_lines

WEEK = 7 * DAY
# Leads that are shown with their lines, and lines of each.
SHOWN = 300
LINES = 15
# Scores are counted in steps of this many points.
STEP = 10

Counts = dict[str, int]


class LineChange(msgspec.Struct, array_like=True):
    """A line of the ledger that differs: which rule, what kind, when (µs), its points before and after."""

    rule: str
    kind: str
    at: int
    before: int
    after: int


class Differing(msgspec.Struct):
    """A lead whose score or stage differs. Of its lines the weightiest; `more` of them are only counted, with their sums."""

    lead: int
    score: tuple[int, int]
    stage: tuple[str, str]
    lines: list[LineChange] = []
    more: int = 0
    more_points: tuple[int, int] = (0, 0)

    @property
    def weight(self) -> tuple[bool, int, int]:
        """What differs most comes first: another stage, then the difference in points."""
        return self.stage[0] != self.stage[1], abs(self.score[1] - self.score[0]), -self.lead


class Outcome(msgspec.Struct):
    """Leads that were won (or lost) in these days, and how many whole days before that sales had been given them."""

    leads: int = 0
    live: Counts = msgspec.field(default_factory=dict)
    tried: Counts = msgspec.field(default_factory=dict)


class Tally(msgspec.Struct):
    """The result, and how far it has come: `next_lead` is the id after which it goes on."""

    live: int | None
    number: int | None
    since: int
    until: int
    next_lead: int = 0
    facts: int = 0
    known: int = 0
    visitors: int = 0
    differ: int = 0
    changed: int = 0
    up: int = 0
    visitors_changed: int = 0
    before: Counts = msgspec.field(default_factory=dict)
    after: Counts = msgspec.field(default_factory=dict)
    moves: Counts = msgspec.field(default_factory=dict)
    weeks_live: dict[str, Counts] = msgspec.field(default_factory=dict)
    weeks_tried: dict[str, Counts] = msgspec.field(default_factory=dict)
    won: Outcome = msgspec.field(default_factory=Outcome)
    lost: Outcome = msgspec.field(default_factory=Outcome)
    shown: list[Differing] = msgspec.field(default_factory=list)

    @property
    def moved(self) -> int:
        """Leads whose stage differs."""
        return sum(self.moves.values())

    def add(self, history: History, replay: Replay) -> list[Line]:
        """Count one lead in. Returns the lines it would have, when it differs."""
        folded, lead = replay.rescored(history), history.lead
        score, stage = (lead.score, folded.state.score), (lead.stage, folded.state.stage)
        self.facts += len(history.facts)
        self.next_lead = lead.pk
        if not lead.is_known:
            self.visitors += 1
            self.visitors_changed += score[0] != score[1]
            return []
        self.known += 1
        count(self.before, str(score[0] // STEP))
        count(self.after, str(score[1] // STEP))
        self.add_window(history, replay.window(history, self.since), replay.kinds)
        if score[0] == score[1] and stage[0] == stage[1]:
            return []
        self.differ += 1
        self.changed += score[0] != score[1]
        self.up += score[0] < score[1]
        if stage[0] != stage[1]:
            count(self.moves, arrow(*stage))
        self.shown.append(Differing(lead.pk, score, stage))
        return folded.lines

    def add_window(self, history: History, window: Window, kinds: Mapping[str, str]) -> None:
        """Count the moves of the last days, and what they had to do with winning and losing."""
        for weeks, moves in ((self.weeks_live, window.live), (self.weeks_tried, window.tried)):
            for move in moves:
                week = max(self.until - move.at - 1, 0) // WEEK
                count(weeks.setdefault(str(week), {}), arrow(move.from_stage, move.to_stage))
        for kind, outcome in (("won", self.won), ("lost", self.lost)):
            came = [each.move for each in history.moves if each.move.at > self.since and kinds.get(each.move.to_stage) == kind]
            if not came:
                continue
            outcome.leads += 1
            standing = [
                each.move.at for each in history.moves if is_given(each.move.to_stage) and (each.move.at <= self.since or not each.gate)
            ]
            for days, moves in ((outcome.live, window.live), (outcome.tried, window.tried)):
                given = [*standing, *ready(moves)]
                if given and min(given) <= came[0].at:
                    count(days, str((came[0].at - min(given)) // DAY))

    def settle(self, lines: Mapping[int, list[Line]]) -> None:
        """Keep the leads that differ most, and give those that are new among them their lines."""
        self.shown = sorted(self.shown, key=lambda each: each.weight, reverse=True)[:SHOWN]
        new = [each for each in self.shown if each.lead in lines]
        standing = standing_lines([each.lead for each in new])
        for each in new:
            tell_lines(each, lines[each.lead], standing.get(each.lead, {}))


def is_given(stage: str) -> bool:
    """Whether sales is given the leads of this stage."""
    return stage == READY


def ready(moves: Iterable[NewMove]) -> list[int]:
    """When these moves give a lead to sales."""
    return [move.at for move in moves if is_given(move.to_stage)]


def count(counts: Counts, key: str) -> None:
    """One more."""
    counts[key] = counts.get(key, 0) + 1


def arrow(from_stage: str, to_stage: str) -> str:
    """A move as a key."""
    return f"{from_stage}>{to_stage}"


def tell_lines(each: Differing, lines: Iterable[Line], standing: Mapping[LineKey, Standing]) -> None:
    """Set the lines in which the ledger would differ, the weightiest of them in the order of time, the newest first."""
    after: dict[LineKey, tuple[int, int]] = {}
    for line in lines:
        after[line.cause, line.rule, line.kind] = (line.points, line.at)
    changes = []
    for key in after.keys() | standing.keys():
        now, then = standing.get(key), after.get(key)
        points = (now.points if now else 0, then[0] if then else 0)
        if points[0] != points[1]:
            changes.append(LineChange(key[1], key[2], then[1] if then else standing[key].moment, *points))
    changes.sort(key=lambda change: (-abs(change.after - change.before), -change.at, change.rule, change.kind))
    each.lines = sorted(changes[:LINES], key=lambda change: (-change.at, change.rule, change.kind))
    rest = changes[LINES:]
    each.more, each.more_points = len(rest), (sum(change.before for change in rest), sum(change.after for change in rest))


def load(result: Mapping[str, Any]) -> Tally:
    """The tally that a row's result holds."""
    return msgspec.convert(result, Tally)


def dump(tally: Tally) -> dict[str, Any]:
    """The tally as plain JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(tally)
    return plain
