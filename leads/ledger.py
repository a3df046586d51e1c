"""Why a lead has its score: the ledger grouped by rule, in words."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum, Window
from django.db.models.functions import RowNumber

from leads.models import Event, Lead, ScoreEntry, ScoringVersion
from leads.sentences import tell, why_points

# What a line says that no event gave its points.
ITSELF: dict[str, str] = {
    ScoreEntry.Kind.EXPIRY: "Points expired",
    ScoreEntry.Kind.RESET: "All engagement points taken back",
    ScoreEntry.Kind.IDLE: "Nothing done for long enough",
}
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
        if kind in ITSELF:
            return ITSELF[kind]
        if kind == ScoreEntry.Kind.FIT:
            return "Holds" if self.entry.raw else "No longer holds"
        return tell(event).text if event else "Time passed"

    @property
    def says_itself(self) -> bool:
        """Whether it is not the event that gives or takes its points."""
        return self.entry.kind in ITSELF

    @property
    def detail(self) -> str:
        """What stands beside it."""
        event = self.entry.event
        if event is None:
            return ""
        said = tell(event)
        if self.entry.kind == ScoreEntry.Kind.POINTS:
            return said.detail
        return f"after “{said.text}”" + (f" by {event.lead}" if event.lead_id != self.entry.lead_id else "")

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
    """The rules that made the score, the strongest first; `total` equals the lead's score, or what it was at `moment`."""

    rules: list[RuleTotal]
    total: int
    moment: datetime | None = None

    @property
    def fit(self) -> int:
        """The points for who somebody is."""
        return sum(rule.points for rule in self.rules if rule.is_fit)

    @property
    def engagement(self) -> int:
        """The points for what somebody did."""
        return self.total - self.fit


def rule_names(version: ScoringVersion | None) -> dict[str, str]:
    """Names of scoring, fit and idle rules by key, as the live model has them."""
    scoring = version.document.get("scoring", {}) if version else {}
    return {rule["key"]: rule.get("name") or rule["key"] for kind in ("rules", "fit", "idle") for rule in scoring.get(kind, [])}


def explain_score(lead: Lead, version: ScoringVersion | None, *, moment: datetime | None = None) -> Ledger:
    """Group a lead's whole ledger by rule, or what of it stands at or before `moment`; two queries however long it is."""
    names, lines = rule_names(version), lines_until(lead, moment)
    rules: dict[tuple[str, str], RuleTotal] = {}
    newest = {row.pk: row for row in newest_of_each_rule(lines)}
    entries = with_facts(lines).in_bulk(newest) if newest else {}
    for pk, row in newest.items():
        if (row.axis, row.rule) not in rules:
            name = names.get(row.rule, row.rule)
            rules[row.axis, row.rule] = RuleTotal(row.rule, row.axis, name, row.total, row.lines, row.times, row.last_at)
        rules[row.axis, row.rule].lines.append(Line(entries[pk]))
    ordered = sorted(rules.values(), key=lambda rule: (-abs(rule.points), rule.name))
    return Ledger(ordered, sum(rule.points for rule in ordered), moment)


def lines_until(lead: Lead, moment: datetime | None) -> QuerySet[ScoreEntry]:
    """A lead's lines: all, or those that stand at or before `moment`."""
    return lead.entries.all() if moment is None else lead.entries.filter(at__lte=moment)


def with_facts(lines: QuerySet[ScoreEntry]) -> QuerySet[ScoreEntry]:
    """Lines with their events and the numbers of their versions."""
    return lines.select_related("event__lead", "version").defer("version__document", "event__lead__traits")


def newest_of_each_rule(lines: QuerySet[ScoreEntry]) -> Iterable[Any]:
    """(id, and the sums of its rule) of the newest lines of every rule, newest first. Narrow rows, for all lines are sorted."""
    group: dict[str, Any] = {"partition_by": [F("axis"), F("rule")]}
    granted = Q(n=1) & ~Q(kind=ScoreEntry.Kind.EXPIRY)
    rows = lines.annotate(
        place=Window(RowNumber(), order_by=[F("at").desc(), F("pk").desc()], **group),
        total=Window(Sum("points"), **group),
        lines=Window(Count("pk"), **group),
        times=Window(Count("pk", filter=granted), **group),
        last_at=Window(Max("at"), **group),
    )
    columns = ("pk", "axis", "rule", "total", "lines", "times", "last_at")
    return rows.filter(place__lte=SHOWN).order_by("axis", "rule", "place").values_list(*columns, named=True)


def older_lines(lead: Lead, *, axis: str, rule: str, after: int, moment: datetime | None = None) -> tuple[list[Line], int | None]:
    """More lines of one rule, those behind the first `after`; and where the next ones begin, None at the end."""
    rows = with_facts(lines_until(lead, moment)).filter(axis=axis, rule=rule).order_by("-at", "-pk")[after : after + MORE + 1]
    lines = [Line(entry) for entry in rows]
    return lines[:MORE], after + MORE if len(lines) > MORE else None


def lines_of(event: Event, lead: Lead, version: ScoringVersion | None) -> list[tuple[str, Line]]:
    """What one event, perhaps a colleague's, was worth for a lead: (name of the rule, line), also what time took back of it later."""
    names = rule_names(version)
    entries = with_facts(event.entries.filter(lead=lead)).order_by("at", "pk")
    return [(names.get(entry.rule, entry.rule), Line(entry)) for entry in entries[:MORE]]
