"""The outbox: messages that are due go out, each at most once after its body began to be sent.

    claim      scheduled → claimed      short commit of its own
    begin      claimed → sending        locks ContactPoint, Lead, Enrollment, Message; asks every rule again; renders
    DATA       phase data               committed just before the mail's body leaves
    finish     sending → sent, failed, scheduled again, or unknown; in the same transaction its run goes on

Every step after the claim holds only while the claim's token is still on the row. Whoever dies leaves a row
that `reap` puts right: before DATA it is scheduled again, from DATA on it is `unknown`.
"""

import hashlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from campaigns.confirmation import not_needed
from campaigns.documents import CampaignDoc, StepDoc, read_document
from campaigns.envelope import Mail, make_mail
from campaigns.models import Enrollment, Link, Message
from campaigns.rendering import Rendered, TemplateProblem, render, render_confirmation
from campaigns.rules import Hold, hold_reason
from campaigns.runs import message_ended
from campaigns.stopping import until_asked_to_stop
from campaigns.transport import ConnectionFailure, Failure, PermanentFailure, TemporaryFailure, Unclear, deliver
from leads.bell import DEBOUNCE_SECONDS, ring
from leads.consents import contact_points
from leads.intake import record_internal
from leads.models import ContactPoint, Lead, hash_address
from leads.models.claims import LEASE, MAX_CLAIMS
from leads.vocabulary import parse_duration

log = structlog.get_logger(__name__)
State, Phase = Message.State, Message.Phase

# After the first failure wait the first of these, and so on; when the last one fails too, give up.
BACK_OFF = [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)]
JITTER = 0.2
# A batch starts no new mail after this many seconds, so that a slow server holds no other worker's mail for long.
BATCH_SECONDS = 120
# A task begins no new batch after this many seconds.
TASK_SECONDS = 60
# When the server can't be reached, the rest of the batch waits this long; that is no failure of theirs.
PAUSE = timedelta(minutes=1)
# A rule that holds a message without a date is asked again after this.
ASK_AGAIN = timedelta(hours=1)
MAX_ERROR = 2000
TRIES = 3


class ClaimLost(Exception):
    """The message is no longer ours: another worker, or the reaper, has it."""


class AddressChanged(Exception):
    """The lead got another address before we had its lock; locks are taken anew, in order."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A message in state `sending`, and the mail to send."""

    message: Message
    mail: Mail
    token: uuid.UUID

    @property
    def held(self) -> Any:
        """The message's row, as long as it is ours."""
        return Message.objects.filter(pk=self.message.pk, claim_token=self.token, state=State.SENDING)


def queue_message(enrollment: Enrollment, step: StepDoc, *, now: datetime) -> Message:
    """Put the message of a step into the outbox, once; part of the caller's transaction."""
    message, _ = Message.objects.get_or_create(
        enrollment=enrollment,
        step=step.key,
        occurrence=1,
        defaults={
            "lead_id": enrollment.lead_id,
            "first_lead_id": enrollment.first_lead_id,
            "priority": read_document(enrollment.version.document).priority,
            "due_at": now,
            "not_after": now + parse_duration(step.not_after) if step.not_after else None,
            "created_at": now,
        },
    )
    ring("campaigns.tasks.send")
    return message


def send_all_due() -> None:
    """Send until nothing is due for longer than a ring can have been dropped, or for a minute; then ring again."""
    stop_at = time.monotonic() + TASK_SECONDS
    while time.monotonic() < stop_at:
        if send_due():
            continue
        time.sleep(DEBOUNCE_SECONDS * 1.25)
        if not send_due():
            return
    ring("campaigns.tasks.send")


def send_due(now: datetime | None = None, limit: int = 50) -> int:
    """Claim up to `limit` due messages and send them one by one; returns how many were claimed.

    Begins no new one after BATCH_SECONDS, when asked to stop, or when the server can't be reached: the rest
    is given back.
    """
    token, pks = Message.objects.due(now or timezone.now()).claim(limit, state=State.CLAIMED)
    stop_at = time.monotonic() + BATCH_SECONDS
    with until_asked_to_stop() as asked_to_stop:
        for n, pk in enumerate(pks):
            if asked_to_stop.is_set() or time.monotonic() > stop_at:
                release(pks[n:], token)
                break
            if not send_one(pk, token, now=now):
                release(pks[n + 1 :], token, due_at=(now or timezone.now()) + PAUSE)
                break
    return len(pks)


