"""The timetable of campaigns: the next step of each run, and the slots of campaigns that go by the clock."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
import structlog
from cronsim import CronSimError
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now
from django.utils import timezone

from campaigns.documents import StepDoc
from campaigns.enrollment import Entry, decide, running_version, write
from campaigns.facts import Program, RunView, campaign_q
from campaigns.models import Campaign, Enrollment, Slot
from campaigns.permission import contact_point_of
from campaigns.rules import Hold, hold_reason, opening_for
from campaigns.runs import end, exit_reason, message_ended, note, pass_on, save
from campaigns.sending import queue_message
from campaigns.windows import slots_before, zone_of
from leads import conditions
from leads.condition_queries import to_q
from leads.models import Lead, Notification, User, Workspace
from leads.models.claims import LEASE, MAX_CLAIMS
from leads.notifications import notification, tell
from leads.vocabulary import parse_duration

__all__ = ["Hold", "RunView", "advance_due", "fire_schedules", "hold_reason", "message_ended", "opening_for"]

log = structlog.get_logger(__name__)

# After a run's first failure wait the first of these, and so on; then the last one for ever.
BACK_OFF = [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)]
# A slot missed by more than this does not fire any more.
GRACE = timedelta(hours=6)
# How many leads one transaction of a slot takes, and how many of them one call.
CHUNK = 500
CHUNKS = 20
# How many missed slots are kept as rows when nobody looked for a long time.
MISSED_KEPT = 100


class ClaimLost(Exception):
    """Another worker took the row over; this one's work on it is undone."""


def advance_due(now: datetime | None = None, limit: int = 200) -> int:
    """Let up to `limit` runs act on the step that is due; returns how many were claimed. A failing run stops no other."""
    now = now or timezone.now()
    token, pks = Enrollment.objects.due(now).only("pk").claim(limit)
    for pk in pks:
        try:
            with transaction.atomic():
                advance(pk, token, now=now)
        except Exception as error:  # whatever a run's conditions or rows come up with must not stop the runs behind
            log.exception("run_failed", enrollment=pk)
            push_back(pk, token, error, now=now)
    return len(pks)


def advance(pk: int, token: uuid.UUID, *, now: datetime) -> None:
    """Let one claimed run act, under the locks of its lead and itself; nothing when the claim is not ours any more."""
    claimed = Enrollment.objects.filter(pk=pk, claim_token=token)
    lead_id = claimed.values_list("lead", flat=True).first()
    if lead_id is None:
        return
    leads = Lead.objects.select_related("company", "first_source").select_for_update(of=("self",), no_key=True)
    lead = leads.get(pk=lead_id)
    runs = claimed.active().filter(lead=lead).select_related("version", "campaign", "event")
    run = runs.select_for_update(of=("self",), no_key=True).first()
    if run is None:  # merged or ended in this very moment; what is left of it is claimed again
        claimed.update(**Enrollment.released())
        return
    go_on(run, lead, now=now)


def go_on(run: Enrollment, lead: Lead, *, now: datetime) -> None:
    """Act on every step of a locked run that is due: until a message is on its way, a delay begins, or the run ends."""
    view = RunView(run, lead, now=now)
    run.reason = ""
    if reason := exit_reason(view, contact_point_of(lead)):
        end(run, Enrollment.State.EXITED, reason, now=now)
    while run.due_at is not None and run.due_at <= now:
        step = view.program.step(run.next_step)
        if step is None:
            end(run, Enrollment.State.COMPLETED, "", now=now)
        elif why := skipped(step, view):
            note(run, step.key, "skipped", why, now=now)
            pass_on(run, view.program, now=now)
        else:
            act(run, step, view)
    save(run)


def skipped(step: StepDoc, view: RunView) -> str:
    """Why a due step is skipped: `not_after`, or the parts of its guard that fail; "" when it is not."""
    due_at = view.run.due_at or view.now
    if step.not_after and view.now > due_at + parse_duration(step.not_after):
        return "not_after"
    if not step.when:
        return ""
    guard = view.program.guard(step)
    if conditions.evaluate(guard, view):
        return ""
    failed = [f"{check.text} ({check.current})" for check in conditions.explain(guard, view) if not check.ok]
    return f"when: {', '.join(failed) or conditions.describe(guard)}"


def act(run: Enrollment, step: StepDoc, view: RunView) -> None:
    """Do what a step says. After a message the run waits until `message_ended`."""
    if step.message:
        queue_message(run, step, now=view.now)
        run.due_at = None
        return
    if step.exit:
        note(run, step.key, "exit", step.exit.why, now=view.now)
        end(run, Enrollment.State.EXITED, step.exit.why, now=view.now)
        return
    if step.notify:
        tell_staff(run, step.key, step.notify.text, lead=view.lead, now=view.now)
        note(run, step.key, "notified", "", now=view.now)
    pass_on(run, view.program, now=view.now)


def tell_staff(run: Enrollment, step: str, text: str, *, lead: Lead, now: datetime) -> None:
    """Tell the lead's owner, or every rep when nobody owns the lead, once for each run and step."""
    owner = lead.owner if lead.owner and lead.owner.is_active else None
    tell(
        notification(
            Notification.Channel.IN_APP,
            about=f"run:{run.pk}:{step}",
            title=text,
            body=f"{lead}, {run.campaign}",
            lead=lead,
            user=user,
            now=now,
        )
        for user in ([owner] if owner else User.objects.reps())
    )


