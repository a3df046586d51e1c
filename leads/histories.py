"""What what-if and simulator fold: the facts and recorded moves of many leads, read quickly, without locks and model instances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from uuid import UUID

from django.db.models import Count

from leads.engine import Fact, PastMove
from leads.fold_jobs import MOVE_COLUMNS
from leads.models import Event, Lead, Transition
from leads.of_company import OfCompany
from leads.stored_facts import FACT_ORDER, read_company_facts, read_facts
from leads.versions_in_force import to_micros

# Leads, and facts, that are read at a time. A lead with more facts than this is read alone.
LEADS = 200
FACTS = 20_000


class Standing(NamedTuple):
    """Where a lead stands now, as its row says."""

    pk: int
    uid: UUID
    is_known: bool
    score: int
    stage: str
    seq: int
    company: int | None


class Recorded(NamedTuple):
    """A recorded move. `gate` is empty for one by hand."""

    move: PastMove
    gate: str


@dataclass(frozen=True, slots=True)
class History:
    """One lead: where it stands, and everything that led there."""

    lead: Standing
    facts: list[Fact]
    moves: list[Recorded]

    @property
    def past(self) -> list[PastMove]:
        """The moves as the engine takes them."""
        return [recorded.move for recorded in self.moves]


def next_leads(after: int, *, leads: int = LEADS, facts: int = FACTS) -> list[int]:
    """Ids of the leads that come after the id `after`, as many as are read at a time; none at the end."""
    rows = Lead.objects.current().filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)
    pks = list(rows[:leads])
    counts = dict(Event.objects.filter(lead__in=pks).order_by().values_list("lead_id").annotate(Count("pk")))
    total = 0
    for place, pk in enumerate(pks):
        total += counts.get(pk, 0)
        if total > facts:
            return pks[: max(place, 1)]
    return pks


def read_histories(pks: Sequence[int], *, of_company: OfCompany) -> Iterator[History]:
    """The histories of these leads, by id: a few queries however many they are, and the facts of one lead in memory.

    What colleagues did and told is among the facts where it is `of_company`.
    """
    standing = [Standing(*row) for row in Lead.objects.filter(pk__in=pks).order_by("pk").values_list(*STANDING_COLUMNS)]
    moves, shared = read_moves(pks), read_company_facts({lead.company for lead in standing if lead.company}, of_company)
    groups = groupby(read_facts(Event.objects.filter(lead__in=pks).order_by("lead_id"), "lead_id"), key=itemgetter(1))
    lead_id, facts = next(groups, (None, iter(())))
    for lead in standing:
        mine: list[Fact] = []
        if lead_id == lead.pk:
            mine = [fact for fact, _ in facts]
            lead_id, facts = next(groups, (None, iter(())))
        mine += [fact for pk, fact in shared.get(lead.company or 0, ()) if pk != lead.pk]
        mine.sort(key=FACT_ORDER)
        yield History(lead, mine, moves.get(lead.pk, []))


STANDING_COLUMNS = ["pk", "uid", "is_known", "score", "stage_id", "stage_seq", "company_id"]


def read_moves(pks: Sequence[int]) -> dict[int, list[Recorded]]:
    """The recorded moves by lead, in their order."""
    found: dict[int, list[Recorded]] = {}
    rows = Transition.objects.filter(lead__in=pks).order_by("lead_id", "seq")
    for lead_id, at, seq, from_stage, to_stage, undoes, undone, gate in rows.values_list(*MOVE_COLUMNS, "gate"):
        neutral = undoes is not None or undone is not None
        move = PastMove(to_micros(at), seq, str(from_stage), str(to_stage), neutral)
        found.setdefault(lead_id, []).append(Recorded(move, gate))
    return found
