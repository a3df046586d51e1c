"""What leads are found by: one text each, kept apart from the lead."""

from collections.abc import Sequence

from django.db.models import prefetch_related_objects

from leads.models import Lead, LeadSearch


def text_of(lead: Lead) -> str:
    """Name, addresses, phone, title and company, lower case."""
    company = lead.company
    parts = [lead.name, lead.email, lead.unconfirmed_email, lead.phone, lead.title]
    if company:
        parts += [company.name, company.domain or ""]
    return " ".join(part for part in parts if part).lower()


def index_leads(leads: Sequence[Lead]) -> None:
    """Write the search texts of these leads that changed (one query to see, one to write, one for the companies not loaded yet)."""
    prefetch_related_objects(leads, "company")
    standing = dict(LeadSearch.objects.filter(lead__in=leads).values_list("lead_id", "text"))
    rows = [LeadSearch(lead=lead, text=text) for lead in leads if (text := text_of(lead)) != standing.get(lead.pk)]
    if rows:
        LeadSearch.objects.bulk_create(rows, update_conflicts=True, unique_fields=["lead"], update_fields=["text"])
