"""The one door through which every event enters: from a stored Delivery to events, and what follows from them.

A drained group is one transaction. If anything in it fails, the group is undone and its deliveries are
taken one by one: then the events of a delivery are kept even when scoring or campaigns fail on them; the
delivery is marked failed and its automation is tried again later.

Here and in scoring, rows are asked for `id`: `pk` looks the name of the key up each time, close to 2 % of a drain.
"""

import json
import traceback
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.utils import OperationalError
from django.utils import timezone

from leads import consents, engine, identity, parsing, scoring
from leads.bell import ring
from leads.bulk import among, update_rows
from leads.collector import without_collector
from leads.companies import assign_companies
from leads.event_rows import write_events
from leads.models import Delivery, Event, Lead, Source
from leads.recording import Arrival, Recorded
from leads.signals import events_arriving, events_recorded

log = structlog.get_logger(__name__)

# Short: a group takes a second or two, and its last statement fails when another worker took it over meanwhile.
LEASE = timedelta(seconds=60)
BACK_OFF = [
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
]
# How far back the history of somebody who just became known can still start a campaign.
JOINED_WINDOW = timedelta(days=30)
TRIES = 3
RESULTS = ["stored", "duplicates", "rejected"]
# What is needed of a delivery to read and to close it.
READ_COLUMNS = ["source", "door", "body", "receipt", "received_at", "historical", "message_count", "attempts", *RESULTS]
LEAD: Any = Event._meta.get_field("lead")


class ClaimLost(Exception):
    """Another worker took the deliveries over; this one's work is undone."""


def record_internal(messages: list[dict[str, Any]], *, due_in: timedelta = timedelta(), ring_bell: bool = True) -> Delivery:
    """Post facts the product itself records, as a Delivery of the source `leadstate`.

    Each message is `{type, leadUid}` with optional `messageId`, `timestamp` (ISO 8601), `properties`,
    `traits` and `email` (a confirmed address). Part of the caller's transaction.
    """
    now = timezone.now()
    for message in messages:
        message.setdefault("messageId", str(uuid.uuid4()))
        message.setdefault("timestamp", now.isoformat())
    delivery = Delivery.objects.create(
        source=Source.built_in(),
        door=Delivery.Door.INTERNAL,
        body=json.dumps(messages).encode(),
        message_count=len(messages),
        message_ids=[message["messageId"] for message in messages],
        received_at=now,
        due_at=now + due_in,
    )
    if ring_bell and not due_in:
        ring("leads.tasks.drain_inbox")
    return delivery


def record_now(messages: list[dict[str, Any]]) -> list[Event]:
    """Post facts the product itself records and take them in at once, in the caller's request: who edits sees the edit.

    Messages as for `record_internal`; one about somebody new names them by `email` or `userId` instead of `leadUid`.
    Raises what the automation raises: nothing is stored then.
    """
    token = uuid.uuid4()
    with transaction.atomic():
        delivery = record_internal(messages, ring_bell=False)
        Delivery.objects.filter(pk=delivery.id).update(claim_token=token)
        with_retries([delivery.id], token)
        return list(delivery.events.select_related("lead").order_by("pk"))


def confirm_email(lead: Lead, email: str) -> Delivery:
    """Record that the owner of this address confirmed it: it becomes a key of the lead, or joins the lead to its owner."""
    return record_internal([{"type": "EMAIL_CONFIRMED", "leadUid": str(lead.uid), "email": email}])


def group_size() -> int:
    """How many events one transaction takes: on SQLite few, since nobody else can write meanwhile."""
    return 200 if connection.vendor == "sqlite" else 1000


def drain_all() -> int:
    """Drain until nothing is due; returns the number of deliveries taken."""
    taken = 0
    while count := drain():
        taken += count
    return taken


