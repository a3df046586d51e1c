"""A what-if in words and pictures: the headline, two charts, the leads that differ, and what it would have meant for sales."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median_low
from typing import Any

from django.utils import timezone

from leads.charts import BarChart, Group
from leads.handoff import STAGE as READY
from leads.models import Lead, ScoringVersion, Stage, WhatIf
from leads.versions_in_force import from_micros
from leads.whatif_result import STEP, WEEK, Counts, Differing, LineChange, Outcome, Tally, load

BUCKETS = 12
PAGE = 50
SERIES = ("Live", "Draft")
KINDS = {"expiry": "expired", "idle": "nothing done", "reset": "reset"}


@dataclass(frozen=True, slots=True)
class Row:
    """One lead that differs, for the table."""

    lead: Lead
    differing: Differing
    stages: tuple[Stage | None, Stage | None]
    lines: list["LineRow"]

    @property
    def has_moved(self) -> bool:
        """Whether its stage differs."""
        return self.differing.stage[0] != self.differing.stage[1]

    @property
    def line_count(self) -> int:
        """How many lines differ."""
        return len(self.lines) + self.differing.more


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line of the ledger that differs, in words."""

    name: str
    kind: str
    day: date
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class WeekRow:
    """One week of the table: for each way from stage to stage the moves under live and under the draft."""

    label: str
    moves: list[tuple[int, int]]
    total: tuple[int, int]