def release(pks: list[int], token: uuid.UUID, **changes: Any) -> None:
    """Give claimed messages back."""
    held = Message.objects.filter(pk__in=pks, claim_token=token, state=State.CLAIMED)
    if held.update(state=State.SCHEDULED, **changes, **Message.released()):
        ring("campaigns.tasks.send")


def send_one(pk: int, token: uuid.UUID, *, now: datetime | None) -> bool:
    """Send one claimed message, whatever comes of it; False when the server can't be reached."""
    try:
        begun = persistently(lambda: begin(pk, token, now=now or timezone.now()))
        if begun is None:
            return True
        failure = attempt(begun)
        persistently(lambda: finish(begun, failure, now=now or timezone.now()))
    except ClaimLost:
        log.warning("claim_lost", message=pk)
        return True
    except AddressChanged:
        release([pk], token)
        return True
    except Exception as error:  # one message must not stop the others
        log.exception("message_error", message=pk)
        give_up_attempt(pk, token, error, now=now or timezone.now())
        return True
    return not isinstance(failure, ConnectionFailure)


def persistently[T](transact: Callable[[], T]) -> T:
    """Run a transaction of ours; again when the database gave it up (a deadlock, a lost connection), up to TRIES times."""
    for _ in range(TRIES - 1):
        try:
            return transact()
        except OperationalError as error:
            log.warning("transaction_again", error=str(error))
            connection.close_if_unusable_or_obsolete()
    return transact()


def attempt(begun: Begun) -> Failure | None:
    """One SMTP transaction; None when the mail was accepted. Raises ClaimLost before anything was sent."""

    def enter_data() -> None:
        if not begun.held.update(phase=Phase.DATA, lease_until=Now() + LEASE):
            raise ClaimLost

    try:
        deliver(begun.mail, before_data=enter_data)
    except Failure as failure:
        return failure
    return None


def begin(pk: int, token: uuid.UUID, *, now: datetime) -> Begun | None:
    """Lock everybody concerned, ask every rule again, render; None when the message is not to be sent now."""
    with transaction.atomic():
        message = lock(pk, token)
        hold = not_needed(message) or hold_reason(message, lead=message.lead, contact_point=message.contact_point, now=now)
        if hold is not None:
            put_off(message, hold, now=now)
            return None
        document = read_document(message.enrollment.version.document) if message.enrollment else None
        try:
            rendered = render_message(message, document, now=now)
        except TemplateProblem as problem:
            end(message, State.FAILED, "template", error=str(problem), happened=False, now=now)
            return None
        store(message, rendered, now=now)
        return Begun(message, make_mail(message, rendered, document=document), token)


def lock(pk: int, token: uuid.UUID) -> Message:
    """The message with its lead, run and address, all locked in order. Raises ClaimLost, AddressChanged."""
    claimed = Message.objects.filter(pk=pk, claim_token=token, state=State.CLAIMED)
    glimpse = claimed.select_related("lead").first()
    if glimpse is None:
        raise ClaimLost
    address = address_of(glimpse)
    points = contact_points([address], lock=True)
    leads = Lead.objects.select_related("company", "owner", "first_source").select_for_update(of=("self",), no_key=True)
    lead = leads.get(pk=glimpse.lead_id)
    runs = Enrollment.objects.select_related("version", "campaign", "event").select_for_update(of=("self",), no_key=True)
    run = runs.get(pk=glimpse.enrollment_id) if glimpse.enrollment_id else None
    message = claimed.select_for_update(no_key=True).first()
    if message is None:
        raise ClaimLost
    if message.lead_id != lead.pk or (lead.email != address and message.kind != Message.Kind.CONFIRMATION):
        raise AddressChanged
    message.lead, message.enrollment = lead, run
    message.to, message.contact_point = address, points.get(hash_address(address))
    return message


def address_of(message: Message) -> str:
    """Where it goes: a confirmation to the address in question, the rest to the lead's address as it is now."""
    return message.to if message.kind == Message.Kind.CONFIRMATION else message.lead.email