def drain() -> int:
    """Claim one group of due deliveries and record them; returns how many were taken (0: nothing is due)."""
    candidates = Delivery.objects.due(timezone.now()).only("pk", "message_count", "claim_count", "attempts")
    token, pks = candidates.claim(group_size(), lease=LEASE, choose=choose_group)
    if not pks:
        return 0
    try:
        with without_collector():
            with_retries(pks, token)
    except ClaimLost:
        log.warning("claim_lost", deliveries=len(pks))
    except Exception as error:
        log.warning("group_failed", deliveries=len(pks), error=repr(error))
        for pk in pks:
            drain_alone(pk, token)
    return len(pks)


def choose_group(candidates: list[Delivery]) -> list[Delivery]:
    """Take deliveries until their events fill a group; one that failed or killed a worker before is taken alone."""
    group: list[Delivery] = []
    events = 0
    for delivery in candidates:
        suspicious = delivery.claim_count > 0 or delivery.attempts > 0
        if group and (suspicious or events + delivery.message_count > group_size()):
            break
        group.append(delivery)
        events += delivery.message_count
        if suspicious:
            break
    return group


def with_retries(pks: list[int], token: uuid.UUID) -> None:
    """Record a group in one transaction."""

    def record_group() -> None:
        with transaction.atomic():
            record(load(pks), token=token)

    again_if_others_interfere(record_group)


def again_if_others_interfere(work: Callable[[], None]) -> None:
    """Do a piece of work in a transaction of its own; a deadlock, or a key another worker was quicker with, starts it over."""
    for attempt in range(TRIES):
        try:
            work()
        except (identity.GroupChanged, OperationalError):
            if attempt == TRIES - 1:
                raise
        else:
            return


def load(pks: Iterable[int]) -> list[Delivery]:
    """The claimed deliveries, oldest first."""
    deliveries = Delivery.objects.filter(pk__in=among(pks)).only(*READ_COLUMNS)
    return list(deliveries.prefetch_related("source").order_by("due_at", "pk"))


def record(deliveries: list[Delivery], *, token: uuid.UUID) -> None:
    """Store the events of these deliveries, let everything follow from them, and close the deliveries."""
    now = timezone.now()
    stored = store(deliveries, now=now)
    automate(stored)
    close(deliveries, token=token, now=now)


def drain_alone(pk: int, token: uuid.UUID) -> None:
    """Record one delivery: its events in an outer savepoint, what follows from them in an inner one.

    1. Both work: the delivery is processed.
    2. Automation fails: the events stay, the delivery is failed and due again later.
    3. Storing fails: nothing stays, the delivery is failed and due again later.
    """
    try:
        again_if_others_interfere(lambda: keep_events(pk, token))
    except ClaimLost:
        log.warning("claim_lost", deliveries=1)
    except Exception as error:
        with transaction.atomic():
            postpone(load([pk])[0], error, token=token, now=timezone.now())


def keep_events(pk: int, token: uuid.UUID) -> None:
    """Record one delivery whose events stay even if what follows from them fails."""
    with transaction.atomic():
        deliveries = load([pk])
        now = timezone.now()
        stored = store(deliveries, now=now)
        try:
            with transaction.atomic():
                automate(stored)
        except Exception as error:
            postpone(deliveries[0], error, token=token, now=now)
        else:
            close(deliveries, token=token, now=now)


def close(deliveries: list[Delivery], *, token: uuid.UUID, now: datetime) -> None:
    """Mark deliveries processed; raises ClaimLost when another worker holds one of them now."""
    for delivery in deliveries:
        delivery.state, delivery.processed_at, delivery.error, delivery.traceback = Delivery.State.PROCESSED, now, "", ""
    columns = ["state", "processed_at", "error", "traceback", *RESULTS]
    write_back(deliveries, columns, token=token)


