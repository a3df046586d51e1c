"""What is missing: the ways out of a lead's stage, each with its conditions checked for this moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.conf import settings

from leads import engine, scoring
from leads.condition_nodes import AnyOf, Check
from leads.fold_state import State
from leads.models import FoldState, Lead, ScoringVersion, Stage, Transition
from leads.sentences import condition_words


@dataclass(frozen=True, slots=True)
class Way:
    """One gate ahead: where it leads and what it takes."""

    name: str
    to: Stage
    any_is_enough: bool
    checks: list[Check]

    @property
    def met(self) -> int:
        """How many conditions hold."""
        return sum(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class Held:
    """Old evidence does not count since somebody moved the lead back, until enough new points are earned."""

    move: Transition | None
    earned: int
    needed: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes next for a lead."""

    ways: list[Way]
    held: Held | None = None


def look_ahead(lead: Lead, version: ScoringVersion | None, stages: Sequence[Stage], *, now: datetime) -> Outlook:
    """The gates from the lead's stage forwards. Reads the folded state, and the move back where evidence restarted."""
    row = FoldState.objects.filter(lead=lead).first()
    if version is None or not lead.is_known or lead.excluded or not lead.stage.is_open:
        return Outlook([])
    infos = [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in stages]
    state = replace(State.from_json(row.state) if row else engine.start(infos), stage=lead.stage.key)
    found = engine.what_is_missing(
        state, scoring.compiled(version.pk), stages=infos, now=scoring.to_micros(now), evidence_points=settings.EVIDENCE_POINTS
    )
    names = gate_names(version)
    by_key = {stage.key: stage for stage in stages}
    ways = [
        Way(names.get(gate.key, gate.key), by_key[gate.to], isinstance(gate.conditions, AnyOf), [in_words(check) for check in checks])
        for gate, checks in found
        if gate.to in by_key and by_key[gate.to].position > lead.stage.position and by_key[gate.to].kind != Stage.Kind.LOST
    ]
    return Outlook(ways, held_since(lead, state))


def in_words(check: Check) -> Check:
    """A check without the notation of machines: "1/3 in 7 days" reads "1 of 3 in 7 days", "0/1" reads "not yet"."""
    current = check.current.replace("/", " of ", 1) if check.current[:1].isdigit() else check.current
    if check.current in {"0/1", "1/1"}:
        current = "" if check.ok else "not yet"
    return Check(condition_words(check.text), check.ok, current)


def held_since(lead: Lead, state: State) -> Held | None:
    """Since which move evidence restarts; None when all of it counts."""
    restart = state.restart
    if restart is None or restart.earned >= settings.EVIDENCE_POINTS:
        return None
    moves = lead.transitions.filter(at=scoring.from_micros(restart.at)).select_related("actor", "from_stage", "to_stage")
    return Held(moves.last(), restart.earned, settings.EVIDENCE_POINTS)


def gate_names(version: ScoringVersion | None) -> dict[str, str]:
    """The names of the gates of a published model, by key."""
    gates = version.document.get("gates", []) if version else []
    return {gate["key"]: gate.get("name") or gate["key"] for gate in gates}
