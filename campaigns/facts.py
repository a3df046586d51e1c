"""What the conditions of campaigns ask about people, answered with one query per condition for all leads at hand."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count, Q, QuerySet

from campaigns.documents import CampaignDoc, StepDoc, read_document
from campaigns.models import CampaignVersion, Enrollment, Message
from leads import conditions
from leads.conditions import ALWAYS, EventCount, EventView, InCampaign, Node, Place, lookup
from leads.models import Company, Event, Lead, ScoringVersion

LEAD_FIELDS = {"name", "email", "phone", "title", "country", "timezone", "score", "engagement", "fit", "value"}
COMPANY_FIELDS = {"name", "domain", "value", "currency", "external_id"}


class Program:
    """A published campaign, ready to run: its document and the conditions in it."""

    def __init__(self, version: CampaignVersion) -> None:
        self.version = version
        self.doc: CampaignDoc = read_document(version.document)

    @cached_property
    def trigger_when(self) -> Node:
        """What the event that starts a run must look like."""
        return conditions.parse(self.doc.trigger.when, place=Place.TRIGGER)

    @cached_property
    def audience(self) -> Node:
        """What a lead must look like to enter."""
        return conditions.parse(self.doc.audience, place=Place.AUDIENCE)

    @cached_property
    def goal(self) -> Node:
        """What ends a run with success; only to be asked when the document has one."""
        return conditions.parse(self.doc.goal, place=Place.RUN)

    @cached_property
    def exits(self) -> Node:
        """What ends a run without success; only to be asked when the document has some."""
        return conditions.parse(self.doc.exits, place=Place.RUN)

    def read_entry(self) -> tuple[Node, Node]:
        """Read now what decides about entering. Raises ConditionError."""
        return self.trigger_when, self.audience

    def guard(self, step: StepDoc) -> Node:
        """What must hold when `step` is due."""
        return conditions.parse(step.when, place=Place.RUN)

    def step(self, key: str) -> StepDoc | None:
        """The step of that key."""
        return next((step for step in self.doc.steps if step.key == key), None)

    def position(self, key: str) -> int:
        """The place of a step in the order, from 0; the number of steps for an unknown key (the end)."""
        keys = [step.key for step in self.doc.steps]
        return keys.index(key) if key in keys else len(keys)

    def step_after(self, key: str) -> StepDoc | None:
        """The step that follows the one of that key."""
        following = self.doc.steps[self.position(key) + 1 :]
        return following[0] if following else None


@dataclass(frozen=True, slots=True)
class Since:
    """Which facts count for a run: those after its cause, and of mail events those of its own messages."""

    enrollment_id: int
    after: datetime


class Facts:
    """The events and runs of some leads, counted when first asked for."""

    def __init__(self, leads: Iterable[Lead], *, now: datetime) -> None:
        self.pks = [lead.pk for lead in leads]
        self.now = now
        self._counts: dict[tuple[str, Since | None], Counter[int]] = {}
        self._members: dict[InCampaign, set[int]] = {}

    def count(self, lead: Lead, condition: EventCount, *, since: Since | None = None) -> int:
        """How many events of the lead satisfy the condition, without suspect ones."""
        key = (condition.key, since)
        if key not in self._counts:
            self._counts[key] = self._count(condition, since)
        return self._counts[key][lead.pk]

    def is_in(self, lead: Lead, condition: InCampaign) -> bool:
        """Whether the lead is, or was, in such a campaign."""
        if condition not in self._members:
            runs = runs_matching(condition).filter(lead__in=self.pks)
            self._members[condition] = set(runs.values_list("lead", flat=True))
        return lead.pk in self._members[condition]

    def _count(self, condition: EventCount, since: Since | None) -> Counter[int]:
        if condition.of == "company":
            return self._count_company(condition, since)
        return self._tally(condition, self._events(condition, since), "lead")

    def _count_company(self, condition: EventCount, since: Since | None) -> Counter[int]:
        """The same for everybody of a company; who has none counts alone."""
        counts = self._tally(condition, self._events(condition, since, alone=True), "lead")
        employers = dict(Lead.objects.filter(pk__in=self.pks).exclude(company=None).values_list("pk", "company_id"))
        events = self._narrow(Event.objects.filter(lead__company__in=set(employers.values()), lead__merged_into=None), condition, since)
        together = self._tally(condition, events, "lead__company")
        return counts + Counter({pk: together[company] for pk, company in employers.items()})

    def _tally(self, condition: EventCount, events: Any, who: str) -> Counter[int]:
        """Count these events of everybody (or every company) in `who`."""
        sources = self._sources(condition.event)
        events = events.filter(type__in=sources)
        if len(sources) == 1 and condition.when == ALWAYS and condition.every is None:
            return Counter(dict(events.order_by().values(who).annotate(n=Count("pk")).values_list(who, "n")))
        counts: Counter[int] = Counter()
        last: dict[int, datetime] = {}
        pause = timedelta(microseconds=condition.every or 0)
        for lead_id, at, kind, properties in events.in_fact_order().values_list(who, "at", "type", "properties").iterator():
            view = EventView(properties)
            if not any(conditions.evaluate(node, view) for node in sources[kind]):
                continue
            if not conditions.evaluate(condition.when, view):
                continue
            if lead_id not in last or at - last[lead_id] >= pause:
                counts[lead_id], last[lead_id] = counts[lead_id] + 1, at
        return counts

    def _events(self, condition: EventCount, since: Since | None, *, alone: bool = False) -> Any:
        """The leads' own events that may count (`alone`: only of those without a company)."""
        events = Event.objects.filter(lead__in=self.pks)
        return self._narrow(events.filter(lead__company=None) if alone else events, condition, since)

    def _narrow(self, events: Any, condition: EventCount, since: Since | None) -> Any:
        """Those of the events that may count, before their type and properties are looked at."""
        events = events.exclude(verdict=Event.Verdict.SUSPECT)
        if condition.within is not None:
            events = events.filter(at__gt=self.now - timedelta(microseconds=condition.within))
        if since and condition.since == "run":
            events = events.filter(at__gt=since.after)
            if condition.event.startswith("EMAIL_"):
                own = Message.objects.filter(enrollment=since.enrollment_id).values_list("uid", flat=True)
                events = events.filter(properties__message__in=[str(uid) for uid in own])
        return events

    def _sources(self, event_type: str) -> dict[str, list[Node]]:
        """The stored types that can be `event_type`, each with the conditions of which one must hold."""
        sources: dict[str, list[Node]] = {event_type: [ALWAYS]}
        for derived in self._derivations:
            if derived.get("as") == event_type:
                sources.setdefault(derived["from"], []).append(conditions.parse(derived.get("when", []), place=Place.EVENT))
        return sources

    @cached_property
    def _derivations(self) -> list[dict[str, Any]]:
        live = ScoringVersion.live()
        return list(live.document.get("scoring", {}).get("derive", [])) if live else []