def postpone(delivery: Delivery, error: Exception, *, token: uuid.UUID, now: datetime) -> None:
    """Mark one delivery failed, with the error for staff, due again after a growing pause."""
    wait = BACK_OFF[min(delivery.attempts, len(BACK_OFF) - 1)]
    delivery.state, delivery.due_at = Delivery.State.FAILED, now + wait
    delivery.error = f"{type(error).__name__}: {error}"[:2000].replace("\x00", "")
    delivery.traceback = "".join(traceback.format_exception(error))[-8000:].replace("\x00", "")
    delivery.attempts += 1
    log.error("delivery_failed", receipt=str(delivery.receipt), attempts=delivery.attempts, error=type(error).__name__)
    write_back([delivery], ["state", "due_at", "error", "traceback", "attempts", *RESULTS], token=token)


def write_back(deliveries: list[Delivery], columns: list[str], *, token: uuid.UUID) -> None:
    """Write results and give the claim back, if it is still ours."""
    rows = [[delivery.id, *(getattr(delivery, name) for name in columns), None, None, 0, token] for delivery in deliveries]
    released = ["claim_token", "lease_until", "claim_count"]
    written = update_rows(Delivery, rows, columns=[*columns, *released], unless_changed=["claim_token"])
    if len(written) != len(deliveries):
        raise ClaimLost


@dataclass(slots=True)
class Stored:
    """The events to automate: new ones, those of an earlier failed try, and history that just joined."""

    events: list[Event]
    recorded: Recorded


def store(deliveries: list[Delivery], *, now: datetime) -> Stored:
    """Parse, tell new messages from repeated ones, find the people, and store the events."""
    arrivals = [arrival for delivery in deliveries for arrival in read(delivery)]
    fresh, again = sort_out(arrivals)
    events_arriving.send(sender=None, arrivals=fresh)
    granted = consents.lock(fresh)
    directory = identity.Directory(fresh, now=now)
    directory.place_all()
    merges = directory.merge()
    leads = directory.leads()
    moved = companies_left(directory, merges) | assign_and_compare(fresh, leads)
    write_people(leads, told=told_about(fresh) | set(merges.values()))
    model = scoring.live_model()
    new = write_events(fresh, version_id=model.version if model else None)
    consents.write([arrival for arrival in fresh if arrival.event], granted)
    count_results(deliveries, new, again)
    others = scoring.lock_leads({event.lead_id for event in again} - leads.keys())
    if any(lead.merged_into_id for lead in others.values()):
        raise identity.GroupChanged
    leads |= others
    joined = joined_history({*merges.values(), *directory.newly_known()}, new, now=now)
    events = sorted([*new, *again, *joined], key=lambda event: (event.at, event.source_id, event.message_id))
    for event in events:  # one object for each lead: what one step changes, the next one sees
        LEAD.set_cached_value(event, leads[event.lead_id])
    refold = {*merges.values(), *(event.lead_id for event in again), *scoring.concerned_by_moves(moved)}
    recorded = Recorded(now, types_of(events, model), joined=frozenset(event.id for event in joined), refold=refold)
    return Stored(events, recorded)


def companies_left(directory: identity.Directory, merges: dict[int, int]) -> set[int | None]:
    """The companies of leads that were merged: for their colleagues, other events count now."""
    people = directory.people
    return {people[pk].lead.company_id for pair in merges.items() for pk in pair if pk in people}


def assign_and_compare(arrivals: list[Arrival], leads: dict[int, Lead]) -> set[int | None]:
    """Give the leads their companies; returns those somebody joined or left."""
    before = {pk: lead.company_id for pk, lead in leads.items()}
    assign_companies(arrivals)
    return {company for pk, lead in leads.items() if lead.company_id != before[pk] for company in (before[pk], lead.company_id)}


def told_about(arrivals: list[Arrival]) -> set[int]:
    """The leads of which messages give an address or say something."""
    return {arrival.lead.id for arrival in arrivals if arrival.incoming.email or arrival.incoming.traits}


def write_people(leads: dict[int, Lead], *, told: set[int]) -> None:
    """Save what messages told about the leads besides traits: company, unconfirmed address, first sight."""
    rows = [(pk, lead.company_id, lead.unconfirmed_email, lead.first_seen_at) for pk, lead in leads.items() if pk in told]
    update_rows(Lead, rows, columns=["company", "unconfirmed_email", "first_seen_at"])


