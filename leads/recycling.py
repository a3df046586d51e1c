"""Second chances: a lead that was lost or rejected for a reason that passes comes back when its time has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from leads.gates import Move, move_leads
from leads.models import ContactPoint, Lead, Notification, Reason, Stage, Transition, User, hash_address
from leads.notifications import notification, tell
from leads.scoring import lock_leads
from leads.stays import day_of
from leads.templatetags.words import distance

TASK = "leads.tasks.recycle_leads"
# Where a lead comes back to when its reason names no stage.
TO = "mql"
CHUNK = 200


@dataclass(frozen=True, slots=True)
class Return:
    """What is planned for a lead: when it comes back, to which stage, and why it had gone. `stays`: it stands there already."""

    at: datetime
    to: Stage
    reason: Reason | None
    stays: bool

    @property
    def day(self) -> str:
        """The day, for people: "23 Feb"."""
        return day_of(self.at)


def due(now: datetime) -> QuerySet[Transition]:
    """Losses and rejections whose time has come, the longest due first; also those that something else has overtaken."""
    return Transition.objects.filter(recycle_at__lte=now).order_by("recycle_at", "pk")


def recycle_due(now: datetime | None = None, *, limit: int = CHUNK) -> int:
    """Bring at most `limit` leads back; returns how many were looked at.

    1. Lock the leads, and read under the lock what is still due: a move made or undone meanwhile has overtaken it.
    2. Who is excluded, merged or asked to be forgotten stays where they are.
    3. Move the others; who stands in the stage already is not moved. Their owners are told.
    4. What was looked at is not due any more. So twice is once, and two workers bring nobody back twice.
    """
    now = now or timezone.now()
    with transaction.atomic():
        found = dict(due(now).values_list("pk", "lead")[:limit])
        leads = lock_leads(found.values())
        losses = list(due(now).filter(pk__in=found).select_related("reason", "to_stage", "actor"))
        coming = may_return([loss for loss in losses if loss.seq == leads[loss.lead_id].stage_seq], leads)
        stages = list(Stage.objects.order_by("position", "pk"))
        targets = {loss.pk: target_of(loss, stages) for loss in coming}
        Transition.objects.filter(pk__in=found).update(recycle_at=None)
        moves = [
            Move(lead, str(lead.stage_id), targets[loss.pk].key, now, lead.engagement, lead.fit, recycles=loss)
            for loss in coming
            if (lead := leads[loss.lead_id]).stage_id != targets[loss.pk].key
        ]
        move_leads(moves, now=now)
        tell(news(coming, leads, targets, now=now))
    return len(found)


def recycle_all_due() -> None:
    """Bring everybody back whose time has come."""
    while recycle_due():
        pass


def may_return(losses: list[Transition], leads: dict[int, Lead]) -> list[Transition]:
    """Without the people who are excluded, merged into another, or asked to be forgotten."""
    wanted = [loss for loss in losses if not leads[loss.lead_id].excluded and leads[loss.lead_id].merged_into_id is None]
    hashes = {loss.pk: hash_address(leads[loss.lead_id].email) for loss in wanted if leads[loss.lead_id].email}
    erased = ContactPoint.objects.filter(address_hash__in=hashes.values(), suppressed=ContactPoint.Suppression.ERASED)
    forgotten = set(erased.values_list("address_hash", flat=True)) if hashes else set()
    return [loss for loss in wanted if hashes.get(loss.pk) not in forgotten]


def target_of(loss: Transition, stages: Sequence[Stage]) -> Stage:
    """Where it leads back to: as the reason says now, else to marketing, else to the beginning."""
    by_key = {stage.key: stage for stage in stages}
    usual = by_key.get(TO) or next(stage for stage in stages if stage.is_open)
    return by_key.get(loss.reason.recycle_to_id or "", usual) if loss.reason else usual


def news(losses: list[Transition], leads: dict[int, Lead], targets: dict[int, Stage], *, now: datetime) -> list[Notification]:
    """What the owners are told, or those who owned them last: that somebody is back, and why they had gone."""
    whose = {loss.pk: leads[loss.lead_id].owner_id or leads[loss.lead_id].former_owner_id for loss in losses}
    listeners = User.objects.filter(is_active=True).in_bulk({pk for pk in whose.values() if pk})
    rows = []
    for loss in losses:
        owner, lead = listeners.get(whose[loss.pk] or 0), leads[loss.lead_id]
        if owner is not None:
            verb = "is back" if loss.to_stage_id != targets[loss.pk].key else "is worth another look"
            body = f"In {targets[loss.pk]} now. What happened before counts no more; new interest does."
            rows.append(
                notification(
                    Notification.Channel.IN_APP,
                    about=f"recycle:{loss.pk}",
                    title=f"{lead} {verb}: {describe(loss, now)}",
                    body=body,
                    lead=lead,
                    user=owner,
                    now=now,
                )
            )
    return rows


def describe(loss: Transition, until: datetime) -> str:
    """How long ago and why: "after 90 days: No budget this year"."""
    days = (until - loss.at).days
    past = f"after {days} day{'' if days == 1 else 's'}" if days else f"after {distance((until - loss.at).total_seconds())}"
    return f"{past}: {loss.reason}" if loss.reason else past


def return_after(last: Transition | None, lead: Lead, stages: Sequence[Stage]) -> Return | None:
    """When and where a lead comes back by itself after its last move; None when it does not."""
    if last is None or last.seq != lead.stage_seq or last.recycle_at is None or lead.excluded:
        return None
    to = target_of(last, stages)
    return Return(last.recycle_at, to, last.reason, stays=to.key == lead.stage_id)


def let_go(lead: Lead) -> bool:
    """Say that the lead is not to come back by itself; False when nothing was planned any more."""
    return bool(Transition.objects.filter(lead=lead, seq=F("lead__stage_seq"), recycle_at__isnull=False).update(recycle_at=None))
