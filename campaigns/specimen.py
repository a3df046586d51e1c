"""A mail nobody gets: a step's words as they stand in the draft, filled in for one lead, to look at or to test."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from campaigns.documents import CampaignDoc, MessageDoc, StepDoc, TriggerDoc
from campaigns.envelope import make_mail
from campaigns.models import Campaign, Enrollment, Message
from campaigns.rendering import Rendered, TemplateProblem, render
from campaigns.transport import deliver_alone
from leads.models import Event, Identity, Lead, User, normalize_email
from leads.scoring import live_model

SUGGESTED = 20


@dataclass(frozen=True, slots=True)
class Specimen:
    """The mail as it would look for a lead, or the problem that keeps it from being made."""

    lead: Lead
    document: CampaignDoc
    message: Message
    rendered: Rendered | None
    problem: str = ""


def make(campaign: Campaign, lead: Lead, *, subject: str, body: str) -> Specimen:
    """Render these words for a lead as the sender would; links stay as they are, and no row is written."""
    document = document_of(campaign, subject=subject, body=body)
    event = latest_event(campaign, lead)
    run = Enrollment(campaign=campaign, lead=lead, event=event)
    message = Message(uid=uuid.uuid4(), enrollment=run, lead=lead, to=lead.email, step=document.steps[0].key)
    try:
        rendered = render(message, document=document, step=document.steps[0], now=timezone.now())
    except TemplateProblem as problem:
        return Specimen(lead, document, message, None, str(problem))
    return Specimen(lead, document, message, rendered)


def document_of(campaign: Campaign, *, subject: str, body: str) -> CampaignDoc:
    """What of the draft a mail depends on, with these words. The rest of the draft need not be readable."""
    return CampaignDoc(
        key=campaign.key,
        name=campaign.name,
        trigger=TriggerDoc(manual=True),
        class_=campaign.message_class,  # type: ignore[arg-type]
        topic=campaign.topic.key if campaign.topic else None,
        tracking=False,
        steps=[StepDoc(key="specimen", message=MessageDoc(subject=subject, body=body))],
    )


def latest_event(campaign: Campaign, lead: Lead) -> Event | None:
    """The lead's last event that could have started the campaign: what `event.…` shows."""
    wanted = campaign.trigger.get("event") if isinstance(campaign.trigger, dict) else None
    if not wanted:
        return None
    model = live_model()
    derived = model.derived.items() if model else ()
    sources = {wanted, *(source for source, pairs in derived if any(becomes == wanted for _, becomes in pairs))}
    return Event.objects.filter(lead=lead, type__in=sources).order_by("-at", "-pk").first()


# --- for whom -----------------------------------------------------------------------------------


def suggested_leads(campaign: Campaign) -> list[Lead]:
    """Leads to look at a mail for: those who came through the campaign last, then the warmest."""
    runs = campaign.enrollments.select_related("lead").order_by("-pk")[:SUGGESTED]
    found = {run.lead_id: run.lead for run in runs if run.lead.email}
    if len(found) < SUGGESTED:
        warm = Lead.objects.known().exclude(email="").order_by("-score", "-pk")[:SUGGESTED]
        found = {**found, **{lead.pk: lead for lead in warm if lead.pk not in found}}
    return list(found.values())[:SUGGESTED]


def find_lead(words: str) -> Lead | None:
    """The lead somebody means: by address, uid or user id."""
    words = words.strip()
    leads = Lead.objects.known().select_related("company", "owner", "first_source")
    if not words:
        return None
    if found := leads.filter(email=normalize_email(words)).first():
        return found
    try:
        return leads.filter(uid=uuid.UUID(words)).first()
    except ValueError:
        key = Identity.objects.filter(value__in={words, normalize_email(words)}).first()
        return leads.filter(pk=key.lead_id).first() if key else None


# --- to oneself ---------------------------------------------------------------------------------


def send_test(specimen: Specimen, to: User) -> None:
    """Send the mail to a colleague, marked [Test], through the transport; nothing is recorded. Raises a Failure."""
    if specimen.rendered is None:
        return
    specimen.message.to = to.email
    mail: Any = make_mail(specimen.message, specimen.rendered, document=specimen.document)
    mail.subject = f"[Test] {specimen.rendered.subject}"
    for header in ("List-Unsubscribe", "List-Unsubscribe-Post"):  # there is no message to unsubscribe from
        mail.extra_headers.pop(header, None)
    deliver_alone(mail)
