"""Why a lead has its score: the ledger grouped by rule, in words."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Q, Sum, Window
from django.db.models.functions import RowNumber

from leads.models import Lead, ScoreEntry, ScoringVersion
from leads.sentences import tell, why_points

# Lines of one rule shown at once; the sums count all of them.
SHOWN = 10
MORE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger in words: what happened, and why it counts as it does."""

    entry: ScoreEntry

    @property
    def text(self) -> str:
        """What happened."""
        kind, event = self.entry.kind, self.entry.event
        if kind == ScoreEntry.Kind.EXPIRY:
            return "Points expired"
        if kind == ScoreEntry.Kind.FIT:
            return "Holds" if self.entry.raw else "No longer holds"
        return tell(event).text if event else "Time passed"

    @property
    def detail(self) -> str:
        """What stands beside it."""
        event = self.entry.event
        if event is None:
            return ""
        said = tell(event)
        return said.detail if self.entry.kind == ScoreEntry.Kind.POINTS else f"after “{said.text}”"

    @property
    def why(self) -> str:
        """Why the points differ from what the rule says."""
        return why_points(self.entry.reason)

    @property
    def would_be(self) -> int | None:
        """What the rule alone would have given, where that is something else."""
        return self.entry.raw if self.entry.raw != self.entry.points and self.entry.n == 1 else None


@dataclass
class RuleTotal:
    """What one rule has brought a lead so far. `lines` are the newest of its `count` lines."""

    rule: str
    axis: str
    name: str
    points: int
    count: int
    times: int
    last_at: datetime
    lines: list[Line] = field(default_factory=list)

    @property
    def older(self) -> int:
        """How many lines are only counted, not shown."""
        return self.count - len(self.lines)

    @property
    def is_fit(self) -> bool:
        """Whether it is about who somebody is."""
        return self.axis == ScoreEntry.Axis.FIT


@dataclass(frozen=True)
class Ledger:
    """The rules that made the score, the strongest first; `total` equals the lead's score."""

    rules: list[RuleTotal]
    total: int


def rule_names(version: ScoringVersion | None) -> dict[str, str]:
    """Names of scoring and fit rules by key, as the live model has them."""
    scoring = version.document.get("scoring", {}) if version else {}
    return {rule["key"]: rule.get("name") or rule["key"] for rule in [*scoring.get("rules", []), *scoring.get("fit", [])]}


def explain_score(lead: Lead, version: ScoringVersion | None) -> Ledger:
    """Group a lead's whole ledger by rule, in one query however long it is."""
    names = rule_names(version)
    rules: dict[tuple[str, str], RuleTotal] = {}
    for entry in newest_of_each_rule(lead):
        key = (entry.axis, entry.rule)
        if key not in rules:
            name = names.get(entry.rule, entry.rule)
            rules[key] = RuleTotal(entry.rule, entry.axis, name, entry.total, entry.lines, entry.times, entry.last_at)
        rules[key].lines.append(Line(entry))
    ordered = sorted(rules.values(), key=lambda rule: (-abs(rule.points), rule.name))
    return Ledger(ordered, sum(rule.points for rule in ordered))


def newest_of_each_rule(lead: Lead) -> Iterable[Any]:
    """The newest lines of every rule, newest first, each with the sums of its rule."""
    group: dict[str, Any] = {"partition_by": [F("axis"), F("rule")]}
    granted = Q(n=1) & ~Q(kind=ScoreEntry.Kind.EXPIRY)
    return (
        lead.entries.select_related("event")
        .annotate(
            number=F("version__number"),
            place=Window(RowNumber(), order_by=[F("at").desc(), F("pk").desc()], **group),
            total=Window(Sum("points"), **group),
            lines=Window(Count("pk"), **group),
            times=Window(Count("pk", filter=granted), **group),
            last_at=Window(Max("at"), **group),
        )
        .filter(place__lte=SHOWN)
        .order_by("axis", "rule", "place")
    )


def older_lines(lead: Lead, *, axis: str, rule: str, after: int) -> tuple[list[Line], int | None]:
    """More lines of one rule, those behind the first `after`; and where the next ones begin, None at the end."""
    entries = lead.entries.filter(axis=axis, rule=rule).select_related("event").annotate(number=F("version__number"))
    rows = entries.order_by("-at", "-pk")[after : after + MORE + 1]
    lines = [Line(entry) for entry in rows]
    return lines[:MORE], after + MORE if len(lines) > MORE else None
