"""What people agreed to hear about, as messages report it; append-only, one lock for each address."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from leads.models import Consent, ContactPoint, Lead, Topic, User, hash_address
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


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody last said about one topic; `consent` None: nothing."""

    topic: Topic
    consent: Consent | None

    @property
    def is_general(self) -> bool:
        """Whether a no to all marketing decides."""
        return self.consent is not None and self.consent.topic_id is None


def words_of(email: str) -> tuple[ContactPoint | None, list[Word]]:
    """The contact point of an address, and the word that decides about each topic (three queries)."""
    return words_of_all([email])[email]


def words_of_all(emails: Iterable[str]) -> dict[str, tuple[ContactPoint | None, list[Word]]]:
    """The same for several addresses, in three queries however many they are."""
    hashes = {email: hash_address(email) if email else "" for email in emails}
    topics = list(Topic.objects.order_by("name"))
    points = {point.address_hash: point for point in ContactPoint.objects.filter(address_hash__in=set(hashes.values()) - {""})}
    newest: dict[int, dict[int | None, Consent]] = {point.pk: {} for point in points.values()}
    for consent in Consent.objects.filter(contact_point__in=newest).order_by("at", "pk") if newest else ():
        newest[consent.contact_point_id][consent.topic_id] = consent
    found = {}
    for email, digest in hashes.items():
        point = points.get(digest)
        said = newest[point.pk] if point else {}
        found[email] = (point, [Word(topic, deciding(said.get(topic.pk), said.get(None))) for topic in topics])
    return found


def deciding(own: Consent | None, general: Consent | None) -> Consent | None:
    """A newer no to all marketing overrides what was said about the topic."""
    denied = general is not None and general.status == Consent.Status.DENIED
    if denied and general and (own is None or (general.at, general.pk) > (own.at, own.pk)):
        return general
    return own


def say_by_hand(lead: Lead, *, topic: Topic | None, status: str, proof: str, by_user: User) -> Consent:
    """Write down what somebody told a colleague, under the lock of their address."""
    with transaction.atomic():
        (point,) = contact_points([lead.email], lock=True).values()
        return Consent.objects.create(
            contact_point=point, topic=topic, status=status, source="by hand", proof=f"{proof} (noted by {by_user})", at=timezone.now()
        )
