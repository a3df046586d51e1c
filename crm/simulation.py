"""A dry run: what one campaign would do for one lead, played on the production code in a transaction that is undone."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from campaigns import enrollment, schedule, sending
from campaigns.documents import StepDoc
from campaigns.facts import Program
from campaigns.models import Campaign, Enrollment, Message
from campaigns.rendering import Rendered, TemplateProblem, render
from campaigns.rules import rules_of
from leads import intake
from leads.models import Delivery, Event, Lead, User

# Holding a message back again and again, for example by a cap that other campaigns use up, ends the dry run.
MOST_TURNS = 500


class SimulationError(Exception):
    """A dry run that can't be made; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that would happen: when, at which step, what, and why; a mail as it would be sent."""

    at: datetime
    step: str
    what: str
    why: str = ""
    mail: Rendered | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would happen. `zone` is where the lead lives, `outcome` how the run would end."""

    campaign: Campaign
    lead: Lead
    zone: ZoneInfo
    cause: str
    lines: list[Line]
    outcome: str


def simulate(campaign: Campaign, lead: Lead, *, event: dict[str, Any] | None = None) -> Plan:
    """Play a campaign for a lead, started by `event` (as posted to /api/events) or else by hand. Nothing is written.

    A paused campaign is played as if it were active. Raises SimulationError.
    """
    with transaction.atomic():
        try:
            return play(campaign, lead, event=event)
        finally:
            transaction.set_rollback(True)


def play(campaign: Campaign, lead: Lead, *, event: dict[str, Any] | None) -> Plan:
    """The same, in the caller's transaction, which must be undone afterwards."""
    if campaign.live is None:
        raise SimulationError(f"{campaign.key} was never published; publish it first, what runs is always a published version.")
    Campaign.objects.filter(pk=campaign.pk).update(status=Campaign.Status.ACTIVE)
    campaign.refresh_from_db()
    run = start_by_event(campaign, lead, event) if event is not None else start_by_hand(campaign, lead)
    program = Program(run.version)
    zone = rules_of(program.doc).zone(run.lead)
    cause = run.event.type if run.event else "by hand"
    if run.state == Enrollment.State.REFUSED:
        return Plan(campaign, run.lead, zone, cause, [], f"refused: {run.reason}")
    lines = list(follow(run, program))
    run.refresh_from_db()
    outcome = f"{run.get_state_display().lower()}{f': {run.reason}' if run.reason else ''}"
    return Plan(campaign, run.lead, zone, cause, lines, outcome)


def start_by_hand(campaign: Campaign, lead: Lead) -> Enrollment:
    """Start a run as a colleague would. Raises SimulationError."""
    try:
        return enrollment.start_by_hand(campaign, lead, User(username="dry run"))
    except enrollment.NotStartedError as error:
        raise SimulationError(str(error)) from error


def start_by_event(campaign: Campaign, lead: Lead, event: dict[str, Any]) -> Enrollment:
    """Let the event come in for the lead, and return the run it starts in the campaign. Raises SimulationError."""
    properties = event.get("metadata", event.get("properties", {}))
    message = {"type": event.get("eventType", event.get("event")), "leadUid": str(lead.uid), "properties": properties}
    message |= {name: event[name] for name in ("timestamp", "traits") if name in event}
    delivery = intake.record_internal([message])
    token = uuid.uuid4()
    Delivery.objects.filter(pk=delivery.pk).update(claim_token=token)
    intake.record(intake.load([delivery.pk]), token=token)
    delivery.refresh_from_db()
    if delivery.rejected:
        raise SimulationError(f"the event is refused: {delivery.rejected[0]['message']}")
    stored = Event.objects.get(delivery=delivery)
    runs = Enrollment.objects.filter(campaign=campaign, event=stored).select_related("version", "lead", "event")
    if run := runs.first():
        return run
    if not stored.lead.is_known:
        raise SimulationError(f"{stored.lead} is anonymous; only people with a user id or an address enter campaigns.")
    raise SimulationError(
        f"{stored.type} does not start {campaign.key}; its trigger is {json.dumps(campaign.live and campaign.live.document['trigger'])}."
    )


def follow(run: Enrollment, program: Program) -> Iterator[Line]:
    """Play the run to its end, jumping from one due time to the next; every mail is taken to arrive."""
    now = timezone.now()
    for _ in range(MOST_TURNS):
        lead = Lead.objects.select_related("company", "first_source", "owner").get(pk=run.lead_id)
        run = Enrollment.objects.select_related("version", "campaign", "event").get(pk=run.pk)
        if run.state != Enrollment.State.ACTIVE:
            return
        if run.due_at is None:
            message = run.messages.get(step=run.next_step)
            now = max(now, message.due_at)
            yield from send(message, program, now=now)
            continue
        now, told = max(now, run.due_at), len(run.log)
        schedule.go_on(run, lead, now=now)
        yield from (Line(now, line["step"], line["what"], line["why"]) for line in run.log[told:])
    yield Line(now, run.next_step, "held", "the dry run ends here: the message is held again and again")


def send(message: Message, program: Program, *, now: datetime) -> Iterator[Line]:
    """Do what the sender does, but for the SMTP conversation."""
    token = uuid.uuid4()
    Message.objects.filter(pk=message.pk).update(state=Message.State.CLAIMED, claim_token=token)
    begun = sending.begin(message.pk, token, now=now)
    if begun is not None:
        sending.finish(begun, None, now=now)
    message.refresh_from_db()
    step = program.step(message.step)
    if message.state == Message.State.SCHEDULED:
        yield Line(now, message.step, "held", message.reason)
    elif step is not None:
        yield Line(now, message.step, message.state, message.error or message.reason, mail_of(message, program, step, now=now))


def mail_of(message: Message, program: Program, step: StepDoc, *, now: datetime) -> Rendered | None:
    """The mail as it is or would be; None when its template fails."""
    try:
        return render(message, document=program.doc, step=step, now=now)
    except TemplateProblem:
        return None
