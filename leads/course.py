"""The course of a lead's score, drawn by the server: the line, what gave or took most, and when the stage changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import NamedTuple

from django.db.models import Min, Sum
from django.db.models.functions import Abs, TruncDate
from django.utils import timezone

from leads.ledger import rule_names
from leads.models import Lead, ScoreEntry, ScoringVersion, Transition
from leads.templatetags.words import signed

# The longest way back; more is not drawn.
LONGEST = 3650


class Reach(NamedTuple):
    """How far back one looks: how many days are drawn, of how many the title tells, and how the link is called."""

    days: int
    told: int
    label: str


REACHES = {
    "30": Reach(30, 30, "30 days"),
    "90": Reach(90, 30, "90 days"),
    "365": Reach(365, 365, "Year"),
    "all": Reach(LONGEST, LONGEST, "All"),
}
DEFAULT = "90"
# Steps drawn at most; a step is as many days as that takes.
STEPS = 120
# The picture, in its own units; the names of the stages stand above the line in rows.
WIDTH, HEIGHT, EDGE = 360, 96, 7
ROW, ROWS, LETTER, LONGEST_NAME = 13, 3, 5.6, 22
# Dots at most, so far apart that each can be hit, chosen from the lines that gave or took most.
DOTS, APART, CANDIDATES = 12, 27, 80
MOVES = 30
Kind = ScoreEntry.Kind
CAUSES: dict[str, str] = {
    Kind.EXPIRY: "points of {} that expired",
    Kind.IDLE: "{}, for nothing was done",
    Kind.RESET: "{}, which takes all points",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the days stand: `count` steps of `days` days, the last one ends today."""

    today: date
    days: int
    count: int

    @property
    def width(self) -> float:
        """How wide a step is."""
        return WIDTH / max(self.count - 1, 1)

    def end_of(self, step: int) -> date:
        """The last day of a step."""
        return self.today - timedelta(days=self.days * (self.count - 1 - step))

    def step_of(self, day: date) -> int:
        """The step in which a day lies."""
        return max(self.count - 1 - (self.today - day).days // self.days, 0)


class DaySum(NamedTuple):
    """What one rule gave or took on one day."""

    day: date
    rule: str
    kind: str
    points: int


@dataclass(frozen=True, slots=True)
class Step:
    """The score at the end of a step, and what changed during it."""

    until: date
    score: int
    change: int


@dataclass(frozen=True, slots=True)
class Dot:
    """What gave or took most around one place of the line; `event` is the strongest one's, where there is one."""

    x: float
    y: float
    points: int
    text: str
    event: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A stage change: a line across, and its name where there is room for it (`row` None: no room)."""

    move: Transition
    x: float
    row: int | None
    is_left: bool

    @property
    def name(self) -> str:
        """The stage, as much of it as fits."""
        name = str(self.move.to_stage)
        return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1].rstrip()}…"

    @property
    def name_x(self) -> float:
        """Where its name begins, or ends when it stands on the left."""
        return self.x - 4 if self.is_left else self.x + 4

    @property
    def name_y(self) -> int:
        """The line its name stands on."""
        return ROW * (self.row or 0) + 10


@dataclass(frozen=True, slots=True)
class Course:
    """The score's course over a range of days, the oldest step first."""

    reach: str
    scale: Scale
    steps: list[Step]
    finding: str
    marks: list[Mark]
    strongest: list[list[ScoreEntry]]
    names: Mapping[str, str]
    moment: datetime | None = None

    @property
    def moment_x(self) -> float | None:
        """Where the moment asked for stands; None when it is now, or further back than is drawn."""
        if self.moment is None or (day := timezone.localdate(self.moment)) < self.steps[0].until:
            return None
        return self.scale.step_of(day) * self.scale.width

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to draw."""
        return len(self.steps) < 2 or (not self.marks and not any(step.change for step in self.steps[1:]))

    @property
    def top(self) -> int:
        """The highest score."""
        return max(step.score for step in self.steps)

    @property
    def low(self) -> int:
        """The lowest score, or 0."""
        return min(0, *(step.score for step in self.steps))

    @property
    def changes(self) -> list[Step]:
        """The steps at which it changed, the newest first: the same as a table."""
        return [step for step in reversed(self.steps) if step.change]

    @property
    def head(self) -> int:
        """The room above the line, for the names of the stages."""
        return ROW * (1 + max((mark.row for mark in self.marks if mark.row is not None), default=-1))

    @property
    def height(self) -> int:
        """The picture's height."""
        return self.head + HEIGHT

    @property
    def points(self) -> str:
        """The line as SVG points; a step's score stands at its end."""
        return " ".join(f"{n * self.scale.width:.1f},{self.y_of(step.score):.1f}" for n, step in enumerate(self.steps))

    @property
    def area(self) -> str:
        """The ground below the line."""
        return f"0,{self.height} {self.points} {WIDTH},{self.height}"

    @property
    def dots(self) -> list[Dot]:
        """The dots on the line, from left to right."""
        return [self.dot_of(lines) for lines in self.strongest]

    def y_of(self, score: int) -> float:
        """How high a score stands in the picture."""
        return self.head + EDGE + (HEIGHT - 2 * EDGE) * (1 - (score - self.low) / max(self.top - self.low, 1))

    def dot_of(self, lines: Sequence[ScoreEntry]) -> Dot:
        """Lines that stand close together as one dot, at the strongest."""
        step = self.scale.step_of(timezone.localdate(lines[0].at))
        said = [
            f"{signed(line.points)} {self.names.get(line.rule, line.rule)}, {timezone.localtime(line.at):%d %b %H:%M}" for line in lines[:3]
        ]
        said += [f"and {len(lines) - 3} more"] if len(lines) > 3 else []
        x, y = step * self.scale.width, self.y_of(self.steps[step].score)
        return Dot(x, y, lines[0].points, "; ".join(said), lines[0].event_id)


def draw_course(
    lead: Lead,
    version: ScoringVersion | None,
    moves: Sequence[Transition],
    *,
    reach: str = DEFAULT,
    moment: datetime | None = None,
    now: datetime,
) -> Course:
    """Sum the ledger by day, backwards from the score of today. `moves` are all of the lead's, in order.

    At most three queries, however long it is.
    """
    today, wanted = timezone.localdate(now), REACHES[reach]
    names, days = rule_names(version), wanted.days if wanted.days < LONGEST else days_since_first(lead, today)
    scale = scale_of(days, today)
    since = start_of(scale.end_of(0) - timedelta(days=scale.days - 1))
    sums = sums_by_day(lead, since)
    return Course(
        reach,
        scale,
        steps_of(sums, scale, score=lead.score),
        finding_of(sums, names, since=today - timedelta(days=min(wanted.told, days) - 1), today=today),
        place_marks([move for move in moves if move.at >= since][-MOVES:], scale),
        strongest_of(lead, scale, since=since),
        names,
        moment,
    )


def days_since_first(lead: Lead, today: date) -> int:
    """How many days the ledger goes back, today included; a month at least."""
    first = lead.entries.aggregate(Min("at"))["at__min"]
    return 30 if first is None else min(max((today - timezone.localdate(first)).days + 2, 30), LONGEST)


def scale_of(days: int, today: date) -> Scale:
    """As many steps as fit, each of so many whole days."""
    each = ceil(days / STEPS)
    return Scale(today, each, ceil(days / each))


def start_of(day: date) -> datetime:
    """The first moment of a day."""
    return timezone.make_aware(datetime.combine(day, time.min))


def sums_by_day(lead: Lead, since: datetime) -> list[DaySum]:
    """What each rule gave and took on each day."""
    rows = lead.entries.filter(at__gte=since).annotate(day=TruncDate("at")).order_by()
    return [DaySum(*row) for row in rows.values_list("day", "rule", "kind").annotate(Sum("points"))]


def steps_of(sums: Iterable[DaySum], scale: Scale, *, score: int) -> list[Step]:
    """The score at the end of each step, counted back from today's."""
    changes = [0] * scale.count
    for each in sums:
        changes[min(scale.step_of(each.day), scale.count - 1)] += each.points
    steps = []
    for n in reversed(range(scale.count)):
        steps.append(Step(scale.end_of(n), score, changes[n]))
        score -= changes[n]
    return steps[::-1]


# --- what stands on the line ----------------------------------------------------------------------


def strongest_of(lead: Lead, scale: Scale, *, since: datetime) -> list[list[ScoreEntry]]:
    """The lines that gave or took most, from left to right; those too close to a stronger one stand with it."""
    rows = lead.entries.filter(at__gte=since).exclude(points=0).defer("version").annotate(weight=Abs("points"))
    placed: list[tuple[float, list[ScoreEntry]]] = []
    for line in rows.order_by("-weight", "-at", "-pk")[:CANDIDATES]:
        x = scale.step_of(timezone.localdate(line.at)) * scale.width
        near = next((lines for place, lines in placed if abs(place - x) < APART), None)
        if near is not None:
            near.append(line)
        elif len(placed) < DOTS:
            placed.append((x, [line]))
    return [lines for _, lines in sorted(placed, key=lambda pair: pair[0])]


def place_marks(moves: Iterable[Transition], scale: Scale) -> list[Mark]:
    """Stage changes, each with its name in the first row in which it covers no other."""
    ends = [-float(WIDTH)] * ROWS
    marks = []
    for move in moves:
        x = scale.step_of(timezone.localdate(move.at)) * scale.width
        length = LETTER * min(len(str(move.to_stage)), LONGEST_NAME) + 8
        is_left = x + length > WIDTH
        begin, end = (x - length, x) if is_left else (x, x + length)
        row = next((n for n, taken in enumerate(ends) if taken <= begin), None)
        if row is not None:
            ends[row] = end
        marks.append(Mark(move, x, row, is_left))
    return marks


# --- the title ------------------------------------------------------------------------------------


def finding_of(sums: Iterable[DaySum], names: Mapping[str, str], *, since: date, today: date) -> str:
    """What it shows, in words: "Up 45 in 30 days, most of it from Viewed pricing"."""
    by_cause: dict[tuple[str, str], int] = {}
    for each in sums:
        if each.day >= since:
            by_cause[each.rule, each.kind] = by_cause.get((each.rule, each.kind), 0) + each.points
    change, days = sum(by_cause.values()), (today - since).days + 1
    when = f"{days} days" if days <= 30 else "a year" if days == 365 else ""
    if not change:
        return f"Unchanged for {when}" if when else f"As high as on {since.day} {since:%b %Y}"
    sign = 1 if change > 0 else -1
    same_way = {cause: points * sign for cause, points in by_cause.items() if points * sign > 0}
    (rule, kind), most = max(same_way.items(), key=lambda item: (item[1], item[0]))
    mostly = CAUSES.get(kind, "{}").format(names.get(rule, rule))
    told = f"{'Up' if sign > 0 else 'Down'} {abs(change)} {f'in {when}' if when else f'since {since.day} {since:%b %Y}'}"
    return f"{told}, most of it from {mostly}" if 2 * most > sum(same_way.values()) else told
