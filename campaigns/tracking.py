"""What comes back from a mail: clicks, and the wish to get no more. Both become events, by the road every event takes."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from campaigns.models import Click, Link, Message
from campaigns.tokens import LINKS_PER_MESSAGE, Purpose, link_url, read_token, unsubscribe_url
from leads.consents import contact_points
from leads.intake import record_internal
from leads.models import Consent, ContactPoint, Event, Topic, hash_address
from leads.recording import Arrival

__all__ = ["judge_clicks", "link_url", "record_click", "unsubscribe", "unsubscribe_url"]

CLICKED, UNSUBSCRIBED = "EMAIL_CLICKED", "UNSUBSCRIBED"
# A click waits this long, so that the rest of a scanner's burst has come in when it is judged.
CLICK_DELAY = timedelta(seconds=15)
# Nobody reads a mail this soon; mail scanners do.
TOO_SOON = timedelta(seconds=60)
BURST_LINKS, BURST_TIME = 3, timedelta(seconds=5)
# More clicks than this on one message are followed, but no longer recorded.
MAX_CLICKS = 200


def find_link(token: str) -> Link | None:
    """The link a token of ours stands for, None when there is none."""
    number = read_token(token, Purpose.CLICK)
    if number is None:
        return None
    message, position = divmod(number, LINKS_PER_MESSAGE)
    links = Link.objects.select_related("message__lead", "message__first_lead", "message__enrollment__campaign")
    return links.filter(message=message, position=position).first()


def record_click(link: Link, *, method: str, at: datetime) -> None:
    """Store a click, and the event it becomes after CLICK_DELAY."""
    message = link.message
    if Click.objects.filter(message=message)[:MAX_CLICKS].count() >= MAX_CLICKS:
        return
    click = Click(link=link, message=message, method=method[:8], at=at)
    with transaction.atomic():
        click.save()
        event = event_of(message, CLICKED, str(click.event_message_id), at=at, url=link.url, link=link.position)
        record_internal([event], due_in=CLICK_DELAY)


def event_of(message: Message, kind: str, message_id: str, *, at: datetime, **properties: Any) -> dict[str, Any]:
    """An event about a message, as record_internal takes it."""
    campaign = message.enrollment.campaign.key if message.enrollment else ""
    return {
        "type": kind,
        "messageId": message_id,
        "leadUid": str(message.first_lead.uid),
        "timestamp": at.isoformat(),
        "properties": {"message": str(message.uid), "campaign": campaign, "step": message.step, **properties},
    }


def judge_clicks(*, arrivals: Iterable[Arrival], **kwargs: Any) -> None:
    """Mark the clicks that a mail scanner probably made. Receiver of events_arriving; two statements at most."""
    clicked = {arrival.incoming.message_id: arrival for arrival in arrivals if is_click(arrival)}
    if not clicked:
        return
    clicks = list(Click.objects.filter(event_message_id__in=clicked).select_related("message"))
    of_message: dict[int, list[Click]] = defaultdict(list)
    for other in Click.objects.filter(message__in={click.message_id for click in clicks}).order_by("at"):
        of_message[other.message_id].append(other)
    for click in clicks:
        if is_suspect(click, of_message[click.message_id]):
            clicked[str(click.event_message_id)].verdict = Event.Verdict.SUSPECT


def is_click(arrival: Arrival) -> bool:
    """Whether it is one of our own clicks."""
    return arrival.incoming.type == CLICKED and arrival.delivery.source.is_built_in


def is_suspect(click: Click, clicks: Sequence[Click]) -> bool:
    """Whether a scanner made the click: no body asked for, too soon, or one of a burst over several links."""
    sent_at = click.message.sent_at or click.message.sending_at
    if click.method == "HEAD" or sent_at is None or click.at < sent_at + TOO_SOON:
        return True
    around = [other for other in clicks if abs(other.at - click.at) <= BURST_TIME]
    return any(
        len({other.link_id for other in around if first.at <= other.at <= first.at + BURST_TIME}) >= BURST_LINKS
        for first in around
        if first.at <= click.at
    )


def find_message(token: str, purpose: Purpose) -> Message | None:
    """The message a token of ours stands for. Raises LookupError when we never made such a token."""
    number = read_token(token, purpose)
    if number is None:
        raise LookupError(token)
    related = ("lead", "contact_point", "enrollment__campaign", "enrollment__version")
    return Message.objects.select_related(*related).filter(pk=number).first()


def topic_of(message: Message) -> Topic | None:
    """What the message was about; None when its campaign has no topic."""
    key = message.enrollment.version.document.get("topic") if message.enrollment else None
    return Topic.objects.filter(key=key).first() if key else None


def unsubscribe(message: Message, *, everything: bool, proof: str) -> None:
    """Commit the no of a message's recipient, to its topic or to all marketing, and the event about it; once.

    The address the mail went to says no, whatever the lead's address is by now.
    """
    topic = None if everything else topic_of(message)
    with transaction.atomic():
        point = lock_point(message)
        newest = Consent.objects.filter(contact_point=point, topic=topic).order_by("-at", "-pk").first()
        if newest is not None and newest.status == Consent.Status.DENIED:
            return
        at = timezone.now()
        consent = Consent.objects.create(
            contact_point=point, topic=topic, status=Consent.Status.DENIED, source="unsubscribe link", proof=proof, at=at
        )
        message_id = str(uuid.uuid5(message.uid, f"unsubscribe:{consent.pk}"))
        record_internal([event_of(message, UNSUBSCRIBED, message_id, at=at, topic=topic.key if topic else "all")])


def lock_point(message: Message) -> ContactPoint:
    """The contact point of the address the mail went to, locked."""
    if message.contact_point_id:
        return ContactPoint.objects.select_for_update(no_key=True).get(pk=message.contact_point_id)
    return contact_points([message.to], lock=True)[hash_address(message.to)]
