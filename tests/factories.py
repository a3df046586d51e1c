"""Plain makers of rows for tests: keyword-only, counters instead of chance."""

import itertools
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from campaigns.models import Campaign, CampaignVersion, Enrollment, Message
from leads.models import (
    Company,
    Consent,
    ContactPoint,
    Event,
    Identity,
    Lead,
    ScoreEntry,
    ScoringVersion,
    Source,
    Topic,
    Transition,
    User,
    hash_address,
)

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


def make_transition(*, lead: Lead, to: str = "sql", at: datetime | None = None, **fields: Any) -> Transition:
    """A recorded stage change, and the lead standing where it leads; without what follows from it."""
    transition = Transition.objects.create(
        **{
            "lead": lead,
            "seq": lead.stage_seq + 1,
            "from_stage_id": lead.stage_id,
            "to_stage_id": to,
            "engagement": lead.engagement,
            "fit": lead.fit,
            "at": at or timezone.now(),
        }
        | fields
    )
    lead.stage_id, lead.stage_seq, lead.stage_since = to, transition.seq, transition.at
    lead.save(update_fields=["stage", "stage_seq", "stage_since"])
    return transition


def make_version(**sections: Any) -> ScoringVersion:
    """A published scoring model; sections as in a playbook: scoring={"rules": […]}, gates=[…]."""
    return ScoringVersion.objects.create(number=ScoringVersion.objects.count() + 1, document=sections)


def make_entry(
    *, lead: Lead, points: int, version: ScoringVersion, rule: str = "made", axis: str = "engagement", **fields: Any
) -> ScoreEntry:
    """A line of the ledger, and the lead's column with it."""
    entry = ScoreEntry.objects.create(
        **{
            "lead": lead,
            "first_lead": lead,
            "axis": axis,
            "kind": "points" if axis == "engagement" else "fit",
            "cause": f"event:{900_000 + next(counter)}",
            "rule": rule,
            "raw": points,
            "points": points,
            "version": version,
            "at": timezone.now(),
        }
        | fields
    )
    setattr(lead, axis, getattr(lead, axis) + points)
    lead.save(update_fields=[axis])
    return entry


def make_campaign(*, status: str = "active", **document: Any) -> Campaign:
    """A published campaign with the fields of a playbook entry (`class_` for class); without steps, one mail at once."""
    number = next(counter)
    defaults = {
        "key": f"CAMPAIGN-{number}",
        "name": f"Campaign {number}",
        "trigger": {"event": "DOWNLOADED_API_DOCS"},
        "topic": "newsletter",
        "steps": [make_step()],
    }
    document = defaults | {name.rstrip("_"): value for name, value in document.items()}
    topic = document["topic"]
    campaign = Campaign.objects.create(
        key=document["key"],
        name=document["name"],
        trigger=document["trigger"],
        message_class=document.get("class", "marketing"),
        topic=Topic.objects.get_or_create(key=topic, defaults={"name": topic})[0] if topic else None,
        status=status,
    )
    publish_document(campaign, document)
    return campaign


def publish_document(campaign: Campaign, document: dict[str, Any]) -> CampaignVersion:
    """Make `document` the campaign's live version."""
    number = campaign.versions.count() + 1
    campaign.live = CampaignVersion.objects.create(campaign=campaign, number=number, document=document, published_at=timezone.now())
    campaign.save()
    return campaign.live


def make_step(key: str = "welcome", **fields: Any) -> dict[str, Any]:
    """A step as in a playbook; a mail unless it says otherwise."""
    what = {} if {"notify", "exit"} & set(fields) else {"message": {"subject": f"About {key}", "body": "Hello"}}
    return {"key": key, **what, **fields}


def make_contact_point(email: str, **fields: Any) -> ContactPoint:
    """Where consent and suppression of an address live."""
    return ContactPoint.objects.update_or_create(address_hash=hash_address(email), defaults=fields)[0]


def make_consent(*, email: str, topic: str | None = "newsletter", status: str = "granted", **fields: Any) -> Consent:
    """Somebody's word on a topic; without a topic, on all marketing."""
    row = Topic.objects.get_or_create(key=topic, defaults={"name": topic})[0] if topic else None
    return Consent.objects.create(contact_point=make_contact_point(email), topic=row, status=status, source="test", **fields)


def make_message(*, run: Enrollment, step: str = "welcome", **fields: Any) -> Message:
    """A message of a run, scheduled unless told otherwise."""
    email = run.lead.email
    return Message.objects.create(
        **{
            "enrollment": run,
            "step": step,
            "lead": run.lead,
            "first_lead": run.lead,
            "to": email,
            "contact_point": make_contact_point(email) if email else None,
            "due_at": timezone.now(),
        }
        | fields
    )


def make_enrollment(*, campaign: Campaign, lead: Lead, **fields: Any) -> Enrollment:
    """A run that waits for the message of its campaign's first step."""
    steps = campaign.live.document["steps"]
    return Enrollment.objects.create(
        **{
            "campaign": campaign,
            "version": campaign.live,
            "lead": lead,
            "first_lead": lead,
            "cause": f"made:{next(counter)}",
            "cause_at": timezone.now(),
            "next_step": steps[0]["key"] if steps else "",
            "started_at": timezone.now(),
        }
        | fields
    )
