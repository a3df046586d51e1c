"""From a step's template to a finished mail: subject, HTML and text from one source of Liquid over Markdown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from campaigns.documents import CampaignDoc, StepDoc
from campaigns.markup import BadLink, Parts, check_links, convert
from campaigns.models import Message
from campaigns.templating import (
    Fields,
    TemplateProblem,
    Trusted,
    blank_out,
    check_variables,
    compile_template,
    one_line,
    render_marked,
    render_text,
)
from campaigns.tokens import LINKS_PER_MESSAGE, absolute, confirm_url, link_token, unsubscribe_url
from leads.models import Company, Lead, Topic

__all__ = ["Rendered", "TemplateProblem", "check_template", "render", "render_confirmation"]

MAX_SOURCE = 100_000
# Gmail cuts mails at 102 KB, and the unsubscribe link at their end with them.
MAX_MARKETING_SOURCE = 80_000
MAX_SUBJECT = 300
MAX_LINKS = LINKS_PER_MESSAGE - 1

LEAD_FIELDS = ("name", "email", "phone", "title", "country", "timezone", "score", "engagement", "fit", "traits")
# What a template may name; None: any field, for only the product knows which there are.
KNOWN: Fields = {
    "lead": frozenset({*LEAD_FIELDS, "first_name", "stage"}),
    "company": frozenset({"name", "domain", "traits"}),
    "event": None,
    "campaign": frozenset({"key", "name", "topic"}),
    "sender": frozenset({"name", "email", "company", "address"}),
    "unsubscribe_url": frozenset(),
}

CONFIRMATION_SUBJECT = "Is this your address?"
CONFIRMATION_BODY = """\
Somebody, probably you, gave this address at {{ sender.company | default: "our site" }}.

[Yes, this is my address]({{ confirm_url }})

If it was not you, there is nothing to do: without your answer we won't write again.
"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished mail. `links` are the addresses its click links stand for, in order of position from 1."""

    subject: str
    text: str
    html: str
    links: list[str]


class Links:
    """Collects the links of one mail, and gives each its address in it."""

    def __init__(self, message: Message, *, tracking: bool, untouched: frozenset[str]) -> None:
        self.message = message
        self.tracking = tracking
        self.untouched = untouched
        self.urls: list[str] = []

    def address(self, url: str) -> str:
        """What goes into the mail for `url`: with tracking a token's address, the same one for the same link."""
        if not self.tracking or url in self.untouched or not url.startswith(("http://", "https://")):
            return url
        if url not in self.urls:
            self.urls.append(url)
        if len(self.urls) > MAX_LINKS:
            raise BadLink(f"there are more than {MAX_LINKS} links; take some out")
        return absolute("campaigns:click", link_token(self.message, self.urls.index(url) + 1))


def check_template(source: str, *, marketing: bool) -> None:
    """Raise TemplateProblem when a subject or body could never be sent: syntax, variables, links, size."""
    most = MAX_MARKETING_SOURCE if marketing else MAX_SOURCE
    if len(source) > most:
        raise TemplateProblem(f"the template has {len(source)} characters; {most} is the most, because mail programs cut longer mails")
    template = compile_template(source)
    check_variables(template, source, known=KNOWN)
    try:
        check_links(blank_out(source))
    except BadLink as error:
        raise TemplateProblem(str(error)) from error


def render(message: Message, *, document: CampaignDoc, step: StepDoc, now: datetime) -> Rendered:
    """Render the message of a step for its lead. Touches no rows. Raises TemplateProblem, also for a missing value."""
    if step.message is None:
        raise TemplateProblem(f"the step {step.key} has no message")
    leave = unsubscribe_url(message)
    topic = topic_name(document)
    context = {
        "lead": lead_values(message.lead),
        "company": company_values(message.lead.company),
        "event": event_values(message),
        "campaign": present({"key": document.key, "name": document.name, "topic": topic}),
        "sender": sender_values(message.lead),
        "unsubscribe_url": Trusted(leave),
    }
    links = Links(message, tracking=document.tracking, untouched=frozenset({leave}))
    body = body_parts(step.message.body, context, address=links.address)
    may_leave = document.class_ != "transactional"
    footer = {"unsubscribe_url": leave if may_leave else "", "topic": topic if may_leave else ""}
    return assemble(subject_line(step.message.subject, context), body, footer=footer, links=links.urls)


