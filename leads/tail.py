"""The live tail of a source: what arrived lately, what became of it, and what it was worth."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, OuterRef, Q, QuerySet, Subquery, Sum, Window
from django.db.models.functions import RowNumber

from leads.ledger import rule_names
from leads.models import Delivery, Event, ScoreEntry, ScoringVersion, Source
from leads.models.claims import MAX_CLAIMS
from leads.scoring import live_model
from leads.type_uses import Use, uses_by_type

DELIVERIES = 30
# Events and rejected messages shown of one delivery; the rest are counted.
SHOWN = 5
# How far back the tail looks for requests with rejected messages, and the table of types for types.
LOOKED_THROUGH = 2_000
TYPES_FROM = 1_000
QUIET_AFTER = timedelta(days=1)
SHOWS = ("failed", "rejected")
# States of a delivery whose automation has not come through yet.
WAITING = frozenset({"failed", "retrying", "stuck"})


# --- the tail -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points:
    """What one rule gave for one event, and why it differs from what the rule says."""

    name: str
    points: int
    reason: str


@dataclass
class EventLine:
    """One event of a delivery. `verdict` says in words why there are no points."""

    event: Event
    points: list[Points]
    verdict: str = ""


@dataclass
class Row:
    """One delivery, with the first of its events and of its rejected messages."""

    delivery: Delivery
    state: str
    events: list[EventLine] = field(default_factory=list)

    @property
    def more_events(self) -> int:
        """How many events are only counted; a delivery stores as many as it says, less what was forgotten since."""
        return max(self.delivery.stored - len(self.events), 0) if len(self.events) >= SHOWN else 0

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """The rejected messages that are shown."""
        return list(self.delivery.rejected[:SHOWN])

    @property
    def more_rejected(self) -> int:
        """How many rejected messages are only counted."""
        return len(self.delivery.rejected) - len(self.rejected)

    @property
    def can_retry(self) -> bool:
        """Whether somebody may ask for another try now."""
        return self.state in {"failed", "stuck"}


def deliveries_of(source: Source, show: str = "") -> list[Delivery]:
    """The newest deliveries of a source: all, those that failed, or those with rejected messages."""
    rows = Delivery.objects.filter(source=source).defer("body", "traceback", "message_ids").order_by("-pk")
    if show == "failed":
        rows = rows.filter(Q(state=Delivery.State.FAILED) | Q(state=Delivery.State.PENDING, claim_count__gte=MAX_CLAIMS))
    if show == "rejected":
        oldest = Delivery.objects.filter(source=source).order_by("-pk").values("pk")[LOOKED_THROUGH : LOOKED_THROUGH + 1]
        floor = oldest.first()
        rows = rows.filter(pk__gt=floor["pk"] if floor else 0).exclude(rejected=[])
    return list(rows[:DELIVERIES])


def fingerprint(deliveries: list[Delivery], now: datetime) -> str:
    """Changes when the tail has something new to show, and once a minute, for its relative times."""
    seen = [(row.pk, row.state, row.attempts, row.claim_count, str(row.due_at), len(row.rejected)) for row in deliveries]
    return hashlib.blake2b(repr((seen, now.replace(second=0, microsecond=0))).encode(), digest_size=8).hexdigest()


def state_of(delivery: Delivery, now: datetime) -> str:
    """pending, late, stuck, failed, retrying, rejected (nothing was taken), partly, or processed."""
    if delivery.state == Delivery.State.PROCESSED:
        if not delivery.rejected:
            return "processed"
        return "partly" if delivery.stored or delivery.duplicates else "rejected"
    if delivery.claim_count >= MAX_CLAIMS:
        return "stuck"
    if delivery.state == Delivery.State.FAILED:
        return "retrying" if delivery.due_at <= now else "failed"
    return "late" if delivery.due_at < now - timedelta(minutes=1) else "pending"


def tail_rows(deliveries: list[Delivery], now: datetime) -> list[Row]:
    """What is shown of these deliveries, in a fixed number of queries."""
    rows = {delivery.pk: Row(delivery, state_of(delivery, now)) for delivery in deliveries}
    for line in event_lines(first_events(list(rows))):
        row = rows[line.event.delivery_id or 0]
        if row.state in WAITING and not line.points:
            line.verdict = "points wait for the next try"
        row.events.append(line)
    return list(rows.values())


def first_events(pks: list[int]) -> list[Event]:
    """The first events of each of these deliveries."""
    place = Window(RowNumber(), partition_by=F("delivery_id"), order_by=F("pk").asc())
    rows = Event.objects.filter(delivery__in=pks).annotate(place=place).filter(place__lte=SHOWN)
    return list(rows.select_related("lead").defer("traits").order_by("pk"))


def event_lines(events: list[Event]) -> list[EventLine]:
    """Events with what they gave the person who did them, or why nothing."""
    names, uses, model = rule_names(ScoringVersion.live()), uses_by_type(), live_model()
    given: dict[int, list[Points]] = defaultdict(list)
    entries = ScoreEntry.objects.filter(event__in=events, lead=F("event__lead")).exclude(kind=ScoreEntry.Kind.EXPIRY)
    sums = entries.values("event", "rule").annotate(total=Sum("points"), why=Max("reason")).order_by("event", "rule")
    for row in sums:
        given[row["event"]].append(Points(names.get(row["rule"], row["rule"]), row["total"], row["why"]))
    lines = []
    for event in events:
        types = model.types_of(event.type, event.properties) if model else (event.type,)
        line = EventLine(event, given[event.pk])
        line.verdict = "" if line.points else why_no_points(event, [use for name in types for use in uses.get(name, [])])
        lines.append(line)
    return lines


def why_no_points(event: Event, uses: list[Use]) -> str:
    """Why an event brought nothing, in words."""
    if event.verdict == Event.Verdict.SUSPECT:
        return "not counted: probably a mail scanner"
    if rules := [use.name for use in uses if use.kind == "rule"]:
        return f"no points: the conditions of {' and '.join(rules)} did not hold"
    others = [f"{use.kind} {use.name}" for use in uses if use.kind != "type"]
    if not others:
        return "no rule uses this type"
    return f"no rule uses this type; {' and '.join(others)} {'does' if len(others) == 1 else 'do'}"


# --- errors in words ----------------------------------------------------------------------------

DATABASE = ("OperationalError", "InterfaceError", "GroupChanged")
MODEL = ("ModelError", "ConditionError", "ValidationError")


def cure_of(delivery: Delivery) -> str:
    """What a failed try means for whoever sent the request, and what helps."""
    if delivery.claim_count >= MAX_CLAIMS:
        return f"Its worker stopped {MAX_CLAIMS} times while reading it, so it waits for you. Look at its body, then try again."
    name = delivery.error.partition(":")[0]
    kept = "Its events are stored; only points and campaigns wait." if delivery.stored else "The request is kept; nothing is lost."
    if name in DATABASE:
        return f"The database was busy. {kept} Nothing to do: it is tried again by itself."
    if name in MODEL:
        return f"The published scoring model could not be worked out. {kept} Correct it under Scoring, publish, then try again."
    return f"Something broke while working out what follows. {kept} It is tried again by itself; the trace in its details tells why."


# --- one source, all sources --------------------------------------------------------------------


@dataclass(frozen=True)
class TypeRow:
    """One event type as a source sends it, and what asks for it."""

    name: str
    count: int
    last_at: datetime
    uses: list[Use]


def types_seen(source: Source) -> list[TypeRow]:
    """The event types in the newest deliveries of a source, the most frequent first."""
    newest = Delivery.objects.filter(source=source).order_by("-pk").values("pk")[:TYPES_FROM]
    uses = uses_by_type()
    rows = (
        Event.objects.filter(delivery__in=newest).values("type").annotate(count=Count("pk"), last_at=Max("at")).order_by("-count", "type")
    )
    return [TypeRow(row["type"], row["count"], row["last_at"], uses.get(row["type"], [])) for row in rows]


@dataclass(frozen=True)
class SourceRow:
    """A source with its last day. `state` is revoked, failing, built-in, waiting, quiet or receiving."""

    source: Source
    last_at: datetime | None
    events: int
    failed: int
    rejected: int
    state: str


def source_rows(now: datetime) -> list[SourceRow]:
    """Every source: the live ones by name, then the built-in one, then the revoked."""
    day, failed = last_day(now), dict(failures())
    newest = Delivery.objects.filter(source=OuterRef("pk")).order_by("-pk").values("received_at")[:1]
    rows = []
    for source in Source.objects.annotate(delivered_at=Subquery(newest)).order_by("name"):
        events, rejected = day.get(source.pk, (0, 0))
        last_at = max((at for at in (source.last_seen_at, source.delivered_at) if at), default=None)
        count = failed.get(source.pk, 0)
        rows.append(SourceRow(source, last_at, events, count, rejected, standing(source, last_at, failed=count, now=now)))
    return sorted(rows, key=lambda row: (row.source.revoked_at is not None, row.source.is_built_in))


def standing(source: Source, last_at: datetime | None, *, failed: int, now: datetime) -> str:
    """How a source is doing, in one word."""
    if source.revoked_at:
        return "revoked"
    if failed:
        return "failing"
    if source.is_built_in:
        return "built-in"
    if last_at is None:
        return "waiting"
    return "quiet" if last_at < now - QUIET_AFTER else "receiving"


def last_day(now: datetime) -> dict[int, tuple[int, int]]:
    """(events stored, requests with rejected messages) of the last 24 hours by source. Ids rise with time, so it reads no older rows."""
    rows = received_since(now - timedelta(days=1)).order_by().values("source")
    sums = rows.annotate(taken=Sum("stored"), refused=Count("pk", filter=~Q(rejected=[])))
    return {row["source"]: (row["taken"], row["refused"]) for row in sums}


def received_since(moment: datetime) -> QuerySet[Delivery]:
    """Deliveries received after a moment, found by their ids."""
    older = Delivery.objects.filter(received_at__lt=moment).order_by("-pk").values_list("pk", flat=True).first()
    return Delivery.objects.filter(pk__gt=older or 0)


def failures() -> list[tuple[int, int]]:
    """(source id, deliveries that failed or are stuck)."""
    rows = Delivery.objects.waiting().filter(Q(state=Delivery.State.FAILED) | Q(claim_count__gte=MAX_CLAIMS))
    return list(rows.order_by().values_list("source").annotate(Count("pk")))
