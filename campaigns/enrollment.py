"""Who enters a campaign, and when: the one door to a run, and what opens it."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from django.db import transaction
from django.db.models import Max, prefetch_related_objects
from django.utils import timezone

from campaigns.documents import StepDoc
from campaigns.facts import Facts, LeadView, Program
from campaigns.models import Campaign, CampaignVersion, Enrollment
from campaigns.runs import ADVANCE, exit_runs
from leads import conditions
from leads.bell import ring
from leads.conditions import lookup
from leads.models import Event, Lead, Stage, Transition, User
from leads.recording import Recorded
from leads.vocabulary import parse_duration

log = structlog.get_logger(__name__)

MAX_AGE = timedelta(days=2)
LONGEST_KEY = 200


class NotStartedError(ValueError):
    """A run that can't be started by hand; the sentence says why."""


@dataclass(slots=True)
class Entry:
    """Somebody at the door of a campaign. `refused` is the reason already known, such as `too_old`."""

    program: Program
    lead: Lead
    cause: str
    cause_at: datetime
    event: Event | None = None
    refused: str = ""
    run_key: str = ""
    log: list[dict[str, str]] = field(default_factory=list)

    @property
    def campaign_id(self) -> int:
        """The campaign it wants to enter."""
        return self.program.version.campaign_id

    @property
    def first_lead_id(self) -> int:
        """Whose doing it is: the lead that brought the event, also where it is part of another one now."""
        return self.event.first_lead_id if self.event and self.cause == self.event.cause else self.lead.pk

    @property
    def door(self) -> tuple[int, int]:
        """Campaign and lead."""
        return self.campaign_id, self.lead.pk

    @property
    def first_step(self) -> StepDoc | None:
        """The step the run begins with."""
        return self.program.doc.steps[0] if self.program.doc.steps else None

    @property
    def starts_at(self) -> datetime:
        """When the first step is due: its delay counts from the cause."""
        after = self.first_step.after if self.first_step else None
        return self.cause_at + parse_duration(after) if after else self.cause_at


def enroll(
    campaign: Campaign, leads: Iterable[Lead], *, cause: str, cause_at: datetime, event: Event | None = None, now: datetime
) -> list[Enrollment]:
    """Let leads (locked by the caller) enter an active campaign; returns their runs, refused ones with the reason.

    Raises NotStartedError when the campaign is not active or was never published. Anonymous leads are left out.
    """
    program = Program(running_version(campaign))
    return write(decide([Entry(program, lead, cause, cause_at, event) for lead in leads], now=now), now=now)


def running_version(campaign: Campaign) -> CampaignVersion:
    """The version new runs are pinned to. Raises NotStartedError."""
    if campaign.live is None:
        raise NotStartedError(f"{campaign} was never published; publish it first.")
    if campaign.status != Campaign.Status.ACTIVE:
        raise NotStartedError(f"{campaign} is {campaign.get_status_display().lower()}; resume it first.")
    return campaign.live


def running(kind: str) -> list[Program]:
    """The live versions of active campaigns with a trigger of this kind (`event`, `stage`)."""
    campaigns = Campaign.objects.filter(status=Campaign.Status.ACTIVE, live__document__trigger__has_key=kind)
    programs = []
    for campaign in campaigns.select_related("live").order_by("pk"):
        try:
            program = Program(running_version(campaign))
            program.read_entry()
            programs.append(program)
        except (conditions.ConditionError, msgspec.ValidationError):  # one campaign must not hold up everybody's events
            log.exception("campaign_unreadable", campaign=campaign.key)
    return programs


def enroll_on_events(*, events: Sequence[Event], recorded: Recorded, **kwargs: Any) -> None:
    """Start the campaigns that these events trigger. Receiver of events_recorded; the leads are locked.

    The number of statements does not depend on how many events, leads or campaigns there are.
    """
    found = [
        (program, event)
        for program in (running("event") if events else [])
        for event in events
        if program.doc.trigger.event in recorded.types.get(event.pk, (event.type,)) and event.verdict != Event.Verdict.SUSPECT
    ]
    if not found:
        return
    load_properties([event for _, event in found])
    leads = load_leads({event.lead_id for _, event in found})
    facts = Facts(leads.values(), now=recorded.now)
    entries = []
    for program, event in sorted(found, key=lambda pair: (pair[1].at, pair[1].source_id, pair[1].message_id)):
        lead = leads.get(event.lead_id)
        if lead and conditions.evaluate(program.trigger_when, LeadView(lead, facts, event)):
            refused = refusal_by_age(program, event.at, recorded.now, historical=event.historical)
            entries.append(Entry(program, lead, event.cause, event.at, event, refused))
    write(decide(entries, now=recorded.now, facts=facts), now=recorded.now)


