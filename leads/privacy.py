"""Forgetting somebody: the person and everything they did are gone, the promise never to mail them again stays."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Now
from django.utils import timezone

from leads import consents, csv_import, intake, parsing, scoring, whatif
from leads.bell import ring
from leads.messages import Refused
from leads.models import Consent, ContactPoint, Delivery, Event, Identity, Lead, normalize_email

GONE = "[erased]"


class InboxBusy(Exception):
    """A worker is recording something about this person right now; the sentence says what to do."""


@dataclass(slots=True)
class Traces:
    """What names a person: addresses, and the other keys by kind; `uids` are those of the lead rows."""

    addresses: set[str]
    user_ids: set[str] = field(default_factory=set)
    anonymous_ids: set[str] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)

    @property
    def ids(self) -> set[str]:
        """Every key that is not an address."""
        return self.user_ids | self.anonymous_ids | self.uids

    def named_by(self, message: parsing.Incoming) -> bool:
        """Whether the message is about this person."""
        return (
            message.user_id in self.user_ids
            or message.lead_uid in self.uids
            or not self.anonymous_ids.isdisjoint({message.anonymous_id, message.previous_id})
            or message.email in self.addresses
        )

    def address_in(self, value: object) -> bool:
        """Whether one of the addresses stands anywhere in decoded JSON."""
        if isinstance(value, str):
            return any(address in value.lower() for address in self.addresses)
        if isinstance(value, dict):
            return any(self.address_in(part) for pair in value.items() for part in pair)
        return isinstance(value, list) and any(self.address_in(part) for part in value)

    def without_addresses(self, value: Any) -> Any:
        """The same JSON with the addresses replaced."""
        if isinstance(value, str):
            pattern = "|".join(re.escape(address) for address in sorted(self.addresses, key=len, reverse=True))
            return re.sub(pattern, GONE, value, flags=re.IGNORECASE)
        if isinstance(value, dict):
            return {self.without_addresses(key): self.without_addresses(part) for key, part in value.items()}
        return [self.without_addresses(part) for part in value] if isinstance(value, list) else value


@dataclass(slots=True)
class Forgotten:
    """What was done. `deleted` counts rows by model, for example {"leads.Event": 12}."""

    addresses: set[str]
    leads: int = 0
    deleted: Counter[str] = field(default_factory=Counter)
    bodies_emptied: int = 0
    messages_refused: int = 0
    mentions: int = 0
    suppressed: int = 0


def forget(email: str, *, suppress_unknown: bool = False) -> Forgotten:
    """Delete the person with this address and every trace of them; keep their addresses suppressed, by hash.

    1. Drain the inbox, so that what waits is recorded and can be deleted with the rest.
    2. Find every lead the address belongs to, with those merged into it or it was merged into, and lock them.
    3. What still waits (due later, or failing) loses its messages about them; they show as refused in the receipt.
    4. Raw bodies that name them are emptied, the address is blanked in what others did, the rows are deleted.
    An address nobody has is suppressed only when `suppress_unknown`. Raises InboxBusy; then nothing was changed.
    """
    address = normalize_email(email)
    intake.drain_all()
    with transaction.atomic():
        found = find_leads(address)
        traces = traces_of(found, address)
        points = consents.contact_points(traces.addresses, lock=True) if found or suppress_unknown else {}
        leads = scoring.lock_leads(found)
        done = Forgotten(traces.addresses, leads=len(leads), suppressed=suppress(points.values()))
        done.messages_refused = refuse_waiting(traces)
        done.bodies_emptied = empty_bodies(traces, leads)
        done.mentions = blank_mentions(traces, leads)
        blank_receipts(traces)
        csv_import.blank_in_files(traces.without_addresses)
        blank_log(traces, leads.values())
        whatif.forget(leads)
        colleagues = scoring.concerned_by_moves(lead.company_id for lead in leads.values()) - leads.keys()
        done.deleted = delete(leads)
        scoring.refold(colleagues, now=timezone.now(), historical=True)
    return done


def find_leads(address: str) -> set[int]:
    """Ids of the leads that are this person: by key, by what a trusted source said, by merges; visitors who typed the address."""
    found = set(Identity.objects.filter(kind=Identity.Kind.EMAIL, value=address).values_list("lead_id", flat=True))
    found |= set(
        Lead.objects.filter(Q(email__iexact=address) | Q(unconfirmed_email__iexact=address, is_known=False)).values_list("pk", flat=True)
    )
    while True:
        merged = Lead.objects.filter(Q(absorbed__in=found) | Q(merged_into__in=found)).values_list("pk", flat=True)
        if found >= set(merged):
            return found
        found |= set(merged)


def traces_of(leads: Iterable[int], address: str) -> Traces:
    """Collect everything these leads are known by."""
    traces = Traces({address})
    places = {
        Identity.Kind.EMAIL: traces.addresses,
        Identity.Kind.USER_ID: traces.user_ids,
        Identity.Kind.ANONYMOUS_ID: traces.anonymous_ids,
    }
    for kind, value in Identity.objects.filter(lead__in=leads).values_list("kind", "value"):
        places[Identity.Kind(kind)].add(value)
    for uid, email, unconfirmed in Lead.objects.filter(pk__in=leads).values_list("uid", "email", "unconfirmed_email"):
        traces.uids.add(str(uid))
        traces.addresses |= {normalize_email(given) for given in (email, unconfirmed) if given}
    return traces


def refuse_waiting(traces: Traces) -> int:
    """Take the messages about this person out of deliveries that still wait; returns how many messages.

    Each is replaced by null: the neighbors keep their places and ids, and the receipt lists it as refused.
    """
    refused = 0
    for delivery in Delivery.objects.waiting().select_related("source").select_for_update(no_key=True, of=("self",)):
        try:
            opened = parsing.split(parsing.clean(bytes(delivery.body)), Delivery.Door(delivery.door))
        except parsing.BadRequest:
            continue
        about = {message.index for message in messages_of(delivery) if traces.named_by(message)}
        about |= {index for index, item in enumerate(opened.items) if traces.address_in(decoded(item))}
        if not about:
            continue
        if Delivery.objects.filter(pk=delivery.pk, claim_token__isnull=False, lease_until__gt=Now()).exists():
            raise InboxBusy("A worker is recording an event of this person right now. Nothing was changed; run it again in a minute.")
        items = [b"null" if index in about else item for index, item in enumerate(opened.items)]
        body = rebuilt(items, opened, Delivery.Door(delivery.door))
        Delivery.objects.filter(pk=delivery.pk).update(body=body, body_digest="", error="", traceback="")
        ring("leads.tasks.drain_inbox")
        refused += len(about)
    return refused


def messages_of(delivery: Delivery) -> list[parsing.Incoming]:
    """What a delivery would be recorded as."""
    door = Delivery.Door(delivery.door)
    body = bytes(delivery.body)
    return parsing.parse(body, door=door, source=delivery.source, receipt=delivery.receipt, received_at=delivery.received_at)[0]


def decoded(item: bytes) -> Any:
    """One message as Python values, or as text when it is no JSON we read."""
    try:
        return parsing.decode(item)
    except Refused:
        return item.decode("utf-8", "replace")


def rebuilt(items: list[bytes], opened: parsing.Opened, door: Delivery.Door) -> bytes:
    """A body of these messages that reads the same as the one they were taken from."""
    if opened.alone:
        return items[0]
    if door == Delivery.Door.NDJSON:
        return b"\n".join(items)
    messages = b"[" + b",".join(items) + b"]"
    if opened.sent_at is None:
        return messages
    return b'{"sentAt":' + json.dumps(opened.sent_at).encode() + b',"batch":' + messages + b"}"


def empty_bodies(traces: Traces, leads: Iterable[int]) -> int:
    """Empty the stored bodies that brought this person's events or name them; returns how many."""
    kept = Delivery.objects.filter(state=Delivery.State.PROCESSED).exclude(body=b"")
    needles = [re.escape(address.encode()) for address in traces.addresses]
    needles += [b'"' + re.escape(json.dumps(value)[1:-1].encode()) + b'"' for value in traces.ids]
    pattern = re.compile(b"|".join(needles), re.IGNORECASE)
    naming = set(Event.objects.filter(lead__in=leads, delivery__isnull=False).values_list("delivery_id", flat=True))
    for pk, body in kept.values_list("pk", "body").iterator(chunk_size=200):
        if pattern.search(bytes(body)) or (b"\\u" in bytes(body) and traces.address_in(unescaped(bytes(body)))):
            naming.add(pk)
    Delivery.objects.filter(pk__in=naming).update(error="", traceback="")
    return kept.filter(pk__in=naming).update(body=b"")