def render_message(message: Message, document: CampaignDoc | None, *, now: datetime) -> Rendered:
    """Render a campaign's message from the version its run is pinned to, or a confirmation. Raises TemplateProblem."""
    if document is None:
        return render_confirmation(message)
    step = next((step for step in document.steps if step.key == message.step), None)
    if step is None:
        raise TemplateProblem(f"the campaign has no step {message.step}")
    return render(message, document=document, step=step, now=now)


def store(message: Message, rendered: Rendered, *, now: datetime) -> None:
    """Keep the message as it will be sent, with its links: phase `opened`."""
    message.state, message.phase, message.sending_at = State.SENDING, Phase.OPENED, now
    message.subject, message.text, message.html = rendered.subject, rendered.text, rendered.html
    message.attempts += 1
    message.reason = message.error = ""
    columns = ["state", "phase", "sending_at", "subject", "text", "html", "attempts", "reason", "error", "to", "contact_point"]
    message.save(update_fields=columns)
    Message.objects.filter(pk=message.pk).update(lease_until=Now() + LEASE)
    message.links.all().delete()  # of an earlier attempt, that nobody has seen
    Link.objects.bulk_create([Link(message=message, position=n, url=url) for n, url in enumerate(rendered.links, start=1)])


def put_off(message: Message, hold: Hold, *, now: datetime) -> None:
    """Keep the receipt of a message that is not sent: later, or never."""
    if hold.kind == "later":
        schedule_again(message, hold.until or now + ASK_AGAIN, reason=hold.reason)
        return
    state = State.CANCELED if hold.kind == "exit" else State.SKIPPED
    end(message, state, hold.reason, happened=False, now=now)


def schedule_again(message: Message, due_at: datetime, *, reason: str = "", error: str = "") -> None:
    """Put a message back into the outbox (its row is locked, or still ours)."""
    message.state, message.phase, message.due_at, message.reason = State.SCHEDULED, Phase.NONE, due_at, reason
    let_go(message, error, "phase", "due_at")


def end(message: Message, state: Message.State, reason: str, *, happened: bool, now: datetime, error: str = "") -> None:
    """A message came to its end, and its run goes on (its row is locked, or still ours)."""
    message.state, message.reason, message.ended_at = state, reason[:200], now
    let_go(message, error, "sent_at", "ended_at")
    if message.enrollment_id:
        message_ended(message, happened=happened, now=now)


def let_go(message: Message, error: str, *columns: str) -> None:
    """Write what became of a message, with these columns, and release it."""
    message.error = error[:MAX_ERROR].replace("\x00", "")
    for name, value in Message.released().items():
        setattr(message, name, value)
    always = ["state", "reason", "error", "to", "contact_point", "claim_token", "lease_until", "claim_count"]
    message.save(update_fields=[*always, *columns])


def finish(begun: Begun, failure: Failure | None, *, now: datetime) -> None:
    """Write down how the attempt ended, if the message is still ours."""
    bounced = isinstance(failure, PermanentFailure) and failure.is_bounce
    with transaction.atomic():
        message = begun.message
        if bounced:
            suppress(message, failure, now=now)
        Enrollment.objects.filter(messages=message).select_for_update(no_key=True, of=("self",)).first()
        if begun.held.select_for_update(no_key=True).first() is None:
            heal(begun, failure, now=now)
        elif failure is None:
            message.sent_at = now
            end(message, State.SENT, "", happened=True, now=now)
        elif isinstance(failure, Unclear):
            end(message, State.UNKNOWN, "no_answer", error=str(failure), happened=True, now=now)
        elif isinstance(failure, TemporaryFailure):
            back_off(message, str(failure), now=now)
        else:
            end(message, State.FAILED, "bounce" if bounced else "refused", error=str(failure), happened=False, now=now)


def heal(begun: Begun, failure: Failure | None, *, now: datetime) -> None:
    """We are late: the reaper took the message for lost. If it was accepted after all, it was sent."""
    lost = Message.objects.filter(pk=begun.message.pk, state=State.UNKNOWN, sending_at=begun.message.sending_at)
    if failure is None and lost.update(state=State.SENT, reason="", sent_at=now):
        log.info("message_was_sent_after_all", message=begun.message.pk)
    else:
        log.warning("claim_lost", message=begun.message.pk)


