"""What is missing: the ways out of a lead's stage, each with its conditions checked for this moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from msgspec.structs import replace

from leads import engine, scoring
from leads.checklist import Group, make_checklist
from leads.condition_nodes import All, AnyOf, IdleFor, InStageFor, Node, View
from leads.conditions import Place, parse
from leads.fold_state import State
from leads.fold_view import FoldView
from leads.model_words import phrase, span_of
from leads.models import FoldState, Lead, ScoringVersion, Stage, Transition


@dataclass(frozen=True, slots=True)
class Way:
    """One gate ahead: where it leads and what it takes."""

    name: str
    to: Stage
    checklist: Group


@dataclass(frozen=True, slots=True)
class Retreat:
    """One gate that leads back, or out of the pipeline: when it opens. `at`: by the passing of time alone, then."""

    name: str
    to: Stage
    when: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Old evidence does not count since somebody moved the lead back, until enough new points are earned."""

    move: Transition | None
    earned: int
    needed: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes next for a lead. `excluded_because`: the condition that keeps everything from counting."""

    ways: list[Way] = field(default_factory=list)
    retreats: list[Retreat] = field(default_factory=list)
    held: Held | None = None
    excluded_because: str = ""


def look_ahead(lead: Lead, version: ScoringVersion | None, stages: Sequence[Stage], *, now: datetime) -> Outlook:
    """The gates out of the lead's stage. Reads the folded state, and the move back where evidence restarted."""
    state = state_of(lead, stages)
    if version is None:
        return Outlook()
    if lead.excluded:
        return Outlook(excluded_because=why_excluded(version, state, stages))
    if not lead.is_known:
        return Outlook()
    ways, retreats = gates_ahead(state, version, stages, now=now)
    return Outlook(ways, retreats, held_since(lead, state))


def state_of(lead: Lead, stages: Sequence[Stage]) -> State:
    """What the engine carries of a lead, standing where the lead stands."""
    row: FoldState | None = getattr(lead, "fold_state", None)  # no row raises what is an AttributeError too
    state = State.from_json(row.state) if row else engine.start(stage_infos(stages))
    return replace(state, stage=lead.stage.key)


def stage_infos(stages: Sequence[Stage]) -> list[engine.StageInfo]:
    """The stages as the engine sees them."""
    return [engine.StageInfo(stage.key, stage.position, stage.kind) for stage in stages]


def view_of(state: State, *, now: datetime) -> FoldView:
    """What conditions see of a state at a moment."""
    view = FoldView(state, settings.EVIDENCE_POINTS)
    view.at = scoring.to_micros(now)
    return view


def gates_ahead(state: State, version: ScoringVersion, stages: Sequence[Stage], *, now: datetime) -> tuple[list[Way], list[Retreat]]:
    """The gates out of the state's stage: those that lead forwards, and those that lead back or out of a closed stage."""
    view, names, by_key = view_of(state, now=now), gate_names(version), {stage.key: stage for stage in stages}
    here, ways, retreats = by_key[state.stage], [], []
    for gate in scoring.compiled(version.pk).gates.get(state.stage, ()):
        to, name = by_key.get(gate.to), names.get(gate.key, gate.key)
        if to is None or to == here:
            continue
        if here.is_open and to.position > here.position and to.kind != Stage.Kind.LOST:
            ways.append(Way(name, to, make_checklist(gate.conditions, view, now=now)))
        else:
            retreats.append(retreat(name, to, gate.conditions, view, stages, now=now))
    return ways, retreats


def retreat(name: str, to: Stage, conditions: Node, view: View, stages: Sequence[Stage], *, now: datetime) -> Retreat:
    """When a lead goes back, in words; where only time has to pass also the moment."""
    node = only_condition(conditions)
    if isinstance(node, IdleFor):
        at = now + timedelta(seconds=node.seconds - view.seconds_idle())
        return Retreat(name, to, f"when nothing happens for {span_of(node.seconds)}, that is until", at)
    if isinstance(node, InStageFor):
        at = now + timedelta(seconds=node.seconds - view.seconds_in_stage())
        return Retreat(name, to, f"after {span_of(node.seconds)} in this stage, that is", at)
    return Retreat(name, to, f"when {phrase(conditions, stage_names(stages), Place.GATE)}")


def only_condition(node: Node) -> Node:
    """The single condition of a group of one."""
    if isinstance(node, All | AnyOf) and len(node.nodes) == 1:
        return only_condition(node.nodes[0])
    return node


def held_since(lead: Lead, state: State) -> Held | None:
    """Since which move evidence restarts; None when all of it counts."""
    restart = state.restart
    if restart is None or restart.earned >= settings.EVIDENCE_POINTS:
        return None
    moves = lead.transitions.filter(at=scoring.from_micros(restart.at)).select_related("actor", "from_stage", "to_stage")
    return Held(moves.last(), restart.earned, settings.EVIDENCE_POINTS)


def why_excluded(version: ScoringVersion, state: State, stages: Sequence[Stage]) -> str:
    """The condition for which nothing counts, in words; "" when none holds any more."""
    raw = version.document.get("scoring", {}).get("exclude")
    node, view = parse(raw or [], place=Place.EXCLUDE), FoldView(state, settings.EVIDENCE_POINTS)
    if not raw or not node.holds(view):
        return ""
    return phrase(what_holds(node, view), stage_names(stages), Place.EXCLUDE)


def what_holds(node: Node, view: View) -> Node:
    """The part of the conditions that settles it: of alternatives the first that holds."""
    node = only_condition(node)
    if isinstance(node, AnyOf):
        return what_holds(next(each for each in node.nodes if each.holds(view)), view)
    return node


def stage_names(stages: Sequence[Stage]) -> Mapping[str, str]:
    """Names of stages by key."""
    return {stage.key: stage.name for stage in stages}


def gate_names(version: ScoringVersion | None) -> dict[str, str]:
    """The names of the gates of a published model, by key."""
    gates = version.document.get("gates", []) if version else []
    return {gate["key"]: gate.get("name") or gate["key"] for gate in gates}