class Result:
    """What the page shows of a finished what-if. `other`: what was compared with live."""

    def __init__(self, what_if: WhatIf, *, other: str = "draft") -> None:
        self.what_if = what_if
        self.other = other
        self.tally: Tally = load(what_if.result)
        self.stages = {stage.key: stage for stage in Stage.objects.all()}

    def name(self, stage: str) -> str:
        """A stage as people call it."""
        return str(self.stages.get(stage, stage))

    @property
    def headline(self) -> str:
        """All of it in a sentence."""
        return headline(self.tally, {key: stage.name for key, stage in self.stages.items()})

    @property
    def scores(self) -> BarChart:
        """How many leads have which score, before and after."""
        return score_chart(self.tally)

    @property
    def weeks(self) -> BarChart:
        """How many moves gates make each week, under live and under the draft."""
        rows = self.week_rows
        live, tried = (sum(row.total[n] for row in rows) for n in (0, 1))
        return BarChart(
            week_finding(live, tried, self.other), "Week beginning", "Moves", SERIES, [Group(row.label, row.total) for row in rows]
        )

    @property
    def arrows(self) -> list[str]:
        """The ways from stage to stage that were taken, in the order of the stages."""
        weeks = [*self.tally.weeks_live.values(), *self.tally.weeks_tried.values()]
        order = list(self.stages)
        found = {arrow for week in weeks for arrow in week}
        return sorted(found, key=lambda arrow: [order.index(key) if key in order else -1 for key in arrow.split(">")])

    @property
    def arrow_words(self) -> list[str]:
        """Those ways as people say them."""
        return [arrow_words(arrow, self.name) for arrow in self.arrows]

    @property
    def week_rows(self) -> list[WeekRow]:
        """The table of the weeks, the oldest first."""
        weeks = -(-self.what_if.days // 7)
        return [self.week_row(number) for number in reversed(range(weeks))]

    def week_row(self, number: int) -> WeekRow:
        """The week so many weeks ago."""
        live, tried = self.tally.weeks_live.get(str(number), {}), self.tally.weeks_tried.get(str(number), {})
        begins = max(self.tally.until - (number + 1) * WEEK, self.tally.since)
        day = timezone.localtime(from_micros(begins))
        moves = [(live.get(arrow, 0), tried.get(arrow, 0)) for arrow in self.arrows]
        short = "" if begins > self.tally.since or not self.what_if.days % 7 else f" ({self.what_if.days % 7} d)"
        return WeekRow(f"{day.day} {day:%b}{short}", moves, (sum(live.values()), sum(tried.values())))

    @property
    def outcomes(self) -> list[str]:
        """What the leads that were won and lost say."""
        name, days = self.name(READY), self.what_if.days
        found = (("won", self.tally.won), ("lost", self.tally.lost))
        return [outcome_words(word, outcome, name, days, self.other) for word, outcome in found]

    def rows(self, page: int) -> list[Row]:
        """One page of the leads that differ; somebody who was forgotten meanwhile is left out."""
        shown = self.tally.shown[(page - 1) * PAGE : page * PAGE]
        leads = Lead.objects.select_related("company").in_bulk([each.lead for each in shown])
        live = ScoringVersion.objects.filter(number=self.tally.number or 0).first()
        names = rule_names(live.document if live else {}) | rule_names(self.what_if.document)
        return [
            Row(
                leads[each.lead], each, (self.stages.get(each.stage[0]), self.stages.get(each.stage[1])), list(line_rows(each.lines, names))
            )
            for each in shown
            if each.lead in leads
        ]

    @property
    def pages(self) -> range:
        """The numbers of the pages."""
        return range(1, -(-len(self.tally.shown) // PAGE) + 1)


def headline(tally: Tally, names: Mapping[str, str]) -> str:
    """In one sentence: 412 leads: 38 scores change, 6 would move to Sales qualified."""
    said = [f"{tally.changed:,} {'score changes' if tally.changed == 1 else 'scores change'}"] if tally.changed else []
    to: dict[str, int] = {}
    for arrow, number in tally.moves.items():
        stage = arrow.partition(">")[2]
        to[stage] = to.get(stage, 0) + number
    order = [*(key for key in names if key in to), *(key for key in to if key not in names)]
    said += [f"{to[key]:,} would move to {names.get(key, key)}" for key in order]
    return f"{tally.known:,} {'lead' if tally.known == 1 else 'leads'}: {', '.join(said) or 'no score and no stage changes'}."


def score_chart(tally: Tally) -> BarChart:
    """The distribution in at most BUCKETS steps."""
    keys = [int(key) for key in (*tally.before, *tally.after)]
    low, high = min(keys, default=0), max(keys, default=0)
    width = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000, 10_000) if (high // step - low // step) < BUCKETS)
    groups = []
    for bucket in range(low // width, high // width + 1):
        values = tuple(
            sum(number for key, number in counts.items() if int(key) // width == bucket) for counts in (tally.before, tally.after)
        )
        first = bucket * width * STEP
        groups.append(Group(f"{first}–{first + width * STEP - 1}" if first >= 0 else f"{first} to {first + width * STEP - 1}", values))
    return BarChart(score_finding(tally), "Score", "Leads", SERIES, groups)


def score_finding(tally: Tally) -> str:
    """What the distribution shows."""
    up, down = tally.up, tally.changed - tally.up
    if not tally.changed:
        return "Every score stays as it is"
    of = f" of {tally.known:,} {'lead' if tally.known == 1 else 'leads'}"
    gain = f"{up:,}{of} {'gains' if up == 1 else 'gain'} points" if up else ""
    lose = f"{down:,}{'' if up else of} {'loses' if down == 1 else 'lose'} points" if down else ""
    return " and ".join(filter(None, [gain, lose]))


def week_finding(live: int, tried: int, other: str) -> str:
    """What the weeks show."""
    if live == tried:
        return f"Gates make {live:,} moves either way" if live else "No gate opens either way"
    return f"The {other} makes {tried:,} moves where live makes {live:,}"


def outcome_words(word: str, outcome: Outcome, stage: str, days: int, other: str) -> str:
    """How leads that were won or lost had been recognized before."""
    if not outcome.leads:
        return f"No lead was {word} in these {days} days."
    leads = f"{outcome.leads:,} {'lead was' if outcome.leads == 1 else 'leads were'} {word} in these {days} days."
    live, tried = given_words(outcome.live), given_words(outcome.tried)
    return f"{leads} Live had brought {live} to {stage} before; the {other} would have brought {tried}."


def given_words(days: Counts) -> str:
    """How many, and how early: "4 of them (14 days ahead in the median)"."""
    number = sum(days.values())
    if not number:
        return "none of them"
    ahead = median_low([int(day) for day, times in days.items() for _ in range(times)])
    return f"{number:,} of them ({ahead:,} {'day' if ahead == 1 else 'days'} ahead in the median)"


def arrow_words(arrow: str, name: Any) -> str:
    """A way from stage to stage: Cold → Marketing qualified."""
    from_stage, _, to_stage = arrow.partition(">")
    return f"{name(from_stage)} → {name(to_stage)}"


def rule_names(document: Mapping[str, Any]) -> dict[str, str]:
    """Names of rules by key."""
    scoring = document.get("scoring", {})
    return {rule["key"]: rule.get("name") or rule["key"] for part in ("rules", "fit", "idle") for rule in scoring.get(part, [])}


def line_rows(lines: Iterable[LineChange], names: Mapping[str, str]) -> Iterable[LineRow]:
    """Lines that differ, in words."""
    for line in lines:
        day = timezone.localtime(from_micros(line.at)).date()
        yield LineRow(names.get(line.rule, line.rule), KINDS.get(line.kind, ""), day, line.before, line.after)
