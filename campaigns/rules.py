"""The sending rules: what holds a message back, asked in the transaction that begins to send it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import Q

from campaigns.documents import CampaignDoc, CapDoc, SendingDoc
from campaigns.facts import RunView
from campaigns.models import Campaign, Enrollment, Message
from campaigns.permission import not_permitted
from campaigns.runs import exit_reason
from campaigns.windows import Window, next_opening, read_window, zone_of
from leads.models import ContactPoint, Lead, Workspace

# The frequency cap counts messages that went out, and those that may have.
COUNTED = [Message.State.SENDING, Message.State.SENT, Message.State.UNKNOWN]
PERIODS = {"day": timedelta(days=1), "week": timedelta(days=7)}
# A paused campaign's messages are looked at again this often, should they be claimed at all.
PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a message is not sent now.

    skip: never; its run goes on. exit: never; its run ends with this reason. later: not before `until`.
    """

    kind: Literal["skip", "later", "exit"]
    reason: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one campaign: the workspace's rules, narrowed by the campaign's own."""

    windows: list[Window]
    caps: dict[str, int]
    zones: tuple[str | None, str]

    def zone(self, lead: Lead) -> ZoneInfo:
        """The zone the lead lives in: their own, else the campaign's, else the workspace's."""
        return zone_of(lead.timezone, *self.zones)


def rules_of(doc: CampaignDoc) -> Rules:
    """Read the workspace's rules and narrow them by the campaign's: inside both windows, below the smaller cap."""
    workspace = Workspace.current()
    sending = msgspec.convert(workspace.sending, SendingDoc)
    windows = [read_window(window) for window in (sending.window, doc.window) if window]
    return Rules(windows, smallest([sending.cap, doc.cap]), (doc.timezone, workspace.timezone))


def smallest(caps: Iterable[CapDoc | None]) -> dict[str, int]:
    """The smallest number for each period that has one."""
    numbers = [(period, getattr(cap, period)) for cap in caps if cap for period in PERIODS]
    return {period: min(n for name, n in numbers if name == period and n) for period in {name for name, n in numbers if n}}


def hold_reason(message: Message, *, lead: Lead, contact_point: ContactPoint | None, now: datetime) -> Hold | None:
    """What keeps a message from being sent at `now`, None when nothing does.

    Lead and contact point are locked by the caller. First what ends the run, then what makes the message
    pointless, then what only delays it.
    """
    if message.enrollment is None:
        return suppression(contact_point) or staleness(message, now)
    run = message.enrollment
    if run.state != Enrollment.State.ACTIVE:
        return Hold("exit", run.reason or run.state)
    view = RunView(run, lead, now=now)
    if reason := exit_reason(view, contact_point):
        return Hold("exit", reason)
    return (
        suppression(contact_point)
        or staleness(message, now)
        or address(lead)
        or permission(view.program.doc, lead, contact_point)
        or delay(message, view.program.doc, lead=lead, contact_point=contact_point, now=now)
    )


def suppression(contact_point: ContactPoint | None) -> Hold | None:
    """Nobody writes to a suppressed address, whatever the class."""
    return Hold("skip", f"suppressed: {contact_point.suppressed}") if contact_point and contact_point.suppressed else None


def staleness(message: Message, now: datetime) -> Hold | None:
    """Some messages are of no use after a while."""
    return Hold("skip", "not_after") if message.not_after and now > message.not_after else None


def address(lead: Lead) -> Hold | None:
    """Somebody known by a user id alone has no address."""
    return None if lead.email else Hold("skip", "no_address")


def permission(doc: CampaignDoc, lead: Lead, contact_point: ContactPoint | None) -> Hold | None:
    """Consent, as the class of the campaign asks for it."""
    reason = not_permitted(doc, lead, contact_point)
    return Hold("skip", reason) if reason else None


def delay(message: Message, doc: CampaignDoc, *, lead: Lead, contact_point: ContactPoint | None, now: datetime) -> Hold | None:
    """What is only not yet possible: paused, in_conversation, cap, window; `until` is when nothing of it holds any more."""
    run = message.enrollment
    if run and run.campaign.status != Campaign.Status.ACTIVE:
        return Hold("later", "paused", now + PAUSE)
    if doc.class_ == "transactional":
        return None
    rules = rules_of(doc)
    reasons = []
    ready = now
    if doc.class_ == "marketing" and lead.conversation_until and lead.conversation_until > ready:
        reasons, ready = ["in_conversation"], lead.conversation_until
    free = cap_free(message, rules.caps, contact_point, now)
    if free > ready:
        ready = free
    reasons += ["cap"] if free > now else []
    opening = next_opening(rules.windows, ready, rules.zone(lead))
    if opening is None:
        return Hold("skip", "window: never open")
    reasons += ["window"] if opening > ready else []
    if not reasons:
        return None
    if message.not_after and opening > message.not_after:
        return Hold("skip", f"{reasons[0]}, not_after")
    return Hold("later", reasons[0], opening)


def cap_free(message: Message, caps: dict[str, int], contact_point: ContactPoint | None, now: datetime) -> datetime:
    """When the person may get one more message by the caps; `now` or earlier when at once."""
    if not caps or contact_point is None:
        return now
    times = times_written(message, contact_point, now)
    free = now
    for period, most in caps.items():
        span = PERIODS[period]
        recent = [at for at in times if at > now - span]
        if len(recent) >= most:
            free = max(free, recent[-most] + span)
    return free


def times_written(message: Message, contact_point: ContactPoint, now: datetime) -> list[datetime]:
    """When the address was written to in the last week, oldest first; transactional messages don't count."""
    since = now - PERIODS["week"]
    written = Message.objects.filter(contact_point=contact_point, state__in=COUNTED, kind=Message.Kind.CAMPAIGN).exclude(pk=message.pk)
    lately = written.filter(Q(sent_at__gt=since) | Q(sent_at=None, sending_at__gt=since))
    rows = lately.values_list("sent_at", "sending_at", "enrollment__version__document__class")
    times = [sent or sending for sent, sending, kind in rows if kind != "transactional"]
    return sorted(at for at in times if at)


def opening_for(campaign_doc: CampaignDoc, lead: Lead, now: datetime) -> datetime | None:
    """When the window of a campaign is open for a lead next, at or after `now`; None when it never is."""
    rules = rules_of(campaign_doc)
    return next_opening(rules.windows, now, rules.zone(lead))
