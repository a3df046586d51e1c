"""Promotion: the one door through which a stage changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.utils import timezone

from leads.bulk import update_rows
from leads.models import Lead, Reason, Stage, Transition, User
from leads.signals import leads_transitioned

# How long a move by hand can be taken back.
UNDO_FOR = timedelta(minutes=10)


class StageChanged(Exception):
    """Somebody else moved the lead first; the sentence says where it stands now."""


@dataclass(frozen=True, slots=True)
class Move:
    """One stage change to make: by a gate (`gate`, `version_id`, perhaps `event_id`), by a person (`actor`), or by time (`recycles`)."""

    lead: Lead
    from_stage: str
    to_stage: str
    at: datetime
    engagement: int
    fit: int
    gate: str = ""
    event_id: int | None = None
    version_id: int | None = None
    actor: User | None = None
    reason: Reason | None = None
    note: str = ""
    historical: bool = False
    undoes: Transition | None = None
    recycles: Transition | None = None


def move_leads(moves: Iterable[Move], *, now: datetime) -> list[Transition]:
    """Make the moves, tell the rest, and return the transitions that were recorded.

    1. The moves of one lead are a chain: each begins where the one before ended.
    2. One UPDATE writes each lead's last stage, if it still stands where its chain begins.
    3. For each lead that won, one Transition per move; the losers' moves are dropped: somebody was quicker.
    4. `leads_transitioned` carries them all; it is sent in the same transaction.
    """
    chains = {lead_id: list(chain) for lead_id, chain in groupby(moves, key=lambda move: move.lead.pk)}
    with transaction.atomic():
        won = update_rows(
            Lead,
            [
                (pk, chain[-1].to_stage, chain[0].lead.stage_seq + len(chain), chain[-1].at, chain[0].from_stage, chain[0].lead.stage_seq)
                for pk, chain in sorted(chains.items())
            ],
            columns=["stage", "stage_seq", "stage_since"],
            unless_changed=["stage", "stage_seq"],
        )
        transitions = [
            transition_for(move, seq=move.lead.stage_seq + n, now=now) for pk in sorted(won) for n, move in enumerate(chains[pk], start=1)
        ]
        Transition.objects.bulk_create(transitions)
        for pk in won:
            lead, chain = chains[pk][0].lead, chains[pk]
            lead.stage_seq += len(chain)
            lead.stage_id, lead.stage_since = chain[-1].to_stage, chain[-1].at
        if transitions:
            leads_transitioned.send(sender=None, transitions=transitions, now=now)
    return transitions


def move_by_hand(lead: Lead, stage: Stage, *, by_user: User, reason: Reason | None = None, note: str = "") -> Transition:
    """Move one lead because a colleague says so; never refused for unmet gates.

    The mover, if a rep and nobody owns the lead, becomes its owner. Raises StageChanged when the lead
    already stands there, or somebody moved it since `lead` was read.
    """
    now = timezone.now()
    with transaction.atomic():
        locked = Lead.objects.select_for_update(no_key=True).get(pk=lead.pk)
        if locked.stage_seq != lead.stage_seq or locked.stage == stage:
            raise StageChanged(f"{locked} is in {locked.stage.name} now.")
        if locked.owner_id is None and by_user.groups.filter(name="Sales").exists():
            locked.owner = by_user
            locked.save(update_fields=["owner"])
        move = Move(locked, locked.stage.key, stage.key, now, locked.engagement, locked.fit, actor=by_user, reason=reason, note=note)
        return move_leads([move], now=now)[0]


def undo_move(transition: Transition, *, by_user: User) -> Transition:
    """Take a move by hand back: the lead stands where it stood, and neither move counts as one for its evidence.

    Raises StageChanged when it is not the lead's last move any more, was made by a gate or by somebody else, or too long ago.
    """
    now = timezone.now()
    with transaction.atomic():
        locked = Lead.objects.select_for_update(no_key=True).get(pk=transition.lead_id)
        if locked.stage_seq != transition.seq:
            raise StageChanged(f"{locked} was moved again meanwhile and is in {locked.stage.name} now.")
        if transition.gate or transition.actor_id != by_user.pk or transition.undoes_id or now - transition.at > UNDO_FOR:
            raise StageChanged("Only your own last move can be taken back, for ten minutes.")
        back = transition.from_stage.key
        move = Move(locked, locked.stage.key, back, now, locked.engagement, locked.fit, actor=by_user, note="Undone", undoes=transition)
        return move_leads([move], now=now)[0]


def transition_for(move: Move, *, seq: int, now: datetime) -> Transition:
    """The trace of one move (not saved)."""
    return Transition(
        lead=move.lead,
        seq=seq,
        from_stage_id=move.from_stage,
        to_stage_id=move.to_stage,
        gate=move.gate,
        version_id=move.version_id,
        event_id=move.event_id,
        actor=move.actor,
        reason=move.reason,
        note=move.note,
        engagement=move.engagement,
        fit=move.fit,
        historical=move.historical,
        undoes=move.undoes,
        recycles=move.recycles,
        recycle_at=move.reason.comes_back_at(move.at) if move.reason else None,
        at=move.at,
        recorded_at=now,
    )
