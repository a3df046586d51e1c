"""Events as the engine's facts: those at hand, and stored ones, read quickly, without model instances."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import msgspec
from django.db.models import TextField
from django.db.models.functions import Cast

from leads.colleagues import as_colleague, keys_of, shared_events
from leads.engine import Fact
from leads.models import Event
from leads.of_company import OfCompany
from leads.versions_in_force import EPOCH, to_micros
from leads.vocabulary import STAFF_TYPES, is_ours

# What puts facts in their order: at, source, message id.
FACT_ORDER = itemgetter(0, 1, 2)
# Columns come as the texts the database writes, and are read here: Django's converters cost more than folding does.
AS_TEXT = {"at", "properties", "traits", "identifies"}
TRUE = {"1", "true"}
COLUMNS = ("at", "source_id", "message_id", "pk", "type", "properties", "traits", "model_version_id", "identifies", "verdict")
PLAIN_COLUMNS = [Cast(name, TextField()) if name in AS_TEXT else name for name in COLUMNS]
AT_A_TIME = 2_000
NAIVE_EPOCH, MICROSECOND = EPOCH.replace(tzinfo=None), timedelta(microseconds=1)
# Fact(*…), without the time that naming its parts takes.
fact_with = partial(tuple.__new__, Fact)


def fact_of(event: Event) -> Fact:
    """The engine's view of an event."""
    counts, acted = event.verdict != Event.Verdict.SUSPECT, acts(event.type)
    who = (to_micros(event.at), event.source_id, event.message_id, f"event:{event.id}")
    what = (event.type, event.properties, event.traits, event.model_version_id, event.identifies)
    return fact_with((*who, *what, counts, acted, False))


def read_facts(events: Any, *also: str) -> Iterator[tuple[Any, ...]]:
    """The facts of a queryset of events, in its order: each as (fact, *the columns named in `also`)."""
    decode, suspect = msgspec.json.decode, Event.Verdict.SUSPECT.value
    rows = events.values_list(*PLAIN_COLUMNS, *also).iterator(AT_A_TIME)
    for at, source, key, pk, kind, properties, traits, version, identifies, verdict, *rest in rows:
        said = {} if properties == "{}" else decode(properties)
        told = {} if traits == "{}" else decode(traits)
        counts, acted = verdict != suspect, acts(kind)
        parts = (read_time(at), source, key, f"event:{pk}", kind, said, told, version, identifies in TRUE, counts, acted, False)
        yield fact_with(parts), *rest


def read_company_facts(companies: Iterable[int], of_company: OfCompany) -> dict[int, list[tuple[int, Fact]]]:
    """What people of these companies did and told that is `of_company`: by company, with who did it."""
    found: dict[int, list[tuple[int, Fact]]] = {company: [] for company in companies}
    if of_company and found:
        keys = keys_of(found) if of_company.facts else {}
        for fact, lead_id, company in read_facts(shared_events(found, of_company), "lead_id", "lead__company_id"):
            if theirs := as_colleague(fact, keys.get(company), of_company):
                found[company].append((lead_id, theirs))
    return found


def read_time(text: str) -> int:
    """A time as the database writes it, in microseconds since 1970; without a zone it is UTC."""
    at = datetime.fromisoformat(text)
    return (at - (EPOCH if at.tzinfo else NAIVE_EPOCH)) // MICROSECOND


@lru_cache(maxsize=4096)
def acts(kind: str) -> bool:
    """Whether an event of this type is something the person did: what colleagues do and what we send is not."""
    return kind not in STAFF_TYPES and not is_ours(kind)