def runs_matching(condition: InCampaign) -> QuerySet[Enrollment]:
    """The runs a `campaign` condition means."""
    runs = Enrollment.objects.exclude(state=Enrollment.State.REFUSED)
    if condition.status in {"active", "completed"}:
        runs = runs.filter(state=condition.status)
    if condition.trigger:
        return runs.filter(version__document__trigger__has_key=condition.trigger)
    return runs.filter(campaign__key=condition.key)


def campaign_q(condition: InCampaign) -> Q:
    """A `campaign` condition as a filter over leads."""
    return Q(pk__in=runs_matching(condition).values("lead"))


class LeadView(EventView):
    """What a condition may ask about a lead at this moment, and about the event at hand.

    Load leads with `select_related("company", "first_source")`.
    """

    def __init__(self, lead: Lead, facts: Facts, event: Event | None = None, *, since: Since | None = None) -> None:
        super().__init__(event.properties if event else {})
        self.lead, self.facts, self.since = lead, facts, since

    def field(self, path: str) -> object:
        """The value at `event.…`, `lead.…` or `company.…`. Raises KeyError when there is none."""
        root, _, rest = path.partition(".")
        if root == "event":
            return super().field(path)
        value = company_field(self.lead.company, rest) if root == "company" else lead_field(self.lead, rest)
        if value is None or value == "":
            raise KeyError(path)
        return value

    def count(self, condition: EventCount) -> int:
        """How many events satisfy the condition; for a run, those since its cause unless the condition says `since: ever`."""
        return self.facts.count(self.lead, condition, since=self.since)

    def number(self, axis: str) -> int:
        """The lead's score, engagement or fit."""
        return int(getattr(self.lead, axis))

    def seconds_in_stage(self) -> float:
        """How long the lead has been in its stage."""
        return (self.facts.now - self.lead.stage_since).total_seconds()

    def seconds_idle(self) -> float:
        """How long the person has done nothing; for ever, as far as we know, when they never did anything."""
        return (self.facts.now - (self.lead.last_event_at or self.lead.first_seen_at)).total_seconds()

    def in_campaign(self, condition: InCampaign) -> bool:
        """Whether the lead is, or was, in such a campaign."""
        return self.facts.is_in(self.lead, condition)


class RunView(LeadView):
    """One run as its guards, goal and exits see it."""

    def __init__(self, run: Enrollment, lead: Lead, *, now: datetime) -> None:
        super().__init__(lead, Facts([lead], now=now), run.event, since=Since(run.pk, run.cause_at))
        self.run = run
        self.program = Program(run.version)
        self.now = now


def lead_field(lead: Lead, path: str) -> object:
    """The value of `lead.<path>`; None when the lead has no such thing. Raises KeyError for a missing trait."""
    if path.startswith("traits."):
        return lookup(lead.traits, path.removeprefix("traits."))
    if path == "stage":
        return lead.stage_id
    if path == "source":
        return lead.first_source.name if lead.first_source else None
    return getattr(lead, path) if path in LEAD_FIELDS else None


def company_field(company: Company | None, path: str) -> object:
    """The value of `company.<path>`: a column or a trait; None without a company. Raises KeyError for a missing trait."""
    if company is None:
        return None
    return getattr(company, path) if path in COMPANY_FIELDS else lookup(company.traits, path.removeprefix("traits."))
