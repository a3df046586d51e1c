"""What one person does or tells may concern their colleagues: events that count for a whole company, and what is said about it."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Q

from leads.companies import CompanyKeys, said_about
from leads.engine import Fact
from leads.models import Company, Event, Lead
from leads.of_company import OfCompany
from leads.vocabulary import STAFF_TYPES


def shared_events(companies: Iterable[Any], of_company: OfCompany) -> Any:
    """The events of these companies' people that may concern their colleagues."""
    wanted = Q(type__in=of_company.types)
    if of_company.facts:
        wanted |= Q(traits__has_key="company")
    return Event.objects.filter(wanted, lead__company__in=companies, lead__merged_into=None).exclude(verdict=Event.Verdict.SUSPECT)


def news_for_colleagues(events: Sequence[Event], of_company: OfCompany) -> dict[int, list[Event]]:
    """New events that may concern the colleagues of who did them, by company."""
    news: dict[int, list[Event]] = {}
    for event in events:
        company = event.lead.company_id
        if not company or event.verdict == Event.Verdict.SUSPECT:
            continue
        if event.type in of_company.types or (of_company.facts and "company" in event.traits):
            news.setdefault(company, []).append(event)
    return news


def as_colleague(fact: Fact, keys: CompanyKeys | None, of_company: OfCompany) -> Fact | None:
    """A person's fact as the colleagues at the company with these keys see it; None when it does not concern them."""
    told = said_about(keys, fact.traits) if keys and fact.traits else {}
    if fact.type in STAFF_TYPES:  # what is forgotten there is what was known about the company before
        told = {name: value for name, value in told.items() if value is not None}
    if not told and fact.type not in of_company.types:
        return None
    return fact.for_colleagues({"company": told} if told else {})


def keys_of(companies: Iterable[int]) -> dict[int, CompanyKeys]:
    """What tells each of these companies from others."""
    rows = Company.objects.filter(pk__in=list(companies)).values_list("pk", *CompanyKeys._fields)
    return {pk: CompanyKeys(*keys) for pk, *keys in rows}


def people_of(companies: Any) -> set[int]:
    """The ids of everybody who works for these companies."""
    return set(Lead.objects.current().filter(company__in=companies).values_list("pk", flat=True))


def concerned_by(companies: Iterable[int], of_company: OfCompany) -> set[int]:
    """Everybody who works for one of these companies where something was done or told that concerns the whole of it.

    Usually nobody: that costs one query.
    """
    if not of_company:
        return set()
    busy = set(shared_events(companies, of_company).values_list("lead__company", flat=True).distinct())
    return people_of(busy) if busy else set()