def render_confirmation(message: Message) -> Rendered:
    """Render the mail that asks whether an address is right. It quotes nothing that a stranger may have typed."""
    context = {"sender": present({"company": settings.SENDER_NAME}), "confirm_url": Trusted(confirm_url(message))}
    body = body_parts(CONFIRMATION_BODY, context, address=lambda url: url)
    return assemble(CONFIRMATION_SUBJECT, body, footer={"unsubscribe_url": "", "topic": ""}, links=[])


def body_parts(source: str, context: dict[str, Any], *, address: Callable[[str], str]) -> Parts:
    """Both parts of a body. Raises TemplateProblem."""
    markdown, values = render_marked(source, context)
    try:
        return convert(markdown, values, address=address)
    except BadLink as error:
        raise TemplateProblem(str(error)) from error


def subject_line(source: str, context: dict[str, Any]) -> str:
    """The subject: one line, not empty. Raises TemplateProblem."""
    subject = one_line(render_text(source, context))
    if not subject:
        raise TemplateProblem("the subject is empty for this lead; give it words that don't depend on a value")
    return subject if len(subject) <= MAX_SUBJECT else subject[: MAX_SUBJECT - 1] + "…"


def assemble(subject: str, body: Parts, *, footer: dict[str, str], links: list[str]) -> Rendered:
    """Put the body into the mail's frame, with the sender's footer in both parts."""
    page = {
        "subject": subject,
        "body": mark_safe(body.html),  # noqa: S308 - cleaned in campaigns.markup
        "text": mark_safe(body.text),  # noqa: S308 - goes into the plain text part only
        "sender_name": settings.SENDER_NAME,
        "sender_address": settings.SENDER_ADDRESS,
    } | footer
    html = render_to_string("campaigns/mail.html", page)
    text = render_to_string("campaigns/mail.txt", page).strip() + "\n"
    return Rendered(subject=subject, text=text, html=html, links=links)


def lead_values(lead: Lead) -> dict[str, Any]:
    """What `lead.…` gives; what is not known is left out, so that a default takes its place."""
    values = {name: getattr(lead, name) for name in LEAD_FIELDS}
    first_name = lead.traits.get("first_name") or lead.traits.get("firstName") or next(iter(lead.name.split()), "")
    return present(values | {"first_name": first_name, "stage": lead.stage_id})


def company_values(company: Company | None) -> dict[str, Any]:
    """What `company.…` gives."""
    return present({"name": company.name, "domain": company.domain, "traits": company.traits}) if company else {}


def event_values(message: Message) -> dict[str, Any]:
    """What `event.…` gives: the properties of the event that started the run."""
    event = message.enrollment.event if message.enrollment else None
    return event.properties if event else {}


def sender_values(lead: Lead) -> dict[str, Any]:
    """What `sender.…` gives: the lead's owner, else the name and address we send under."""
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    person = lead.owner
    values = {
        "name": person.get_full_name() if person else settings.SENDER_NAME or name,
        "email": (person.email if person else "") or settings.REPLY_TO or address,
        "company": settings.SENDER_NAME,
        "address": settings.SENDER_ADDRESS,
    }
    return present(values)


def present(values: dict[str, Any]) -> dict[str, Any]:
    """Without the empty ones."""
    return {name: value for name, value in values.items() if value not in (None, "")}


def topic_name(document: CampaignDoc) -> str:
    """The topic as people read it, "" without one."""
    name = Topic.objects.filter(key=document.topic).values_list("name", flat=True).first() if document.topic else None
    return name or document.topic or ""
