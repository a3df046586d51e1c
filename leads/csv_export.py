"""CSV export: the leads as a spreadsheet reads them, and no cell that it could take for a formula."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone

from leads.models import Lead
from leads.models.people import LeadQuerySet

# What a spreadsheet takes for the beginning of a formula (OWASP ASVS 1.2.10), full-width forms too.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\x00", "＝", "＋", "－", "＠")
BLANKS = " \u00a0\u3000\u200b\ufeff\u2028\u2029\x0b\x0c"
HEADER = [
    *("Name", "Email", "Phone", "Job title", "Company", "Country", "Time zone"),
    *("Stage", "Score", "Engagement", "Fit", "Owner", "Source"),
    *("Last activity", "Last active at", "Created at", "User ids", "Page"),
]
CHUNK = 500


def csv_safe(value: object) -> str:
    """A cell that no spreadsheet runs: text that could begin a formula gets an apostrophe before it. Numbers are no text."""
    if value is None:
        return ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    text = str(value)
    if text.startswith(FORMULA) or text.lstrip(BLANKS).startswith(FORMULA):
        return "'" + text.replace("\x00", "")
    return text.replace("\x00", "")


class Line:
    """A file that only hands back what was written last."""

    def write(self, text: str) -> str:
        """Hand the line back to whoever wrote it."""
        return text


def write_rows(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Each row as a line of CSV, every cell made safe. The first one carries the mark by which Excel knows UTF-8."""
    writer = csv.writer(Line(), quoting=csv.QUOTE_MINIMAL)
    mark = "\ufeff"
    for row in rows:
        yield mark + str(writer.writerow([csv_safe(cell) for cell in row]))
        mark = ""


def export(leads: LeadQuerySet) -> Iterator[str]:
    """These leads as CSV, line by line; memory does not grow with their number."""
    return write_rows(table(leads))


def table(leads: LeadQuerySet) -> Iterator[list[Any]]:
    """The header, then a row for each lead."""
    yield list(HEADER)
    rows = leads.select_related("company", "owner", "stage", "first_source").prefetch_related("identities")
    for lead in rows.iterator(chunk_size=CHUNK):
        yield row_of(lead)


def row_of(lead: Lead) -> list[Any]:
    """One lead's cells."""
    user_ids = [identity.value for identity in lead.identities.all() if identity.kind == identity.Kind.USER_ID]
    return [
        lead.name,
        lead.email or lead.unconfirmed_email,
        lead.phone,
        lead.title,
        lead.company,
        lead.country,
        lead.timezone,
        lead.stage,
        lead.score,
        lead.engagement,
        lead.fit,
        lead.owner,
        lead.first_source,
        lead.last_event_type,
        moment(lead.last_event_at),
        moment(lead.created_at),
        " ".join(sorted(user_ids)),
        settings.SITE_URL + lead.get_absolute_url(),
    ]


def moment(at: datetime | None) -> str:
    """A time as spreadsheets read it, in the reader's zone."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S") if at else ""
