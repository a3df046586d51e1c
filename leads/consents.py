"""What people agreed to hear about, as messages report it; append-only, one lock for each address."""

from collections.abc import Iterable
from dataclasses import dataclass

from leads.models import Consent, ContactPoint, Topic, hash_address
from leads.recording import Arrival


@dataclass(slots=True)
class Granted:
    """The contact points a group's consents belong to, locked; and the topics by key."""

    points: dict[str, ContactPoint]
    topics: dict[str, Topic]


def contact_points(emails: Iterable[str], *, lock: bool) -> dict[str, ContactPoint]:
    """The contact points of these addresses by hash, made where missing; locked in hash order when asked to."""
    hashes = sorted({hash_address(email) for email in emails if email})
    if not hashes:
        return {}
    ContactPoint.objects.bulk_create([ContactPoint(address_hash=value) for value in hashes], ignore_conflicts=True)
    rows = ContactPoint.objects.filter(address_hash__in=hashes).order_by("pk")
    return {point.address_hash: point for point in (rows.select_for_update(no_key=True) if lock else rows)}


def lock(arrivals: list[Arrival]) -> Granted | None:
    """Lock the addresses whose consent these arrivals change (before any lead is locked: ContactPoint → Lead)."""
    emails = [arrival.email for arrival in arrivals if arrival.incoming.consent and arrival.email]
    if not any(arrival.incoming.consent for arrival in arrivals):
        return None
    return Granted(contact_points(emails, lock=True), {topic.key: topic for topic in Topic.objects.all()})


def write(arrivals: list[Arrival], granted: Granted | None) -> None:
    """Append the consents of newly stored messages. What can't be recorded is told in the receipt; the event is kept."""
    if granted is None:
        return
    rows = []
    for arrival in arrivals:
        email = arrival.email or arrival.lead.email
        for key, status in arrival.incoming.consent.items():
            topic = granted.topics.get(key)
            if topic is None:
                note(arrival, "unknown_topic", f"there is no topic {key!r}; the event was stored, its consent was not")
                continue
            if not email:
                note(arrival, "consent_without_email", "consent belongs to an address and this person has none; the event was stored")
                continue
            rows.append(consent_for(arrival, granted, topic=topic, status=status, email=email))
    Consent.objects.bulk_create(rows)


def consent_for(arrival: Arrival, granted: Granted, *, topic: Topic, status: str, email: str) -> Consent:
    """One consent (not saved)."""
    digest = hash_address(email)
    if digest not in granted.points:
        granted.points |= contact_points([email], lock=False)
    return Consent(
        contact_point=granted.points[digest],
        topic=topic,
        status=status,
        source=arrival.delivery.source.name,
        proof=arrival.incoming.proof,
        at=arrival.incoming.at,
    )


def note(arrival: Arrival, code: str, message: str) -> None:
    """Add a line to the arrival's receipt, once."""
    line = {"index": arrival.incoming.index, "messageId": arrival.incoming.message_id, "code": code, "message": message}
    if line not in arrival.delivery.rejected:
        arrival.delivery.rejected.append(line)
