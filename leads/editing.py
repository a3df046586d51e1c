"""What colleagues say about a lead: facts become events, as everything that scores does. Who owns it: leads/lead_owners.py."""

from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from leads import scoring, search
from leads.companies import business_domain
from leads.intake import record_now
from leads.models import Company, Lead, User

EDITED, CREATED = "LEAD_EDITED", "LEAD_CREATED"
# Facts that the person's own events tell as well: the last word counts.
TRAITS = {"name": "name", "email": "the mail address", "phone": "the phone number", "title": "the title", "timezone": "the time zone"}


def edit_trait(lead: Lead, trait: str, value: str, *, by_user: User) -> None:
    """Set one fact; fit and gates follow at once. An empty text forgets it. A new address becomes one more key of the lead."""
    old = getattr(lead, trait)
    if value == old:
        return
    message = edit_message(lead, by_user, TRAITS[trait], old, value)
    if trait == "email":
        message["email"] = value
    else:
        message["traits"] = {trait: value or None}
    with transaction.atomic():
        record_now([message])
        if not value:
            Lead.objects.filter(pk=lead.pk).update(**{trait: ""})
            search.index_leads([reread(lead)])


def edit_company(lead: Lead, company: Company | None, *, by_user: User) -> None:
    """Say which company the lead works for; fit rules about companies follow."""
    if lead.company == company:
        return
    with transaction.atomic():
        message = edit_message(lead, by_user, "the company", str(lead.company or ""), str(company or ""))
        message["traits"] = {"company": company_facts(company, lead.company)}
        record_now([message])
        left = lead.company_id
        Lead.objects.filter(pk=lead.pk).update(company=company)
        search.index_leads([reread(lead)])
        scoring.refold(scoring.concerned_by_moves({left, company.pk if company else None}), now=timezone.now())


def company_facts(company: Company | None, former: Company | None) -> dict[str, Any]:
    """What is known about a company, as a message tells it; what was known about the one before is forgotten.

    A company that could be taken for another one (known only by a name two have, or by an odd domain) is not
    named, so that nothing is said about the wrong one.
    """
    facts: dict[str, Any] = dict.fromkeys(former.traits) if former else {}
    facts |= dict.fromkeys(("name", "domain", "id")) if former else {}
    if company is None or not is_unmistakable(company):
        return facts
    named = {"name": company.name, "domain": company.domain, "id": company.external_id}
    facts.update(company.traits)
    facts.update({key: value for key, value in named.items() if value})
    return facts


def is_unmistakable(company: Company) -> bool:
    """Whether the intake finds exactly this company by what we say about it."""
    if company.external_id or company.domain:
        return not company.domain or business_domain(company.domain) == company.domain
    return Company.objects.filter(name__iexact=company.name).count() == 1


def edit_value(lead: Lead, value: Decimal | None, currency: str, *, by_user: User) -> None:
    """Say what a contract would be worth a year: kept at the company, or at a lead without one."""
    holder: Company | Lead = lead.company or lead
    if (holder.value, holder.currency) == (value, currency if value is not None else ""):
        return
    old, new = money(holder.value, holder.currency), money(value, currency)
    with transaction.atomic():
        holder.value, holder.currency = value, currency if value is not None else ""
        holder.save(update_fields=["value", "currency"])
        record_now([edit_message(lead, by_user, "the value", old, new)])


def money(value: Decimal | None, currency: str) -> str:
    """An amount as text, "" for none."""
    return "" if value is None else f"{value.normalize():,f} {currency}".strip()


def create_lead(*, email: str, traits: dict[str, Any], owner: User | None, by_user: User) -> Lead:
    """Enter somebody by hand. The address must be nobody's yet."""
    message = {"type": CREATED, "email": email, "traits": traits, "properties": {"by": by_user.username, "name": str(by_user)}}
    with transaction.atomic():
        (event,) = record_now([message])
        if owner is not None:
            Lead.objects.filter(pk=event.lead_id, owner=None).update(owner=owner)
    return reread(event.lead)


def edit_message(lead: Lead, by_user: User, fact: str, old: str, new: str) -> dict[str, Any]:
    """The event of one edit, as record_now takes it."""
    properties = {"by": by_user.username, "name": str(by_user), "fact": fact, "from": old, "to": new}
    return {"type": EDITED, "leadUid": str(lead.uid), "properties": properties}


def reread(lead: Lead) -> Lead:
    """The lead as it stands now."""
    return Lead.objects.select_related("company", "company__owner", "owner", "stage").get(pk=lead.pk)
