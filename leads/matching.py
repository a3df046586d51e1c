"""How many leads, or events, a condition holds for at this moment, as the engine would say; with a limit on the work."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import and_, or_
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.utils import timezone

from leads.changes import fingerprint
from leads.condition_queries import to_q
from leads.conditions import All, AnyOf, EventCount, EventView, Field, Node, Number, Place, children, event_counts, parse
from leads.engine import Fact
from leads.fold_state import State
from leads.fold_traits import hear
from leads.fold_view import FoldView
from leads.models import Event, Lead, ScoringVersion
from leads.of_company import OfCompany, asks_of_company
from leads.scoring import live_model, to_micros
from leads.stored_facts import FACT_ORDER, read_company_facts
from leads.templatetags.words import event_words

MOST_LEADS = 5000
MOST_EVENTS = 20_000
BATCH = 500
DAYS = 30
KEPT = 30  # seconds
NUMBERS = {"lead.score", "lead.engagement", "lead.fit", "lead.stage"}


@dataclass(frozen=True, slots=True)
class Matches:
    """How many of all that come into question; `looked_at` fewer than these candidates when they are too many."""

    found: int
    looked_at: int
    candidates: int
    total: int
    is_cut: bool = False  # there were more events than can be looked at

    @property
    def words(self) -> str:
        """The sentence about it."""
        busy = " Of leads with very many events only the latest were looked at." if self.is_cut else ""
        return self.number_words + busy

    @property
    def number_words(self) -> str:
        """How many."""
        if not self.total:
            return "No lead can match yet: there is none here."
        if self.looked_at == self.candidates:
            return f"{self.found:,} of {self.total:,} {'lead matches' if self.total == 1 else 'leads match'} now."
        about = int(round(self.found / self.looked_at * self.candidates, -2))
        number = f"About {about:,}" if self.found else "Hardly any"
        return f"{number} of {self.total:,} leads match now; {self.looked_at:,} were looked at."


def count_words(place: Place, conditions: Any, *, match: str = "all", origins: Collection[str] = (), event: str = "") -> str:
    """How many leads (for rules and derived types: events) match now, as a sentence. Raises ConditionError."""
    newest = Event.objects.order_by("-pk").values_list("pk", flat=True).first()
    version = ScoringVersion.objects.order_by("-number").values_list("pk", flat=True).first()
    key = f"matches:{fingerprint(place, json.dumps(conditions, default=str), match, sorted(origins), event, newest, version)}"
    if (words := cache.get(key)) is None:
        node = parse(conditions, place=place)
        if match == "any" and isinstance(node, All) and node.nodes:
            node = AnyOf(node.nodes)
        words = events_words(node, event) if place in (Place.RULE, Place.EVENT) else count_leads(place, node, origins).words
        cache.set(key, words, KEPT)
    return str(words)


# --- leads --------------------------------------------------------------------------------------


def count_leads(place: Place, node: Node, origins: Collection[str]) -> Matches:
    """Known leads the condition holds for; of a gate those that stand where it leads out of."""
    base = Lead.objects.known() if place == Place.EXCLUDE else Lead.objects.known().filter(excluded=False)
    if place == Place.GATE:
        base = base.filter(stage_id__in=origins)
    narrowed = base.filter(narrow(node))
    # Ids are chance, so their order is a fair sample.
    answers, is_cut = matching(node, narrowed.order_by("uid")[:MOST_LEADS])
    candidates = len(answers) if len(answers) < MOST_LEADS else narrowed.count()
    return Matches(sum(answers), len(answers), candidates, base.count(), is_cut)


def narrow(node: Node) -> Q:
    """A filter that leaves out nobody the condition holds for: only what columns say exactly as the engine's state does."""
    if isinstance(node, All | AnyOf):
        parts = [narrow(part) for part in node.nodes]
        if isinstance(node, All):
            return reduce(and_, parts, Q())
        return reduce(or_, parts, Q()) if all(parts) else Q()
    safe = isinstance(node, Number) or (isinstance(node, Field) and node.path in NUMBERS)
    return to_q(node, campaign_q=lambda campaign: Q(), now=timezone.now())[0] if safe else Q()


def matching(node: Node, leads: QuerySet[Lead]) -> tuple[list[bool], bool]:
    """Whether the condition holds, for each of the leads; and whether some of their events were left out."""
    now, is_cut = to_micros(timezone.now()), False
    answers: list[bool] = []
    rows = list(leads.values_list("pk", "company_id", "stage_id", "fold_state__state", "fold_state__version"))
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        states = {pk: State.from_json(state) if state else State(str(stage)) for pk, _, stage, state, _ in batch}
        companies, versions = {pk: company for pk, company, *_ in batch}, {version for *_, version in batch}
        is_cut |= fill_counters(node, states, companies, versions)
        fill_shared(node, states, companies, versions)
        for state in states.values():
            view = FoldView(state, settings.EVIDENCE_POINTS)
            view.at = now
            answers.append(node.holds(view))
    return answers, is_cut


def fill_counters(node: Node, states: Mapping[int, State], companies: Mapping[int, int | None], versions: Collection[int | None]) -> bool:
    """Count what the states don't (of the live model they do), so that they answer every condition; one query a condition.

    Tells whether there were more events than can be looked at.
    """
    model, is_cut = live_model(), False
    counters = [counter for found in model.counters.values() for counter in found] if model and set(versions) == {model.version} else []
    kept = {counter.key: counter.need for counter in counters}
    for cond in event_counts(node):
        if cond.of != "company" and kept.get(cond.key, 0) >= cond.need:
            continue
        events = events_of(cond, companies)
        times, is_cut = times_of(cond, events), is_cut or len(events) == MOST_EVENTS
        for pk, state in states.items():
            owner = (companies[pk] or -pk) if cond.of == "company" else pk
            state.counters[cond.key] = times.get(owner, [])
    return is_cut


