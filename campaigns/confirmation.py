"""Asking once whether an address that a browser brought is right, before anything else is sent to it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from campaigns.models import Message
from campaigns.rules import Hold
from leads.bell import ring
from leads.models import Event
from leads.recording import Recorded

# Who gave an address longer ago than this is not asked any more.
MAX_AGE = timedelta(days=2)
PRIORITY = 100


def ask_for_confirmation(*, events: Sequence[Event], recorded: Recorded, **kwargs: Any) -> None:
    """Queue a confirmation for each lead with an unconfirmed address. Receiver of events_recorded.

    A lead is asked once for each address, by constraint; one statement at most.
    """
    waiting = {
        event.lead_id: event.lead.unconfirmed_email
        for event in events
        if event.lead.unconfirmed_email and not event.lead.email and not event.historical and event.at > recorded.now - MAX_AGE
    }
    rows = [
        Message(
            kind=Message.Kind.CONFIRMATION,
            lead_id=pk,
            first_lead_id=pk,
            to=email,
            priority=PRIORITY,
            due_at=recorded.now,
            created_at=recorded.now,
        )
        for pk, email in waiting.items()
    ]
    if rows:
        Message.objects.bulk_create(rows, ignore_conflicts=True)
        ring("campaigns.tasks.send")


def not_needed(message: Message) -> Hold | None:
    """Why a confirmation is no longer to be sent: the question was answered, or is about another address now."""
    if message.kind != Message.Kind.CONFIRMATION:
        return None
    if message.lead.email == message.to:
        return Hold("skip", "confirmed")
    return None if message.lead.unconfirmed_email == message.to else Hold("skip", "address_changed")
