"""Leads as one names them on the command line."""

import uuid

from django.core.management.base import CommandError

from leads.models import Lead


def lead_of(uid: str) -> Lead:
    """The lead with this uid, with the one it was merged into. Raises CommandError, with the cure."""
    try:
        lead = Lead.objects.select_related("merged_into").filter(uid=uuid.UUID(uid)).first()
    except ValueError:
        raise CommandError(f"{uid!r} is not the uid of a lead; copy it from the lead's address, /leads/<uid>/.") from None
    if lead is None:
        raise CommandError(f"There is no lead {uid}; copy the uid from the lead's address, /leads/<uid>/.")
    return lead
