"""The simulator's page: gate by gate, who would pass now, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leads.model_words import gate_sentence, stage_name
from leads.models import Lead
from leads.sentences import condition_words
from leads.simulator import Passing, Simulation


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


def passing_headline(simulation: Simulation) -> str:
    """All of it in a sentence."""
    if not simulation.count:
        return "Nobody would move now."
    return "1 lead would move now." if simulation.count == 1 else f"{simulation.count:,} leads would move now."


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