def fill_shared(node: Node, states: Mapping[int, State], companies: Mapping[int, int | None], versions: Collection[int | None]) -> None:
    """Let the states hear what colleagues told about the company, where the live model has not asked for it."""
    model = live_model()
    if not asks_of_company([node]) or (model and model.of_company.facts and set(versions) == {model.version}):
        return
    told = read_company_facts({pk for pk in companies.values() if pk}, OfCompany(facts=True))
    words = {company: last_words(facts) for company, facts in told.items()}
    for pk, state in states.items():
        for name, (who, said) in words.get(companies[pk] or 0, {}).items():
            if who != pk:
                hear(state, {"company": {name: said}})


def last_words(facts: Iterable[tuple[int, Fact]]) -> dict[str, tuple[int, Any]]:
    """What was told last about each name, with who told it."""
    words: dict[str, tuple[int, Any]] = {}
    for lead_id, fact in sorted(facts, key=lambda told: FACT_ORDER(told[1])):
        words |= {name: (lead_id, said) for name, said in fact.traits["company"].items()}
    return words


def events_of(cond: EventCount, companies: Mapping[int, int | None]) -> list[Any]:
    """What may count for these leads, or for anybody at their companies: the latest, in fact order."""
    who = Q(lead__in=companies)
    if cond.of == "company":
        who |= Q(lead__company__in={pk for pk in companies.values() if pk})
    since = {} if cond.within is None else {"at__gt": timezone.now() - timedelta(microseconds=cond.within)}
    events = Event.objects.filter(who, type__in=stored_types(cond.event), **since).exclude(verdict=Event.Verdict.SUSPECT)
    rows = events.in_fact_order().reverse().values_list("lead_id", "lead__company_id", "type", "properties", "at")
    return list(rows[:MOST_EVENTS])[::-1]


def times_of(cond: EventCount, events: Iterable[Any]) -> dict[int, list[int]]:
    """When what is counted happened, by lead (of: company: by company, or minus the lead)."""
    model = live_model()
    times: dict[int, list[int]] = {}
    for lead_id, company_id, kind, properties, at in events:
        if model and cond.event not in model.types_of(kind, properties):
            continue
        if cond.when.holds(EventView(properties)):
            kept = times.setdefault((company_id or -lead_id) if cond.of == "company" else lead_id, [])
            if cond.every is None or not kept or to_micros(at) - kept[-1] >= cond.every:
                kept.append(to_micros(at))
    return times


def stored_types(name: str) -> set[str]:
    """The types under which such events are stored: itself, and those it is derived from."""
    model = live_model()
    return {name} | {source for source, rules in (model.derived.items() if model else ()) if any(each == name for _, each in rules)}


# --- events -------------------------------------------------------------------------------------


def events_words(node: Node, name: str) -> str:
    """How many of the last events of a type look like this."""
    if not name:
        return "Choose the event; then the number of matching events stands here."
    since = timezone.now() - timedelta(days=DAYS)
    newest = list(Event.objects.order_by("-pk").values_list("pk", flat=True)[:MOST_EVENTS])
    rows = Event.objects.filter(pk__gte=newest[-1], type__in=stored_types(name), at__gt=since) if newest else Event.objects.none()
    rows = rows.exclude(verdict=Event.Verdict.SUSPECT)
    total, found, people = 0, 0, set()
    model, holds = live_model(), holder(node)
    for lead_id, kind, properties, state in rows.values_list("lead_id", "type", "properties", "lead__fold_state__state").iterator():
        if model and name not in model.types_of(kind, properties):
            continue
        total += 1
        if holds(properties, state):
            found += 1
            people.add(lead_id)
    where = f"among the last {MOST_EVENTS:,} events" if len(newest) == MOST_EVENTS else f"in the last {DAYS} days"
    return told(found, total, len(people), event_words(name), where)


def holder(node: Node) -> Callable[[Mapping[str, Any], Any], bool]:
    """A test of one event, given its properties and the state of its lead."""
    now, of_event = to_micros(timezone.now()), asks_only_events(node)

    def holds(properties: Mapping[str, Any], state: Any) -> bool:
        if of_event or not state:
            return node.holds(EventView(properties))
        view = FoldView(State.from_json(state), settings.EVIDENCE_POINTS)
        view.properties, view.at = properties, now
        return node.holds(view)

    return holds


def asks_only_events(node: Node) -> bool:
    """Whether nothing of the lead is looked at."""
    if isinstance(node, Field):
        return node.path.startswith("event.")
    return all(map(asks_only_events, children(node)))


def told(found: int, total: int, people: int, name: str, where: str) -> str:
    """The sentence about events."""
    if not total:
        return f"“{name}” did not happen {where}."
    who = f"by {people:,} {'lead' if people == 1 else 'leads'}"
    if found == total:
        return f"“{name}” happened {'once' if total == 1 else f'{total:,} times'} {where}, {who}; " + (
            "it matches." if total == 1 else "all match."
        )
    return f"{found:,} of {total:,} “{name}” events {where} match" + (f", {who}." if found else ".")
