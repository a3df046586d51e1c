"""The times a lead was with sales: when it was handed over, and how each time ended."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils import timezone

from leads.models import Reason, Stage, Transition
from leads.sentences import ORDINALS

# The stage in which a lead is with sales.
SALES = "sql"


@dataclass(slots=True)
class Stay:
    """One time with sales: the move into the stage, and the move out of it; None as long as it lasts."""

    entry: Transition
    end: Transition | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether a colleague sent the lead back: by hand, to where it can still be won, or with a reason for that."""
        end = self.end
        if end is None or end.gate or end.recycles_id:
            return False
        return end.to_stage.is_open or (end.reason is not None and end.reason.asked_for == Reason.For.REJECT)

    @property
    def is_won(self) -> bool:
        """Whether it ended well."""
        return self.end is not None and self.end.to_stage.kind == Stage.Kind.WON

    def describe(self, zone: ZoneInfo | None = None) -> str:
        """How it ended, for people: "rejected by Rita Rep on 3 Aug, No budget"."""
        if self.end is None:
            return f"handed over on {day_of(self.entry.at, zone)}"
        by = f" by {self.end.actor}" if self.end.actor else ""
        why = f", {self.end.reason}" if self.end.reason else ""
        verbs = {Stage.Kind.WON: "won", Stage.Kind.LOST: "marked lost"}
        verb = "rejected" if self.is_rejected else verbs.get(Stage.Kind(self.end.to_stage.kind), f"moved to {self.end.to_stage}")
        return f"{verb}{by} on {day_of(self.end.at, zone)}{why}"


@dataclass(frozen=True, slots=True)
class LastTime:
    """What a handoff that is not the first one remembers: which time this is, and the time before."""

    times: int
    stay: Stay

    @property
    def short(self) -> str:
        """For a card: "2nd time"."""
        endings = {1: "st", 2: "nd", 3: "rd"}
        ending = "th" if 10 <= self.times % 100 <= 20 else endings.get(self.times % 10, "th")
        return f"{self.times}{ending} time"

    @property
    def words(self) -> str:
        """For a page, in the zone of whoever looks."""
        return self.describe()

    def describe(self, zone: ZoneInfo | None = None) -> str:
        """For example "Second time: last rejected by Rita Rep on 3 Aug, No budget"."""
        which = f"{ORDINALS[self.times - 1]} time".capitalize() if self.times <= len(ORDINALS) else self.short
        return f"{which}: last {self.stay.describe(zone)}"


def day_of(at: datetime, zone: ZoneInfo | None = None) -> str:
    """A day, with its year when that is another one: "3 Aug", "3 Aug 2025"."""
    local, today = timezone.localtime(at, zone), timezone.localdate(timezone=zone)
    return f"{local.day} {local:%b}" + ("" if local.year == today.year else f" {local.year}")


def moves_of(lead_pks: Iterable[int]) -> QuerySet[Transition]:
    """Every move of these leads, in order, with what tells how a stay ended."""
    rows = Transition.objects.filter(lead__in=lead_pks).select_related("from_stage", "to_stage", "actor", "reason__recycle_to")
    return rows.order_by("lead_id", "seq")


def stays_of(moves: Iterable[Transition]) -> dict[int, list[Stay]]:
    """The stays of each lead, the first one first. Moves that were taken back by hand, and the taking back, never happened."""
    found: dict[int, list[Stay]] = {}
    for lead_id, rows in groupby(moves, key=lambda move: move.lead_id):
        chain = list(rows)
        undone = {move.undoes_id for move in chain}
        stays = found.setdefault(lead_id, [])
        for move in chain:
            if move.undoes_id or move.pk in undone:
                continue
            if move.to_stage_id == SALES and move.from_stage_id != SALES:
                stays.append(Stay(move))
            elif stays and stays[-1].end is None:
                stays[-1].end = move
    return found


def last_times(entries: Iterable[Transition]) -> dict[int, LastTime]:
    """For each of these entries that is not its lead's first one: the time before, by the entry's id. One query."""
    entered = list(entries)
    if not entered:
        return {}
    stays = stays_of(moves_of({entry.lead_id for entry in entered}))
    remembered = {}
    for entry in entered:
        before = [stay for stay in stays.get(entry.lead_id, []) if stay.entry.seq < entry.seq]
        if before:
            remembered[entry.pk] = LastTime(len(before) + 1, before[-1])
    return remembered