def unescaped(body: bytes) -> str:
    """The body with its unicode escapes resolved, good enough to look for an address."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), body.decode("utf-8", "replace"))


def blank_mentions(traces: Traces, leads: Iterable[int]) -> int:
    """Blank the addresses in events of other people (somebody invited them, say) and fold those again; returns how many events."""
    Lead.objects.filter(unconfirmed_email__in=traces.addresses).exclude(pk__in=leads).update(unconfirmed_email="")
    said = Event.objects.annotate(said=Cast("properties", TextField()), told=Cast("traits", TextField()))
    mentioned = Q()
    for address in traces.addresses:
        for form in {address, json.dumps(address)[1:-1]}:
            mentioned |= Q(said__icontains=form) | Q(told__icontains=form)
    events = list(said.filter(mentioned).exclude(lead__in=leads).only("lead", "properties", "traits"))
    for event in events:
        event.properties = traces.without_addresses(event.properties)
        event.traits = traces.without_addresses(event.traits)
    Event.objects.bulk_update(events, ["properties", "traits"], batch_size=200)
    if events:
        scoring.refold({event.lead_id for event in events}, now=timezone.now(), historical=True)
    return len(events)


def blank_receipts(traces: Traces) -> None:
    """Blank the addresses where a client used one in the ids it gave its messages or its request."""
    ids = Delivery.objects.annotate(said=Cast("message_ids", TextField()), told=Cast("rejected", TextField()))
    for address in traces.addresses:
        Delivery.objects.filter(idempotency_key__icontains=address).update(idempotency_key=None)
        for delivery in ids.filter(Q(said__icontains=address) | Q(told__icontains=address)).only("message_ids", "rejected"):
            delivery.message_ids = traces.without_addresses(delivery.message_ids)
            delivery.rejected = traces.without_addresses(delivery.rejected)
            delivery.save(update_fields=["message_ids", "rejected"])


def suppress(points: Iterable[ContactPoint]) -> int:
    """Never mail these addresses again. What they agreed to stays, without the texts that prove it; returns how many."""
    pks = [point.pk for point in points]
    Consent.objects.filter(contact_point__in=pks).exclude(proof="").update(proof="")
    return ContactPoint.objects.filter(pk__in=pks).update(suppressed=ContactPoint.Suppression.ERASED, suppressed_at=timezone.now())


def blank_log(traces: Traces, leads: Iterable[Lead]) -> None:
    """Keep who edited what in the admin, but not the person's name or address."""
    about = Q(content_type=ContentType.objects.get_for_model(Lead), object_id__in=[str(lead.pk) for lead in leads])
    for value in traces.addresses | traces.uids | {lead.name for lead in leads if len(lead.name) > 3}:
        about |= Q(object_repr__icontains=value) | Q(change_message__icontains=value)
    LogEntry.objects.filter(about).update(object_repr=GONE, change_message="")


def delete(leads: dict[int, Lead]) -> Counter[str]:
    """Delete the rows of these leads and everything that hangs on them; returns the numbers by model."""
    Lead.objects.filter(merged_into__in=leads).update(merged_into=None)
    return Counter(Lead.objects.filter(pk__in=leads).delete()[1])