def back_off(message: Message, error: str, *, now: datetime) -> None:
    """Try again later; after the last attempt, or when it would be too late to be of use, the message has failed."""
    wait = pause_after(message)
    if wait is None:
        end(message, State.FAILED, "gave_up", error=error, happened=False, now=now)
    elif message.not_after and now + wait > message.not_after:
        end(message, State.FAILED, "not_after", error=error, happened=False, now=now)
    else:
        schedule_again(message, now + wait, reason="back_off", error=error)


def pause_after(message: Message) -> timedelta | None:
    """How long to wait after this many attempts, ± JITTER by the message's uid; None after the last."""
    if message.attempts > len(BACK_OFF):
        return None
    digest = hashlib.sha256(message.uid.bytes + bytes([message.attempts])).digest()
    share = int.from_bytes(digest[:4]) / 0xFFFFFFFF
    return BACK_OFF[max(message.attempts, 1) - 1] * (1 - JITTER + 2 * JITTER * share)


def suppress(message: Message, failure: Failure | None, *, now: datetime) -> None:
    """The address does not exist: write to it no more, and record the event (ContactPoint is locked first)."""
    point = contact_points([message.to], lock=True)[hash_address(message.to)]
    if not point.suppressed:
        point.suppressed, point.suppressed_at = ContactPoint.Suppression.HARD_BOUNCE, now
        point.save(update_fields=["suppressed", "suppressed_at"])
    message.contact_point = point
    properties = {"message": str(message.uid), "step": message.step, "error": str(failure)}
    record_internal(
        [{"type": "EMAIL_BOUNCED", "messageId": f"bounce:{message.uid}", "leadUid": str(message.first_lead.uid), "properties": properties}]
    )


def give_up_attempt(pk: int, token: uuid.UUID, error: Exception, *, now: datetime) -> None:
    """An error of our own: before DATA the message waits and is tried again, from DATA on it is unknown."""
    with transaction.atomic():
        run = Enrollment.objects.filter(messages=pk).select_for_update(no_key=True, of=("self",)).first()
        message = Message.objects.filter(pk=pk, claim_token=token).select_for_update(no_key=True).first()
        if message is None:
            return
        message.enrollment = run
        text = f"{type(error).__name__}: {error}"
        if message.phase == Phase.DATA:
            end(message, State.UNKNOWN, "error", error=text, happened=True, now=now)
            return
        if message.state == State.CLAIMED:
            message.attempts += 1
            message.save(update_fields=["attempts"])
        back_off(message, text, now=now)


def reap(now: datetime | None = None) -> int:
    """Put messages right whose worker died; returns how many."""
    now = now or timezone.now()
    expired = Message.objects.filter(state__in=[State.CLAIMED, State.SENDING], lease_until__lt=Now())
    reaped = 0
    for pk, token in list(expired.order_by("pk").values_list("pk", "claim_token")):
        with transaction.atomic():
            run = Enrollment.objects.filter(messages=pk).select_for_update(no_key=True, of=("self",)).first()
            message = expired.filter(pk=pk, claim_token=token).select_for_update(no_key=True).first()
            if message is not None:
                message.enrollment = run
                reap_one(message, now=now)
                reaped += 1
    if reaped:
        ring("campaigns.tasks.send")
    return reaped


def reap_one(message: Message, *, now: datetime) -> None:
    """Decide about one message (locked) whose worker died."""
    log.warning("worker_died", message=message.pk, phase=message.phase, claims=message.claim_count)
    if message.phase == Phase.DATA:
        end(message, State.UNKNOWN, "worker_died", happened=True, now=now)
    elif message.claim_count >= MAX_CLAIMS:
        end(message, State.FAILED, "worker_died", error=f"{MAX_CLAIMS} workers died over it", happened=False, now=now)
    else:
        claims = message.claim_count
        schedule_again(message, message.due_at)
        Message.objects.filter(pk=message.pk).update(claim_count=claims)  # so that one that kills workers is found out
