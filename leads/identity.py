"""Who is this: which lead a message belongs to, which keys attach to it, and which leads turn out to be one.

The rules (user id over email over anonymous id):
1. The event goes to the lead that owns the highest of the message's keys. An anonymous id lends its lead
   only to somebody it could be: a known lead with another user id or address stays apart (shared device).
2. Keys nobody owns attach to that lead.
3. A key of an anonymous lead merges that lead in.
4. A key of another known lead stays there and the pair is queued once for review, except that a lead with
   only a user id and a lead with only an address, named together by a trusted key, are one person.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import OuterRef, Q, Subquery

from leads import scoring
from leads.bulk import among, update_rows
from leads.models import Event, FoldState, Identity, Lead, MergeReview, ScoreEntry
from leads.recording import Arrival
from leads.signals import leads_merged

Kind = Identity.Kind
Key = tuple[str, str]


class GroupChanged(Exception):
    """Another worker gave one of the keys to a lead meanwhile; the group starts over."""


@dataclass(slots=True, eq=False)
class Person:
    """A lead as this group sees it: the row, its keys, and what became of it."""

    lead: Lead
    keys: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in Kind})
    absorbed_by: "Person | None" = None
    was_known: bool = False

    @property
    def root(self) -> "Person":
        """The person this one was merged into, at the end of the chain."""
        person = self
        while person.absorbed_by:
            person = person.absorbed_by
        return person

    @property
    def known(self) -> bool:
        """Has a user id or a confirmed address (or was entered by hand)."""
        return bool(self.lead.is_known or self.keys[Kind.USER_ID] or self.keys[Kind.EMAIL])

    def could_be(self, named: dict[str, str]) -> bool:
        """Whether the one who sent `named` may be this person, going by nothing but a shared anonymous id."""
        return not self.known or all(
            not self.keys[kind] or kind not in named or named[kind] in self.keys[kind] for kind in (Kind.USER_ID, Kind.EMAIL)
        )

    def completes(self, other: "Person") -> bool:
        """Whether one has only user ids and the other only addresses."""
        mine, theirs = self.keys, other.keys
        return not (mine[Kind.USER_ID] and theirs[Kind.USER_ID]) and not (mine[Kind.EMAIL] and theirs[Kind.EMAIL])


def keys_of(arrival: Arrival) -> list[Key]:
    """The keys a message names its person by, the highest first."""
    message = arrival.incoming
    named = [
        (Kind.USER_ID, message.user_id),
        (Kind.EMAIL, arrival.email),
        (Kind.ANONYMOUS_ID, message.anonymous_id),
        (Kind.ANONYMOUS_ID, message.previous_id),
    ]
    return [(str(kind), value) for kind, value in named if value]


class Directory:
    """The people a group of messages is about: looked up, locked, joined and written in a fixed number of statements."""

    def __init__(self, arrivals: list[Arrival], *, now: datetime) -> None:
        self.arrivals = arrivals
        self.now = now
        self.owners: dict[Key, Person] = {}
        self.people: dict[int, Person] = {}
        self.by_uid: dict[str, Person] = {}
        self.new: list[Person] = []
        self.attached: list[tuple[Key, Person]] = []
        self.reviews: dict[tuple[Person, Person], str] = {}

    def place_all(self) -> None:
        """Give every arrival its lead. Raises GroupChanged when another worker was quicker with one of the keys."""
        wanted = {key for arrival in self.arrivals for key in keys_of(arrival)}
        uids = {arrival.incoming.lead_uid for arrival in self.arrivals if arrival.incoming.lead_uid}
        self.lock(wanted, uids)
        placed = [(arrival, self.place(arrival)) for arrival in self.arrivals]
        Lead.objects.bulk_create([person.lead for person in self.new])
        for arrival, person in placed:
            arrival.lead = person.root.lead
        self.write_keys()
        self.write_reviews()

    def lock(self, wanted: set[Key], uids: set[str]) -> None:
        """Look the keys up without locks, lock their leads in pk order, look again under the locks."""
        found = {row[2] for row in owners_of(wanted)}
        for pk, survivor_pk in Lead.objects.filter(uid__in=uids).values_list("pk", "merged_into_id"):
            found |= {pk, survivor_pk or pk}
        rows = scoring.lock_leads(found)
        self.people = {pk: Person(lead, was_known=lead.is_known) for pk, lead in rows.items()}
        for kind, value, lead_id in Identity.objects.filter(lead__in=among(rows)).values_list("kind", "value", "lead_id"):
            self.people[lead_id].keys[kind].add(value)
        for kind, value, lead_id in owners_of(wanted):
            if lead_id not in rows:
                raise GroupChanged
            self.owners[kind, value] = self.people[lead_id]
        for person in self.people.values():
            survivor = self.people.get(person.lead.merged_into_id or 0, person)
            self.by_uid[str(person.lead.uid)] = survivor

    def place(self, arrival: Arrival) -> Person:
        """The person one message belongs to, after attaching its keys and joining what belongs together."""
        keys = keys_of(arrival)
        named = {kind: value for kind, value in reversed(keys)}
        target = self.owner_of_highest(keys, named)
        if arrival.incoming.lead_uid:
            itself = self.by_uid.get(arrival.incoming.lead_uid)
            if itself and target and target is not itself.root:
                self.join(target, itself.root, why="confirmed the same address", trusted=True)
            target = target or (itself.root if itself else None)
        target = target or self.add_person(arrival)
        for kind, value in keys:
            owner = self.owners.get((kind, value))
            if owner is None:
                self.attach((kind, value), target)
            elif owner.root is not target:
                trusted = arrival.trusted and kind != Kind.ANONYMOUS_ID
                self.join(target, owner.root, why=f"{arrival.incoming.type} named both by {kind}", trusted=trusted)
        self.note_unconfirmed(arrival, target.lead)
        return target

    def note_unconfirmed(self, arrival: Arrival, lead: Lead) -> None:
        """Keep an address that a browser key brought; forget it once the address is confirmed."""
        if arrival.email and arrival.email == lead.unconfirmed_email:
            lead.unconfirmed_email = ""
        elif not arrival.trusted and arrival.incoming.email and arrival.incoming.email != lead.email:
            lead.unconfirmed_email = lead.unconfirmed_email or arrival.incoming.email

    def owner_of_highest(self, keys: list[Key], named: dict[str, str]) -> Person | None:
        """The owner of the highest key that somebody owns and may lend."""
        for kind, value in keys:
            owner = self.owners.get((kind, value))
            if owner and (kind != Kind.ANONYMOUS_ID or owner.root.could_be(named)):
                return owner.root
        return None

    def add_person(self, arrival: Arrival) -> Person:
        """A lead for somebody nobody has heard of."""
        at = arrival.incoming.at
        lead = Lead(first_source=arrival.delivery.source, first_seen_at=at, stage_since=at, created_at=self.now)
        person = Person(lead)
        self.new.append(person)
        return person

    def attach(self, key: Key, person: Person) -> None:
        """Give a key nobody owns to a person."""
        self.owners[key] = person
        self.attached.append((key, person))
        person.keys[key[0]].add(key[1])

    def join(self, target: Person, other: Person, *, why: str, trusted: bool) -> None:
        """Merge another person in, or queue the pair for review."""
        if not other.known or (trusted and target.known and target.completes(other)):
            other.absorbed_by = target
            for kind, values in other.keys.items():
                target.keys[kind] |= values
            target.lead.unconfirmed_email = target.lead.unconfirmed_email or other.lead.unconfirmed_email
            target.lead.first_seen_at = min(target.lead.first_seen_at, other.lead.first_seen_at)
        else:
            self.reviews.setdefault((target, other), why)

    def write_keys(self) -> None:
        """Store the new keys; a key another worker stored first makes the group start over."""
        rows = [
            Identity(kind=kind, value=value, lead=person.root.lead, first_lead=person.lead, created_at=self.now)
            for (kind, value), person in self.attached
        ]
        Identity.objects.bulk_create(rows, ignore_conflicts=True)
        expected = {(row.kind, row.value): row.lead_id for row in rows}
        if expected and {(kind, value): lead for kind, value, lead in owners_of(set(expected))} != expected:
            raise GroupChanged

    def write_reviews(self) -> None:
        """Queue pairs of known leads, each pair once for ever."""
        pairs = {tuple(sorted((one.root.lead.pk, two.root.lead.pk))): why for (one, two), why in self.reviews.items()}
        MergeReview.objects.bulk_create(
            [
                MergeReview(low_id=low, high_id=high, why=why[:200], created_at=self.now)
                for (low, high), why in pairs.items()
                if low != high
            ],
            ignore_conflicts=True,
        )

    def merges(self) -> dict[int, int]:
        """Absorbed lead id → survivor's id."""
        everyone = [*self.people.values(), *self.new]
        return {person.lead.pk: person.root.lead.pk for person in everyone if person.absorbed_by}

    def leads(self) -> dict[int, Lead]:
        """Every lead of the group that was not absorbed, by id."""
        everyone = [*self.people.values(), *self.new]
        return {person.lead.pk: person.lead for person in everyone if not person.absorbed_by}

    def newly_known(self) -> set[int]:
        """Leads that were anonymous before this group and are known now."""
        return {person.lead.pk for person in self.people.values() if not person.was_known and not person.absorbed_by and person.known}


