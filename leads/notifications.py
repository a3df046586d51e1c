"""Tell staff: rows first, in the transaction that gives the reason; mail and chat follow from the rows."""

import urllib.parse
from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models.functions import Now
from django.utils import timezone

from leads.models import Lead, Notification, User
from leads.models.claims import LEASE
from leads.outgoing import PostFailed, RefusedAddress, post_json

log = structlog.get_logger(__name__)

# After the first failure wait the first of these, and so on; after the last one fails too, give up.
BACK_OFF = [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)]


class Undeliverable(Exception):
    """There is nobody to tell by this way, and waiting won't change it; the sentence says why."""


def notification(channel: str, *, about: str, title: str, body: str, lead: Lead | None, user: User | None, now: datetime) -> Notification:
    """Prepare a row to be stored by `tell`. `about` names the occasion: each colleague hears of it once by each channel."""
    in_app = channel == Notification.Channel.IN_APP
    return Notification(
        channel=channel,
        user=user,
        lead=lead,
        dedupe_key=f"{about}:{channel}:{user.pk if user else 'team'}"[:120],
        title=title[:200],
        body=body,
        state=Notification.State.SENT if in_app else Notification.State.PENDING,
        sent_at=now if in_app else None,
        due_at=now,
        created_at=now,
    )


def tell(rows: Iterable[Notification]) -> None:
    """Store the rows; what was told before is left alone (one statement, inside the caller's transaction)."""
    Notification.objects.bulk_create(rows, ignore_conflicts=True)


def send_notifications(now: datetime | None = None, limit: int = 50) -> int:
    """Send up to `limit` due mails and chat messages; returns how many were tried.

    At least once: who dies between sending and noting it is followed by another worker after the lease.
    A failure stays with its row (back-off, in the end `failed`) and never stops the others.
    """
    now = now or timezone.now()
    token, pks = Notification.objects.due(now).claim(limit)
    for pk in pks:
        held = Notification.objects.filter(pk=pk, claim_token=token)
        if not held.update(lease_until=Now() + LEASE):
            continue  # it took so long to get here that another worker has it
        row = held.select_related("user").first()
        if row is not None:
            held.update(**outcome(row, now), **Notification.released())
    return len(pks)


def send_all_due() -> None:
    """Send everything that is due now."""
    while send_notifications():
        pass


def outcome(row: Notification, now: datetime) -> dict[str, object]:
    """Send one row, and return the column values that tell what became of it."""
    try:
        if row.channel == Notification.Channel.CHAT:
            send_chat(row)
        else:
            send_mail(row)
    except (Undeliverable, RefusedAddress) as error:
        return failure(row, error, wait=None, now=now)
    except Exception as error:  # whatever a mail server or a library comes up with must not stop the rows behind
        return failure(row, error, wait=dict(enumerate(BACK_OFF)).get(row.attempts), now=now)
    return {"state": Notification.State.SENT, "sent_at": now, "attempts": row.attempts + 1, "error": ""}


def failure(row: Notification, error: Exception, *, wait: timedelta | None, now: datetime) -> dict[str, object]:
    """Log why a row was not sent, and return the columns of one to be tried again after `wait`, or never."""
    log.warning("notification_not_sent", notification=row.pk, channel=row.channel, error=type(error).__name__, again=str(wait))
    if not isinstance(error, Undeliverable | RefusedAddress | PostFailed | OSError):
        log.error("notification_error", notification=row.pk, exc_info=error)
    columns: dict[str, object] = {"attempts": row.attempts + 1, "error": f"{type(error).__name__}: {error}"[:2000]}
    if wait is None:
        return columns | {"state": Notification.State.FAILED}
    return columns | {"due_at": now + wait}


def send_mail(row: Notification) -> None:
    """Send one row to its user's address. Raises Undeliverable, or what the mail server said."""
    if row.user is None or not row.user.is_active or not row.user.email:
        raise Undeliverable("The colleague has no mail address, or no longer works here.")
    host = urllib.parse.urlsplit(settings.SITE_URL).hostname
    EmailMessage(
        subject=" ".join(row.title.split()),  # a subject is one line
        body=row.body,
        to=[row.user.email],
        # Fixed, so that a mail sent twice can be recognized; and no robot shall answer.
        headers={"Message-ID": f"<notification.{row.uid}@{host}>", "Auto-Submitted": "auto-generated"},
    ).send(using="default")


def send_chat(row: Notification) -> None:
    """Post one row to the team's chat, in the form Slack, Mattermost and Rocket.Chat read. Raises PostFailed, RefusedAddress."""
    if not settings.CHAT_WEBHOOK_URL:
        raise Undeliverable("CHAT_WEBHOOK_URL is no longer set.")
    post_json(settings.CHAT_WEBHOOK_URL, {"text": escape_chat(f"{row.title}\n{row.body}".strip())})


def escape_chat(text: str) -> str:
    """Keep a lead's name from becoming a mention or a link: in chat messages & < > have a meaning."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
