"""Why a lead has its score: the ledger grouped by rule, in words."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Max, Sum

from leads.models import Lead, ScoreEntry, ScoringVersion

# Lines shown one by one; the sums count all of them.
NEWEST = 300


@dataclass
class RuleTotal:
    """What one rule has brought a lead so far. `lines` are the newest of its `count` lines."""

    rule: str
    axis: str
    name: str
    points: int
    count: int
    last_at: datetime
    lines: list[ScoreEntry] = field(default_factory=list)

    @property
    def times(self) -> int:
        """How often it granted or withheld points; expiries are not counted."""
        return self.count - sum(line.kind == ScoreEntry.Kind.EXPIRY for line in self.lines)

    @property
    def older(self) -> int:
        """How many lines are only counted, not shown."""
        return self.count - len(self.lines)


@dataclass(frozen=True)
class Ledger:
    """The rules that made the score, the strongest first; `total` equals the lead's score."""

    rules: list[RuleTotal]
    total: int


def rule_names(version: ScoringVersion | None) -> dict[str, str]:
    """Names of scoring and fit rules by key, as the live model has them."""
    scoring = version.document.get("scoring", {}) if version else {}
    return {rule["key"]: rule.get("name") or rule["key"] for rule in [*scoring.get("rules", []), *scoring.get("fit", [])]}


def explain_score(lead: Lead) -> Ledger:
    """Group a lead's whole ledger by rule, in a fixed number of queries however long it is."""
    names = rule_names(ScoringVersion.live())
    newest: dict[tuple[str, str], list[ScoreEntry]] = defaultdict(list)
    for entry in lead.entries.select_related("event").order_by("-at", "-pk")[:NEWEST]:
        newest[entry.axis, entry.rule].append(entry)
    sums = lead.entries.values("axis", "rule").annotate(total=Sum("points"), lines=Count("pk"), last_at=Max("at")).order_by()
    rules = [
        RuleTotal(
            rule=row["rule"],
            axis=row["axis"],
            name=names.get(row["rule"], row["rule"]),
            points=row["total"],
            count=row["lines"],
            last_at=row["last_at"],
            lines=newest[row["axis"], row["rule"]],
        )
        for row in sums
    ]
    rules.sort(key=lambda rule: (-abs(rule.points), rule.name))
    return Ledger(rules, sum(rule.points for rule in rules))