def owners_of(keys: Iterable[Key]) -> list[tuple[str, str, int]]:
    """(kind, value, lead id) of those keys that somebody owns, in one query."""
    by_kind: dict[str, list[str]] = {}
    for kind, value in keys:
        by_kind.setdefault(kind, []).append(value)
    if not by_kind:
        return []
    matches = Q()
    for kind, values in by_kind.items():
        matches |= Q(kind=kind, value__in=among(values, "text"))
    return list(Identity.objects.filter(matches).values_list("kind", "value", "lead_id"))


def merge_leads(merges: dict[int, int]) -> None:
    """Move everything of the absorbed leads to their survivors; both are locked by the caller.

    The absorbed row stays and points to its survivor; events and ledger lines keep `first_lead`, so a merge
    can be told apart later. Transitions stay with the lead that made them. The caller refolds the survivors.
    """
    if not merges:
        return
    update_rows(Lead, sorted(merges.items()), columns=["merged_into"])
    Lead.objects.filter(merged_into__in=merges).update(merged_into=survivor_of("merged_into_id"))
    for model in (Identity, Event, ScoreEntry):
        model.objects.filter(lead__in=merges).update(lead_id=survivor_of("lead_id"))
    FoldState.objects.filter(lead__in=merges).delete()  # or what is still to expire would be taken back a second time
    leads_merged.send(sender=None, merges=merges)


def survivor_of(column: str) -> Subquery:
    """The survivor of the absorbed lead that `column` names, for an UPDATE."""
    return Subquery(Lead.objects.filter(pk=OuterRef(column)).values("merged_into_id")[:1])
