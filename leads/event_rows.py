"""The messages of a group, written as events."""

from typing import Any

from django.db import connection

from leads.bulk import insert_rows
from leads.models import Event
from leads.recording import Arrival

EVENT_COLUMNS = [
    *("lead", "first_lead", "source", "message_id", "type", "properties", "traits"),
    *("identifies", "historical", "verdict", "content_digest", "model_version", "delivery", "at", "received_at"),
]
ATTRIBUTE_OF = {field.name: field.attname for field in Event._meta.concrete_fields}
ATTRIBUTES = [ATTRIBUTE_OF[column] for column in ("id", *EVENT_COLUMNS)]


def write_events(arrivals: list[Arrival], *, version_id: int | None) -> list[Event]:
    """Insert the events, to be scored by this version, and return those that are really new.

    A parallel worker may have stored the same message.
    """
    rows = [row_for(arrival, version_id=version_id) for arrival in arrivals]
    by_key = {
        (arrival.delivery.source_id, arrival.incoming.message_id): (arrival, row) for arrival, row in zip(arrivals, rows, strict=True)
    }
    columns = ("id", "source_id", "message_id")
    new = []
    for pk, *key in insert_rows(Event, rows, columns=EVENT_COLUMNS, ignore_conflicts=True, returning=columns):
        arrival, row = by_key[tuple(key)]
        arrival.event = Event.from_db(connection.alias, ATTRIBUTES, [pk, *row])
        new.append(arrival.event)
    return new


def row_for(arrival: Arrival, *, version_id: int | None) -> list[Any]:
    """The event that a message becomes, as EVENT_COLUMNS."""
    message, lead, delivery = arrival.incoming, arrival.lead, arrival.delivery
    traits = message.traits if arrival.trusted else {key: value for key, value in message.traits.items() if key != "email"}
    identifies = bool(message.user_id or arrival.email or (message.lead_uid and lead.is_known))
    return [
        *(lead.id, arrival.first_lead.id, delivery.source_id, message.message_id, message.type, message.properties, traits),
        *(identifies, delivery.historical, arrival.verdict, message.digest, version_id, delivery.id, message.at, delivery.received_at),
    ]
