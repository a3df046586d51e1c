"""Who is this: which lead a message belongs to, which keys attach to it, and which leads turn out to be one.

The rules (user id over email over anonymous id):
1. The event goes to the lead that owns the highest of the message's keys. An anonymous id lends its lead
   only to somebody it could be: a known lead with another user id or address stays apart (shared device).
2. Keys nobody owns attach to that lead.
3. A key of an anonymous lead merges that lead in.
4. A key of another known lead stays there and the pair is queued once for review, except that a lead with
   only a user id and a lead with only an address, named together by a trusted key, are one person.
5. Two leads that a colleague took or kept apart are neither merged nor queued again.

Every key and every event remembers its `first_lead`: whose key named it, also where that lead was merged into
another long ago. So a merge can be taken apart exactly (leads/merging.py).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from django.db.models import Q

from leads import scoring
from leads.bulk import among, update_rows
from leads.merging import TAKEN, merge_leads, take_over
from leads.models import Identity, Lead, Merge, MergeReview
from leads.recording import Arrival

Kind = Identity.Kind
Key = tuple[str, str]
# Stands for the first lead of a message until it is known.
NOBODY = Lead()


class GroupChanged(Exception):
    """Another worker gave one of the keys to a lead meanwhile; the group starts over."""


@dataclass(slots=True, eq=False)
class Person:
    """A lead as this group sees it: the row, its keys, and what became of it."""

    lead: Lead
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    absorbed_by: "Person | None" = None
    into: Lead | None = None  # who named it: `absorbed_by`, or one that is part of that
    why: str = ""
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
    return [(kind.value, value) for kind, value in named if value]


class Directory:
    """The people a group of messages is about: looked up, locked, joined and written in a fixed number of statements."""

    def __init__(self, arrivals: list[Arrival], *, now: datetime) -> None:
        self.arrivals = arrivals
        self.now = now
        self.owners: dict[Key, Person] = {}
        self.first_leads: dict[Key, Lead] = {}
        self.people: dict[int, Person] = {}
        self.by_uid: dict[str, tuple[Person, Lead]] = {}
        self.new: list[Person] = []
        self.attached: list[tuple[Key, Person]] = []
        self.reviews: dict[tuple[Person, Person], str] = {}

    def place_all(self) -> None:
        """Give every arrival its lead. Raises GroupChanged when another worker was quicker with one of the keys."""
        keys = [keys_of(arrival) for arrival in self.arrivals]
        wanted = set(chain.from_iterable(keys))
        uids = {arrival.incoming.lead_uid for arrival in self.arrivals if arrival.incoming.lead_uid}
        self.lock(wanted, uids)
        placed = [(arrival, self.place(arrival, theirs)) for arrival, theirs in zip(self.arrivals, keys, strict=True)]
        Lead.objects.bulk_create([person.lead for person in self.new])
        for arrival, person in placed:
            arrival.lead = person.root.lead
        self.write_keys()
        self.write_reviews()

    def lock(self, wanted: set[Key], uids: set[str]) -> None:
        """Look the keys up without locks, lock their leads in pk order, look again under the locks.

        A key that went to somebody else in between looks like one nobody owns, until `write_keys` finds it taken.
        Colleagues who are folded too are locked with them: whoever locks them later may meet somebody who comes the other way.
        """
        found = {row.lead_id for row in owners_of(wanted)}
        for pk, survivor_pk in Lead.objects.filter(uid__in=uids).values_list("pk", "merged_into_id"):
            found |= {pk, survivor_pk or pk}
        types, told = {arrival.incoming.type for arrival in self.arrivals}, any("company" in each.incoming.traits for each in self.arrivals)
        locked = scoring.lock_leads(found | scoring.colleagues_of(found, types, told=told))
        rows = {pk: locked[pk] for pk in sorted(found) if pk in locked}
        self.people = {pk: Person(lead, was_known=lead.is_known) for pk, lead in rows.items()}
        for kind, value, lead_id, first_lead_id in Identity.objects.filter(lead__in=among(rows)).values_list(*Owned._fields):
            person = self.people[lead_id]
            person.keys[kind].add(value)
            if (kind, value) in wanted:
                self.owners[kind, value] = person
                self.first_leads[kind, value] = person.lead if first_lead_id == lead_id else Lead(pk=first_lead_id)
        for pk, person in self.people.items():
            if (survivor := person.lead.merged_into_id or pk) not in rows:
                raise GroupChanged
            if uids:
                self.by_uid[str(person.lead.uid)] = (self.people[survivor], person.lead)

    def place(self, arrival: Arrival, keys: list[Key]) -> Person:
        """The person one message belongs to, after attaching its keys and joining what belongs together."""
        named = {kind: value for kind, value in reversed(keys)}
        target, arrival.first_lead = self.owner_of_highest(keys, named) or (None, NOBODY)
        if arrival.incoming.lead_uid in self.by_uid:
            itself, first_lead = self.by_uid[arrival.incoming.lead_uid]
            if target is None:
                target, arrival.first_lead = itself.root, first_lead
            elif target is not itself.root:
                self.join(target, itself.root, arrival, why="confirmed the same address", trusted=True)
        if target is None:
            target = self.add_person(arrival)
            arrival.first_lead = target.lead
        for kind, value in keys:
            owner = self.owners.get((kind, value))
            if owner is None:
                self.attach((kind, value), target, arrival)
            elif owner.root is not target:
                trusted = arrival.trusted and kind != Kind.ANONYMOUS_ID
                self.join(target, owner.root, arrival, why=f"{arrival.incoming.type} named both by {kind}", trusted=trusted)
        self.note_unconfirmed(arrival, target.lead)
        return target

    def note_unconfirmed(self, arrival: Arrival, lead: Lead) -> None:
        """Keep an address that a browser key brought; forget it once the address is confirmed."""
        if arrival.email and arrival.email == lead.unconfirmed_email:
            lead.unconfirmed_email = ""
        elif not arrival.trusted and arrival.incoming.email and arrival.incoming.email != lead.email:
            lead.unconfirmed_email = lead.unconfirmed_email or arrival.incoming.email

    def owner_of_highest(self, keys: list[Key], named: dict[str, str]) -> tuple[Person, Lead] | None:
        """The owner of the highest key that somebody owns and may lend, and the lead that the key came with."""
        for kind, value in keys:
            owner = self.owners.get((kind, value))
            if owner and (kind != Kind.ANONYMOUS_ID or owner.root.could_be(named)):
                return owner.root, self.first_leads[kind, value]
        return None

    def add_person(self, arrival: Arrival) -> Person:
        """A lead for somebody nobody has heard of."""
        at = arrival.incoming.at
        lead = Lead(first_source=arrival.delivery.source, first_seen_at=at, stage_since=at, created_at=self.now)
        person = Person(lead)
        self.new.append(person)
        return person

    def attach(self, key: Key, person: Person, arrival: Arrival) -> None:
        """Give a key nobody owns to a person."""
        self.owners[key], self.first_leads[key] = person, arrival.first_lead
        self.attached.append((key, person))
        person.keys[key[0]].add(key[1])

    def join(self, target: Person, other: Person, arrival: Arrival, *, why: str, trusted: bool) -> None:
        """Merge another person in, or queue the pair for review."""
        if frozenset((target.lead.id, other.lead.id)) in self.kept_apart:
            return
        if not other.known or (trusted and target.known and target.completes(other)):
            other.absorbed_by, other.into, other.why = target, arrival.first_lead, why
            for kind, values in other.keys.items():
                target.keys[kind] |= values
            take_over(target.lead, other.lead)
        else:
            self.reviews.setdefault((target, other), why)

    @cached_property
    def kept_apart(self) -> set[frozenset[int]]:
        """Pairs of this group's leads that colleagues said are two people; asked for when the first two are to be joined."""
        return MergeReview.objects.kept_apart(self.people)

    def write_keys(self) -> None:
        """Store the new keys; a key another worker stored first makes the group start over."""
        rows = [
            Identity(kind=key[0], value=key[1], lead=person.root.lead, first_lead_id=self.first_leads[key].id, created_at=self.now)
            for key, person in self.attached
        ]
        Identity.objects.bulk_create(rows, ignore_conflicts=True)
        expected = {(row.kind, row.value): row.lead_id for row in rows}
        if expected and {(row.kind, row.value): row.lead_id for row in owners_of(set(expected))} != expected:
            raise GroupChanged

    def write_reviews(self) -> None:
        """Queue pairs of known leads, each pair once for ever."""
        pairs = {tuple(sorted((one.root.lead.id, two.root.lead.id))): why for (one, two), why in self.reviews.items()}
        MergeReview.objects.bulk_create(
            [
                MergeReview(low_id=low, high_id=high, why=why[:200], created_at=self.now)
                for (low, high), why in pairs.items()
                if low != high
            ],
            ignore_conflicts=True,
        )

    def merge(self) -> dict[int, int]:
        """Merge those who turned out to be one; returns absorbed lead id → survivor's id."""
        absorbed = [person for person in (*self.people.values(), *self.new) if person.absorbed_by]
        merges = {person.lead.id: person.root.lead.id for person in absorbed}
        traces = [Merge(absorbed=person.lead, survivor_id=person.into.id, why=person.why[:200]) for person in absorbed if person.into]
        merge_leads(merges, traces, now=self.now)
        survivors = {person.root.lead.id: person.root.lead for person in absorbed}
        update_rows(Lead, [[pk, *(getattr(lead, name) for name in TAKEN)] for pk, lead in survivors.items()], columns=TAKEN)
        return merges

    def leads(self) -> dict[int, Lead]:
        """Every lead of the group that was not absorbed, by id."""
        everyone = [*self.people.values(), *self.new]
        return {person.lead.id: person.lead for person in everyone if not person.absorbed_by}

    def newly_known(self) -> set[int]:
        """Leads that were anonymous before this group and are known now."""
        return {person.lead.id for person in self.people.values() if not person.was_known and not person.absorbed_by and person.known}


class Owned(NamedTuple):
    """A key that somebody owns."""

    kind: str
    value: str
    lead_id: int
    first_lead_id: int


def owners_of(keys: Iterable[Key]) -> list[Owned]:
    """Those of these keys that somebody owns, in one query."""
    by_kind: dict[str, list[str]] = {}
    for kind, value in keys:
        by_kind.setdefault(kind, []).append(value)
    if not by_kind:
        return []
    matches = Q()
    for kind, values in by_kind.items():
        matches |= Q(kind=kind, value__in=among(values, "text"))
    return list(map(Owned._make, Identity.objects.filter(matches).values_list(*Owned._fields)))
