"""What what-if and simulator fold: the facts and recorded moves of many leads, read quickly, without locks and model instances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db.models import Count, Exists, OuterRef, TextField
from django.db.models.functions import Cast

from leads.engine import Fact, PastMove
from leads.models import Event, Lead, Transition
from leads.scoring import to_micros

# Leads, and facts, that are read at a time. A lead with more facts than this is read alone.
LEADS = 200
FACTS = 20_000
FACT_COLUMNS = ["lead_id", "at", "source_id", "message_id", "pk", "type", "model_version_id", "identifies", "verdict"]


class Standing(NamedTuple):
    """Where a lead stands now, as its row says."""

    pk: int
    uid: UUID
    is_known: bool
    score: int
    stage: str
    seq: int


class Recorded(NamedTuple):
    """A recorded move. `gate` is empty for one by hand; `undone`: taken back within minutes, or the taking back."""

    move: PastMove
    gate: str
    undone: bool


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


def read_histories(pks: Sequence[int]) -> Iterator[History]:
    """The histories of these leads, by id: three queries however many they are, and the facts of one lead in memory."""
    standing = [Standing(*row) for row in Lead.objects.filter(pk__in=pks).order_by("pk").values_list(*STANDING_COLUMNS)]
    moves = read_moves(pks)
    groups = groupby(read_facts(pks), key=lambda row: row[0])
    lead_id, facts = next(groups, (None, iter(())))
    for lead in standing:
        mine: list[Fact] = []
        if lead_id == lead.pk:
            mine = [fact for _, fact in facts]
            lead_id, facts = next(groups, (None, iter(())))
        yield History(lead, mine, moves.get(lead.pk, []))


STANDING_COLUMNS = ["pk", "uid", "is_known", "score", "stage_id", "stage_seq"]


def read_facts(pks: Sequence[int]) -> Iterator[tuple[int, Fact]]:
    """The facts by lead, in fact order. JSON is decoded here, for most of it is `{}` and Django's way costs more than folding."""
    documents = [Cast("properties", TextField()), Cast("traits", TextField())]
    rows = Event.objects.filter(lead__in=pks).order_by("lead_id", "at", "source_id", "message_id")
    decode = msgspec.json.decode
    for lead_id, at, source, key, pk, type_, version, identifies, verdict, properties, traits in rows.values_list(
        *FACT_COLUMNS, *documents
    ).iterator():
        yield (
            lead_id,
            Fact(
                at=to_micros(at),
                source=source,
                key=key,
                cause=f"event:{pk}",
                type=type_,
                properties={} if properties == "{}" else decode(properties),
                traits={} if traits == "{}" else decode(traits),
                version=version,
                identifies=identifies,
                counts=verdict != Event.Verdict.SUSPECT,
            ),
        )


def read_moves(pks: Sequence[int]) -> dict[int, list[Recorded]]:
    """The recorded moves by lead, in their order."""
    found: dict[int, list[Recorded]] = {}
    rows = Transition.objects.filter(lead__in=pks).order_by("lead_id", "seq")
    taken_back = Exists(Transition.objects.filter(undoes=OuterRef("pk")))
    columns: list[Any] = ["lead_id", "at", "seq", "from_stage_id", "to_stage_id", "gate", "undoes_id", taken_back]
    for lead_id, at, seq, from_stage, to_stage, gate, undoes, undone in rows.values_list(*columns):
        move = PastMove(to_micros(at), seq, from_stage, to_stage)
        found.setdefault(lead_id, []).append(Recorded(move, gate, undone or undoes is not None))
    return found