def push_back(pk: int, token: uuid.UUID, error: Exception, *, now: datetime) -> None:
    """Try a run that failed again later, and later each time. Only runs that kill workers are left to staff."""
    failed = Enrollment.objects.filter(pk=pk, claim_token=token)
    tries = failed.values_list("claim_count", flat=True).first() or 1
    failed.update(
        due_at=now + BACK_OFF[min(tries, len(BACK_OFF)) - 1],
        reason=f"{type(error).__name__}: {error}"[:200],
        claim_token=None,
        lease_until=None,
        claim_count=min(tries, MAX_CLAIMS - 1),
    )


def fire_schedules(now: datetime | None = None) -> int:
    """Open the slots whose time has come and walk their audiences; returns how many leads entered."""
    now = now or timezone.now()
    open_slots(now)
    walking = Slot.objects.filter(state=Slot.State.WALKING, campaign__status=Campaign.Status.ACTIVE).order_by("at", "pk")
    token, pks = walking.only("pk").claim(10)
    entered = 0
    for pk in pks:
        try:
            entered += walk(pk, token, now=now)
        except ClaimLost:
            log.warning("claim_lost", slot=pk)
        except Exception:  # one campaign's audience must not stop the others
            log.exception("slot_failed", slot=pk)
            Slot.objects.filter(pk=pk, claim_token=token).update(lease_until=Now() + BACK_OFF[0])
    return entered


def open_slots(now: datetime) -> None:
    """Make a row for each slot since the last one: the latest fires if it is no older than GRACE, the others are missed.

    Of a paused campaign all are missed, so that resuming it sends nothing by itself. A newly published
    schedule begins at its publication.
    """
    campaigns = Campaign.objects.filter(
        status__in=[Campaign.Status.ACTIVE, Campaign.Status.PAUSED], live__document__trigger__has_key="schedule"
    )
    rows: list[Slot] = []
    zone = Workspace.current().timezone
    for campaign in campaigns.select_related("live").annotate(last=Max("slots__at")):
        try:
            rows += slots_of(campaign, now=now, zone=zone)
        except (CronSimError, conditions.ConditionError, msgspec.ValidationError):
            log.exception("schedule_unreadable", campaign=campaign.key)
    Slot.objects.bulk_create(rows, ignore_conflicts=True)


def slots_of(campaign: Campaign, *, now: datetime, zone: str) -> list[Slot]:
    """The slots (not saved) of one campaign since its last one. `campaign.last` is the time of that, or None."""
    if campaign.live is None:
        return []
    doc = Program(campaign.live).doc
    since = max(filter(None, (campaign.last, campaign.live.published_at)))  # type: ignore[attr-defined]
    times = slots_before(doc.trigger.schedule or "", now, zone_of(doc.trigger.timezone, doc.timezone, zone), after=since)
    rows = [Slot(campaign=campaign, at=at, state=Slot.State.MISSED) for at in islice(times, MISSED_KEPT)]
    if rows and campaign.status == Campaign.Status.ACTIVE and rows[0].at >= now - GRACE:
        rows[0].state = Slot.State.WALKING
    return rows


def walk(pk: int, token: uuid.UUID, *, now: datetime) -> int:
    """Walk a claimed slot on, chunk by chunk, each its own transaction; returns how many entered.

    After CHUNKS chunks the rest waits for the next call, so that one big audience does not hold up the others.
    """
    entered = 0
    for _ in range(CHUNKS):
        with transaction.atomic():
            slot = Slot.objects.filter(pk=pk, claim_token=token).select_related("campaign__live").first()
            if slot is None:
                raise ClaimLost
            count, more = enroll_chunk(slot, token, now=now)
        entered += count
        if not more:
            return entered
    Slot.objects.filter(pk=pk, claim_token=token).update(**Slot.released())
    return entered


def enroll_chunk(slot: Slot, token: uuid.UUID, *, now: datetime) -> tuple[int, bool]:
    """Let the next CHUNK leads of the audience enter; returns how many did, and whether more are left."""
    program = Program(running_version(slot.campaign))
    chosen, _ = to_q(program.audience, campaign_q=campaign_q, now=now)
    rows = Lead.objects.known().filter(chosen, pk__gt=slot.cursor).order_by("pk").select_related("company", "first_source")
    leads = list(rows.select_for_update(of=("self",), no_key=True)[:CHUNK])
    entries = [Entry(program, lead, slot_cause(slot), slot.at) for lead in leads]
    decided = [entry for entry in decide(entries, now=now) if entry.refused != "audience"]
    runs = write([entry for entry in decided if not entry.refused], now=now)
    more = len(leads) == CHUNK
    refused = Counter(slot.refused) + Counter(entry.refused for entry in decided if entry.refused)
    done = {"lease_until": Now() + LEASE, "claim_count": 1} if more else {"state": Slot.State.DONE, **Slot.released()}
    mine = Slot.objects.filter(pk=slot.pk, claim_token=token)
    cursor = leads[-1].pk if leads else slot.cursor
    if not mine.update(cursor=cursor, enrolled=slot.enrolled + len(runs), refused=dict(refused), **done):
        raise ClaimLost
    return len(runs), more


def slot_cause(slot: Slot) -> str:
    """The name under which runs refer to a slot."""
    return f"slot:{slot.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
