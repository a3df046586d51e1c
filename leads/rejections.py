"""Which rules bring leads that sales sends back: every handoff of the last weeks, what came of it, and what had earned it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import sqrt
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum

from leads.handoff import names_of
from leads.models import ScoreEntry, ScoringVersion, Task, Transition
from leads.outlook import gate_names
from leads.stays import SALES, Stay, moves_of, stays_of

DAYS = 90
# Older handoffs of a busy team are left out, and the page says so.
MOST = 5000
# Fewer answers than this say little, and the page says so.
ENOUGH = 10
Z = 1.96  # of the 95 % interval


@dataclass(slots=True)
class Tally:
    """What came of the handoffs that something took part in."""

    name: str
    handed_over: int = 0
    accepted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, stay: Stay, *, accepted: bool) -> None:
        """Count one handoff."""
        self.handed_over += 1
        if stay.is_rejected:
            self.rejected += 1
            self.reasons[str(stay.end.reason) if stay.end and stay.end.reason else "No reason given"] += 1
        elif accepted or stay.is_won:
            self.accepted += 1

    @property
    def answered(self) -> int:
        """How many got an answer."""
        return self.accepted + self.rejected

    @property
    def share(self) -> int | None:
        """Which part of the answers was no, in percent; None without any."""
        return round(100 * self.rejected / self.answered) if self.answered else None

    @property
    def is_enough(self) -> bool:
        """Whether there are enough answers to read something into the share."""
        return self.answered >= ENOUGH

    @property
    def between(self) -> tuple[int, int]:
        """Where the share lies with 95 % certainty, in percent (Wilson's interval)."""
        n, share = self.answered, self.rejected / self.answered if self.answered else 0.0
        if not n:
            return 0, 100
        middle, spread = share + Z**2 / (2 * n), Z * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
        return round(100 * (middle - spread) / (1 + Z**2 / n)), round(100 * (middle + spread) / (1 + Z**2 / n))

    @property
    def why(self) -> list[tuple[str, int]]:
        """The reasons, the most frequent first."""
        return sorted(self.reasons.items(), key=lambda pair: (-pair[1], pair[0]))


@dataclass(frozen=True, slots=True)
class Report:
    """What sales said to the leads it got: all of them, by the gate that opened, by each rule that had given points."""

    total: Tally
    gates: list[Tally]
    rules: list[Tally]
    is_cut: bool

    @property
    def finding(self) -> str:
        """The report in one sentence."""
        total = self.total
        if not total.handed_over:
            return f"Nobody was handed to sales in {DAYS} days"
        if not total.answered:
            return "Sales has not answered yet"
        leads = "lead" if total.answered == 1 else "leads"
        return f"Sales sent back {total.rejected} of {total.answered} {leads} it answered"

    @property
    def worst(self) -> Tally | None:
        """The rule whose leads are certainly sent back more often than all are; None when no rule stands out."""
        share = self.total.share or 0
        found = [rule for rule in self.rules if rule.is_enough and rule.between[0] > share]
        return max(found, key=lambda rule: rule.share or 0, default=None)


def report_rejections(*, now: datetime) -> Report:
    """Read the handoffs of the last 90 days and count; a fixed number of queries however many there are."""
    entries = list(handoffs(now)[: MOST + 1])
    shown = entries[:MOST]
    accepted = {entry.pk: entry.said_yes or entry.said_yes_to_all for entry in shown}
    wanted = {entry.pk for entry in shown}
    of_leads = stays_of(moves_of({entry.lead_id for entry in shown})) if shown else {}
    stays = [stay for found in of_leads.values() for stay in found if stay.entry.pk in wanted]
    version = ScoringVersion.live()
    gates, rules = gate_names(version), names_of(version.document) if version else {}
    earned = rules_of(wanted)
    total, by_gate, by_rule = Tally("All"), dict[str, Tally](), dict[str, Tally]()
    for stay in stays:
        said_yes, gate = accepted[stay.entry.pk], stay.entry.gate
        total.add(stay, accepted=said_yes)
        by_gate.setdefault(gate, Tally(gates.get(gate, gate) or "Moved by hand")).add(stay, accepted=said_yes)
        for rule in earned.get(stay.entry.pk, ()):
            by_rule.setdefault(rule, Tally(rules.get(rule, rule))).add(stay, accepted=said_yes)
    return Report(total, in_order(by_gate.values()), in_order(by_rule.values()), is_cut=len(entries) > MOST)


def handoffs(now: datetime) -> QuerySet[Any]:
    """The entries into sales that stand, newest first, each with whether sales accepted it, also as one that joined a task."""
    entries = Transition.objects.filter(to_stage__key=SALES, at__gte=now - timedelta(days=DAYS), undoes=None, undone_by=None)
    entries = entries.exclude(from_stage__key=SALES).filter(lead__merged_into=None)
    accepted = Task.objects.exclude(accepted_at=None)
    still_open = Q(done_at=None) | Q(done_at__gte=OuterRef("recorded_at"))
    entries = entries.annotate(
        said_yes=Exists(accepted.filter(transition=OuterRef("pk"))),
        said_yes_to_all=Exists(accepted.filter(still_open, colleagues=OuterRef("lead"))),
    )
    return entries.order_by("-at", "-pk")


def rules_of(entry_pks: Iterable[int]) -> dict[int, list[str]]:
    """The rules that had given each lead points by the time it was handed over, and still did then."""
    lines = ScoreEntry.objects.filter(lead__transitions__in=entry_pks, at__lte=F("lead__transitions__at"))
    sums = lines.order_by().values("lead__transitions__pk", "rule").annotate(total=Sum("points")).filter(total__gt=0)
    found: dict[int, list[str]] = defaultdict(list)
    for entry, rule in sums.values_list("lead__transitions__pk", "rule"):
        found[entry].append(rule)
    return found


def in_order(tallies: Iterable[Tally]) -> list[Tally]:
    """Those sales sent back most often first; what has too few answers comes last."""
    return sorted(tallies, key=lambda tally: (not tally.is_enough, -(tally.share or 0), -tally.handed_over, tally.name))