def enroll_on_transitions(*, transitions: Sequence[Transition], now: datetime, **kwargs: Any) -> None:
    """Start the campaigns of the stage each lead is in now, and end the runs a won or lost stage ends.

    Receiver of leads_transitioned. Of a chain of moves only the last one counts. The leads are locked.
    """
    last = {transition.lead_id: transition for transition in transitions}
    end_finished(last.values(), now=now)
    programs = [program for program in running("stage") if program.doc.trigger.stage in {t.to_stage_id for t in last.values()}]
    if not programs:
        return
    moves = sorted(last.values(), key=lambda transition: transition.pk)
    prefetch_related_objects(moves, "event")
    leads = load_leads(last)
    facts = Facts(leads.values(), now=now)
    entries = []
    for program, move in ((program, move) for program in programs for move in moves):
        lead = leads.get(move.lead_id)
        if not lead or program.doc.trigger.stage != move.to_stage_id:
            continue
        if conditions.evaluate(program.trigger_when, LeadView(lead, facts, move.event)):
            refused = refusal_by_age(program, move.at, now, historical=move.historical)
            entries.append(Entry(program, lead, move.cause, move.at, move.event, refused))
    write(decide(entries, now=now, facts=facts), now=now)


def end_finished(transitions: Iterable[Transition], *, now: datetime) -> None:
    """End the runs of leads that just entered a won or lost stage, in campaigns that exit on it."""
    ends = set(Stage.objects.exclude(kind=Stage.Kind.OPEN).values_list("key", flat=True))
    entered = {transition.lead_id for transition in transitions if transition.to_stage_id in ends}
    if not entered:
        return
    active = Enrollment.objects.active().filter(lead__in=entered).select_related("version")
    ended = [run.pk for run in active if Program(run.version).doc.exit_on_stage]
    exit_runs(Enrollment.objects.filter(pk__in=ended), "stage", now)


def refusal_by_age(program: Program, at: datetime, now: datetime, *, historical: bool) -> str:
    """`historical` or `too_old` for a cause that starts nothing any more, else ""."""
    max_age = parse_duration(program.doc.trigger.max_age) if program.doc.trigger.max_age else MAX_AGE
    if historical:
        return "historical"
    return "too_old" if at < now - max_age else ""


def load_leads(pks: Iterable[int]) -> dict[int, Lead]:
    """The leads as they are now (scores and stages just changed), with what conditions ask about."""
    return Lead.objects.select_related("company", "first_source").in_bulk(list(pks))


def load_properties(events: Sequence[Event]) -> None:
    """Fill in the properties of events that were loaded without them, in one statement."""
    bare = {event.pk: event for event in events if "properties" in event.get_deferred_fields()}
    if bare:
        for pk, properties in Event.objects.filter(pk__in=bare).values_list("pk", "properties"):
            bare[pk].properties = properties


def decide(entries: Sequence[Entry], *, now: datetime, facts: Facts | None = None) -> list[Entry]:
    """Fill in `run_key` and `refused` of each entry; leave out anonymous leads and causes that were decided before.

    The leads are locked, so nobody else decides about them meanwhile. Entries are taken in order: the
    first of two that exclude each other enters.
    """
    entries = [entry for entry in entries if entry.lead.is_known and entry.lead.merged_into_id is None]
    if not entries:
        return []
    facts = facts or Facts([entry.lead for entry in entries], now=now)
    past = Past(entries)
    fresh = []
    for entry in entries:
        if (*entry.door, entry.cause) in past.causes:
            continue
        past.causes.add((*entry.door, entry.cause))
        entry.run_key = run_key(entry)
        entry.refused = entry.refused or refusal(entry, facts) or past.refusal(entry, now)
        if not entry.refused:
            past.enter(entry, now)
        fresh.append(entry)
    return fresh


def refusal(entry: Entry, facts: Facts) -> str:
    """`excluded` or `audience`, else ""."""
    if entry.lead.excluded:
        return "excluded"
    meets = conditions.evaluate(entry.program.audience, LeadView(entry.lead, facts, entry.event))
    return "" if meets else "audience"


def run_key(entry: Entry) -> str:
    """With re-entry by key: the value of the property, as text; "" when the event has none."""
    path = reentry_key(entry.program)
    if not path or entry.event is None:
        return ""
    try:
        value = lookup(entry.event.properties, path.removeprefix("event."))
    except KeyError:
        return ""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST_KEY else hashlib.sha256(text.encode()).hexdigest()


def reentry_key(program: Program) -> str:
    """The event property that keys the runs, "" for other kinds of re-entry."""
    reentry = program.doc.reentry
    return "" if isinstance(reentry, str) else reentry.key or ""


