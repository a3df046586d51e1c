"""Plain makers of rows for tests: keyword-only, counters instead of chance."""

import itertools
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from leads.models import Company, Event, Identity, Lead, Source, User

counter = itertools.count(1)


def make_source(*, scope: str = "server", **fields: Any) -> tuple[Source, str]:
    """A source and its key."""
    source, key = Source.create_with_key(fields.pop("name", f"Source {next(counter)}"), scope)
    for name, value in fields.items():
        setattr(source, name, value)
    source.save()
    return source, key


def make_rep(*, username: str = "", **fields: Any) -> User:
    """A member of the group Sales."""
    username = username or f"rep{next(counter)}"
    user = User.objects.create_user(username, f"{username}@leadstate.example", "a-long-password", **fields)
    user.groups.add(Group.objects.get(name="Sales"))
    return user


def make_company(**fields: Any) -> Company:
    """A company with a domain."""
    number = next(counter)
    return Company.objects.create(**{"name": f"Company {number}", "domain": f"company{number}.example"} | fields)


def make_lead(**fields: Any) -> Lead:
    """A known lead with an address, named by the identity it brings."""
    email = fields.pop("email", f"person{next(counter)}@example.com")
    lead = Lead.objects.create(email=email, is_known=bool(email), **fields)
    if email:
        Identity.objects.create(kind=Identity.Kind.EMAIL, value=email, lead=lead, first_lead=lead)
    return lead


def make_event(*, lead: Lead, type: str = "SIGNED_UP", at: datetime | None = None, **fields: Any) -> Event:
    """A stored event of a lead, without going through the intake."""
    number = next(counter)
    return Event.objects.create(
        **{
            "lead": lead,
            "first_lead": lead,
            "source": Source.built_in(),
            "message_id": f"made-{number}",
            "type": type,
            "identifies": True,
            "content_digest": f"{number:032x}",
            "at": at or timezone.now(),
        }
        | fields
    )
