"""Moves by hand of one or several leads: what came of each, what had been missing, who was quicker."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.utils import timezone

from leads import engine
from leads.condition_nodes import AnyOf
from leads.gates import StageChanged, move_by_hand, undo_move
from leads.models import FoldState, Lead, Reason, Stage, Transition, User
from leads.scoring import live_model, to_micros
from leads.templatetags.words import distance, event_words

EVENT_TYPE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


@dataclass
class Outcome:
    """What came of some moves: sentences for people, and the moves that can be taken back."""

    said: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    moves: list[Transition] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it in a few sentences."""
        missing = [f"Not met yet: {'; '.join(self.missing)}."] if self.missing else []
        return " ".join([*self.said, *self.refused, *missing])

    @property
    def undo(self) -> str:
        """The moves that can be taken back, as the form names them."""
        return ",".join(str(move.pk) for move in self.moves)


def move_all(leads: Iterable[Lead], stage: Stage, *, by_user: User, reason: Reason | None = None, note: str = "") -> Outcome:
    """Move each lead that nobody else moved since it was seen; one that somebody did is left where it is, and it is said who."""
    leads, outcome = list(leads), Outcome()
    missing = what_was_missing(leads[0], stage) if len(leads) == 1 else []
    moved = []
    for lead in leads:
        try:
            outcome.moves.append(move_by_hand(lead, stage, by_user=by_user, reason=reason, note=note))
            moved.append(lead)
        except StageChanged:
            outcome.refused.append(describe_race(lead, by_user))
    if moved:
        outcome.missing = missing
        outcome.said.append(describe_moved(moved, stage))
    return outcome


def undo_all(moves: Iterable[Transition], *, by_user: User) -> Outcome:
    """Take each move back that still can be."""
    outcome = Outcome()
    for move in moves:
        try:
            back = undo_move(move, by_user=by_user)
            outcome.said.append(f"{back.lead} is back in {back.to_stage}.")
        except StageChanged as error:
            outcome.refused.append(f"Not undone: {error}")
    if len(outcome.said) > 1:
        outcome.said = [f"{len(outcome.said)} leads are back where they were."]
    return outcome


def describe_moved(leads: list[Lead], stage: Stage) -> str:
    """Where the leads stand now; a gate may have led one further at once."""
    if len(leads) > 1:
        return f"{len(leads)} leads are now in {stage}."
    now_in = Lead.objects.select_related("stage").get(pk=leads[0].pk).stage
    return f"{leads[0]} is now in {now_in}."


def describe_race(lead: Lead, user: User) -> str:
    """Who was quicker: "Not moved: Rita Rep moved Ada to Closed won 2 min ago"."""
    last = Transition.objects.filter(lead=lead).select_related("to_stage", "actor").order_by("-seq").first()
    if last is None or (last.to_stage_id == lead.stage_id and last.seq == lead.stage_seq):
        return f"{lead} is in {lead.stage} already."
    seconds = (timezone.now() - last.recorded_at).total_seconds()
    when = "just now" if seconds < 60 else f"{distance(seconds)} ago"
    if last.recycles_id:
        return f"Not moved: {lead} came back to {last.to_stage} by itself {when}."
    who = "A gate" if last.actor is None else "You" if last.actor == user else str(last.actor)
    return f"Not moved: {who} moved {lead} to {last.to_stage} {when}."


def what_was_missing(lead: Lead, stage: Stage) -> list[str]:
    """The conditions that kept the gates to `stage` closed, in words; nothing when one was open or none leads there."""
    model = live_model()
    if model is None:
        return []
    stages = [engine.StageInfo(row.key, row.position, row.kind) for row in Stage.objects.order_by("position", "pk")]
    row = FoldState.objects.filter(lead=lead).first()
    state = engine.State.from_json(row.state) if row else engine.start(stages)
    found: list[str] = []
    now = to_micros(timezone.now())
    for gate, checks in engine.what_is_missing(state, model, stages=stages, now=now, evidence_points=settings.EVIDENCE_POINTS):
        if gate.to != stage.key:
            continue
        met = [check.ok for check in checks]
        if all(met) or (isinstance(gate.conditions, AnyOf) and any(met)):
            return []
        found += [f"{in_words(check.text)} ({check.current})" for check in checks if not check.ok]
    return list(dict.fromkeys(found))


def in_words(text: str) -> str:
    """A condition with its event types as words: "viewed pricing at least 3 times within 7d"."""
    return EVENT_TYPE.sub(lambda found: f"“{event_words(found[0])}”", text)
