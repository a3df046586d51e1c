"""The simulator's page: gate by gate, who would pass now, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from leads.model_words import gate_sentence, stage_name
from leads.models import Lead, WhatIf
from leads.scoring_draft import stage_names
from leads.sentences import condition_words
from leads.shape import same
from leads.simulator import Passing, Simulation, live_now


@dataclass(frozen=True, slots=True)
class PassingRow:
    """One lead that would pass."""

    lead: Lead
    passing: Passing
    from_stage: str
    to_stage: str

    @property
    def why(self) -> str:
        """The conditions that hold."""
        return "; ".join(map(condition_words, self.passing.why))


@dataclass(frozen=True, slots=True)
class GatePart:
    """One gate of the draft, and who would pass it."""

    key: str
    title: str
    sentence: str
    count: int
    rows: list[PassingRow]

    @property
    def hidden(self) -> int:
        """How many are only counted."""
        return self.count - len(self.rows)


class Passings:
    """Who would pass the gates of a document, for the page."""

    def __init__(self, document: Mapping[str, Any], simulation: Simulation) -> None:
        self.document = document
        self.simulation = simulation

    @classmethod
    def of(cls, what_if: WhatIf) -> Self:
        """What a simulation in the background has found so far."""
        return cls(what_if.document, msgspec.convert(what_if.result, Simulation))

    @property
    def is_whole(self) -> bool:
        """Whether everybody was looked at."""
        return self.simulation.is_whole

    @property
    def is_outdated(self) -> bool:
        """Whether another version was published since."""
        return self.simulation.live != live_now()

    @property
    def headline(self) -> str:
        """All of it in a sentence."""
        count, least = self.simulation.count, "" if self.is_whole else "At least "
        if not count:
            return "Nobody would move now." if self.is_whole else "Nobody so far would move now."
        return f"{least}1 lead would move now." if count == 1 else f"{least}{count:,} leads would move now."

    @property
    def gates(self) -> list[GatePart]:
        """The gates in their order, each with the hottest who would pass it."""
        return gate_parts(self.document, self.simulation, stage_names())


def newest_of(document: Mapping[str, Any]) -> WhatIf | None:
    """The newest simulation in the background, if it is about this document and what is live, and was not given up."""
    newest = WhatIf.objects.filter(kind=WhatIf.Kind.SIMULATION).first()
    if newest is None or newest.state not in (WhatIf.State.RUNNING, WhatIf.State.DONE) or not same(newest.document, document):
        return None
    return None if Passings.of(newest).is_outdated else newest


def gate_parts(document: Mapping[str, Any], simulation: Simulation, stages: Mapping[str, str]) -> list[GatePart]:
    """The gates in their order."""
    shown = {passing.lead for moves in simulation.moves.values() for passing in moves}
    leads = Lead.objects.select_related("company").in_bulk(shown)
    return [
        GatePart(
            gate["key"],
            gate.get("name") or gate["key"],
            gate_sentence(gate, stages),
            simulation.by_gate.get(gate["key"], 0),
            [
                PassingRow(leads[each.lead], each, stage_name(each.from_stage, stages), stage_name(each.to_stage, stages))
                for each in simulation.moves.get(gate["key"], [])
                if each.lead in leads
            ],
        )
        for gate in document.get("gates", [])
    ]