class Past:
    """What the leads of some entries did in those campaigns before."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        runs = Enrollment.objects.filter(
            campaign__in={entry.campaign_id for entry in entries}, lead__in={entry.lead.pk for entry in entries}
        )
        known = runs.filter(cause__in={entry.cause for entry in entries})
        self.causes: set[tuple[int, int, str]] = set(known.values_list("campaign", "lead", "cause"))
        self.active = set(runs.active().values_list("campaign", "lead", "run_key"))
        self.last: dict[tuple[int, int], datetime] = {}
        self.keys: set[tuple[int, int, str]] = set()
        entered = runs.exclude(state=Enrollment.State.REFUSED)
        if any(entry.program.doc.reentry != "always" and not reentry_key(entry.program) for entry in entries):
            starts = entered.order_by().values("campaign", "lead").annotate(last=Max("started_at"))
            self.last = {(campaign, lead): last for campaign, lead, last in starts.values_list("campaign", "lead", "last")}
        if keys := {run_key(entry) for entry in entries} - {""}:
            self.keys = set(entered.filter(run_key__in=keys).values_list("campaign", "lead", "run_key"))

    def refusal(self, entry: Entry, now: datetime) -> str:
        """Why re-entry is refused: `active`, `once`, `key` or `after`; "" when it is not.

        By key each value runs once. An event without the value can't tell one run from another: it may
        start a run whenever none is active.
        """
        reentry, last = entry.program.doc.reentry, self.last.get(entry.door)
        if reentry == "once" and last:
            return "once"
        if (*entry.door, entry.run_key) in self.active:
            return "active"
        if isinstance(reentry, str):
            return ""
        if reentry.after and last and now < last + parse_duration(reentry.after):
            return "after"
        return "key" if entry.run_key and (*entry.door, entry.run_key) in self.keys else ""

    def enter(self, entry: Entry, now: datetime) -> None:
        """Remember that the entry entered."""
        self.active.add((*entry.door, entry.run_key))
        self.keys.add((*entry.door, entry.run_key))
        self.last[entry.door] = now


def write(entries: Sequence[Entry], *, now: datetime) -> list[Enrollment]:
    """Store the decided entries as runs, refused ones with their reason, and return the rows (two statements)."""
    if not entries:
        return []
    Enrollment.objects.bulk_create([run_for(entry, now=now) for entry in entries], ignore_conflicts=True)
    rows = Enrollment.objects.filter(
        campaign__in={entry.campaign_id for entry in entries},
        lead__in={entry.lead.pk for entry in entries},
        cause__in={entry.cause for entry in entries},
    )
    if any(entry.starts_at <= now for entry in entries if not entry.refused):
        ring(ADVANCE)
    wanted = {(*entry.door, entry.cause) for entry in entries}
    return [run for run in rows.order_by("pk") if (run.campaign_id, run.lead_id, run.cause) in wanted]


def run_for(entry: Entry, *, now: datetime) -> Enrollment:
    """The run (not saved) of a decided entry."""
    return Enrollment(
        campaign_id=entry.campaign_id,
        version=entry.program.version,
        lead=entry.lead,
        first_lead_id=entry.first_lead_id,
        run_key=entry.run_key,
        cause=entry.cause,
        cause_at=entry.cause_at,
        event=entry.event,
        state=Enrollment.State.REFUSED if entry.refused else Enrollment.State.ACTIVE,
        reason=entry.refused,
        next_step=entry.first_step.key if entry.first_step else "",
        due_at=None if entry.refused else entry.starts_at,
        log=entry.log,
        started_at=now,
        ended_at=now if entry.refused else None,
    )


def start_by_hand(campaign: Campaign, lead: Lead, by_user: User) -> Enrollment:
    """Start a run for one lead because a colleague asks for it; a refused one comes back with its reason.

    Raises NotStartedError when the campaign does not run, or nobody knows who the lead is.
    """
    now = timezone.now()
    program = Program(running_version(campaign))
    with transaction.atomic():
        rows = Lead.objects.select_related("company", "first_source").select_for_update(of=("self",), no_key=True)
        locked = rows.get(pk=lead.merged_into_id or lead.pk)
        if not locked.is_known:
            raise NotStartedError(f"{locked} is anonymous; only people with a user id or an address enter campaigns.")
        line = {"step": "", "at": now.isoformat(), "what": "started", "why": f"by {by_user}"}
        entry = Entry(program, locked, f"manual:{uuid.uuid4()}", now, log=[line])
        return write(decide([entry], now=now), now=now)[0]


def stop(enrollment: Enrollment, by_user: User) -> bool:
    """End a run because a colleague asks for it; False when it had ended already."""
    now = timezone.now()
    with transaction.atomic():
        Lead.objects.select_for_update(no_key=True).get(pk=enrollment.lead_id)
        stopped = exit_runs(Enrollment.objects.filter(pk=enrollment.pk), f"stopped by {by_user}", now)
    enrollment.refresh_from_db()
    return bool(stopped)