def automate(stored: Stored) -> None:
    """Send the events to scoring, gates and campaigns."""
    if stored.events:
        events_recorded.send(sender=None, events=stored.events, recorded=stored.recorded)


def read(delivery: Delivery) -> list[Arrival]:
    """Parse a delivery's body; what is refused only now (a key's rights changed) joins its receipt."""
    messages, rejected = parsing.parse(
        bytes(delivery.body),
        door=Delivery.Door(delivery.door),
        source=delivery.source,
        receipt=delivery.receipt,
        received_at=delivery.received_at,
    )
    known = {(reject["index"], reject["code"]) for reject in delivery.rejected}
    delivery.rejected += [
        {"index": r.index, "messageId": r.messageId, "code": r.code, "message": r.message}
        for r in rejected
        if (r.index, r.code) not in known
    ]
    return [Arrival(message, delivery) for message in messages]


def sort_out(arrivals: list[Arrival]) -> tuple[list[Arrival], list[Event]]:
    """Split arrivals into new ones and the events an earlier try of the same delivery stored already.

    The rest are repeats: counted as duplicates, or refused as a conflict when their content differs.
    """
    ids = {arrival.incoming.message_id for arrival in arrivals}
    sources = {arrival.delivery.source_id for arrival in arrivals}
    stored = (
        Event.objects.filter(message_id__in=among(ids, "text"), source__in=sources).select_related("lead").defer("properties", "traits")
    )
    seen = {(event.source_id, event.message_id): event for event in stored}
    digests = {key: event.content_digest for key, event in seen.items()}
    fresh: list[Arrival] = []
    again: dict[int, Event] = {}
    for arrival in arrivals:
        key = (arrival.delivery.source_id, arrival.incoming.message_id)
        event = seen.get(key)
        if event and event.delivery_id == arrival.delivery.id and event.content_digest == arrival.incoming.digest:
            again[event.id] = event
        elif key not in digests:
            digests[key] = arrival.incoming.digest
            fresh.append(arrival)
        elif digests[key] != arrival.incoming.digest:
            refuse(arrival, "idempotency_conflict", "this messageId was used before with other content; the first one is kept")
    return fresh, list(again.values())


def refuse(arrival: Arrival, code: str, message: str) -> None:
    """Add a line to the receipt of the arrival's delivery, once."""
    line = {"index": arrival.incoming.index, "messageId": arrival.incoming.message_id, "code": code, "message": message}
    if line not in arrival.delivery.rejected:
        arrival.delivery.rejected.append(line)


def count_results(deliveries: list[Delivery], new: list[Event], again: list[Event]) -> None:
    """Fill in the receipts: how many messages were stored, how many had been stored before."""
    stored = dict.fromkeys((delivery.id for delivery in deliveries), 0)
    for event in (*new, *again):
        stored[event.delivery_id] += 1  # type: ignore[index]
    for delivery in deliveries:
        conflicts = sum(1 for line in delivery.rejected if line["code"] == "idempotency_conflict")
        delivery.stored = stored[delivery.id]
        delivery.duplicates = max(0, delivery.message_count - delivery.stored - conflicts)


def joined_history(lead_pks: set[int], new: list[Event], *, now: datetime) -> list[Event]:
    """Recent events of leads that just became known or were merged in: they count as triggers from now on."""
    if not lead_pks:
        return []
    recent = Event.objects.filter(lead__in=lead_pks, at__gte=now - JOINED_WINDOW)
    return list(recent.exclude(pk__in=[event.id for event in new]))


def types_of(events: list[Event], model: engine.Model | None) -> dict[int, tuple[str, ...]]:
    """Each event's own type and those the live model derives from it."""
    return {event.id: model.types_of(event.type, event.properties) if model else (event.type,) for event in events}
