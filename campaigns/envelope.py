"""A rendered message as a mail: who it is from, and the headers by which mail programs thread, list and unsubscribe."""

import re
from email import policy as policies
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage as MIMEMessage
from email.policy import Policy
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from campaigns.documents import CampaignDoc
from campaigns.models import Message
from campaigns.rendering import Rendered
from campaigns.tokens import unsubscribe_url

NOT_LABEL = re.compile(r"[^a-z0-9-]+")
LONGEST_LABEL = 40


class AddressHeader(UnstructuredHeader):
    """A header that holds web addresses: never folded or encoded, since no mail program would put it together again."""

    def fold(self, *, policy: Policy) -> str:
        """The header on one line, however long."""
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined] # the registry mixes it with BaseHeader


HEADERS = HeaderRegistry()
for header in ("list-unsubscribe", "list-id", "message-id"):
    HEADERS.map_to_type(header, AddressHeader)  # type: ignore[arg-type]


class Mail(EmailMultiAlternatives):
    """A mail whose address headers arrive as they were written, in seven bits: not every server takes eight."""

    def message(self, *, policy: Any = policies.default) -> MIMEMessage:
        """The mail as the standard library's message."""
        made: MIMEMessage = super().message(policy=policy.clone(header_factory=HEADERS, cte_type="7bit"))
        return made


def make_mail(message: Message, rendered: Rendered, *, document: CampaignDoc | None) -> Mail:
    """Put the message into its envelope. `document` is None for a confirmation, which belongs to no list."""
    owner = message.lead.owner
    reply_to = (owner.email if owner else "") or settings.REPLY_TO
    headers = {"Message-ID": f"<{message.uid}@{host()}>", "Auto-Submitted": "no"}
    if document is not None:
        headers["List-Id"] = f"<{label(document.topic or document.key)}.{host()}>"
        if document.class_ != "transactional":
            headers["List-Unsubscribe"] = f"<{unsubscribe_url(message)}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail = Mail(
        subject=rendered.subject,
        body=rendered.text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[message.to],
        reply_to=[reply_to] if reply_to else None,
        headers=headers,
    )
    mail.attach_alternative(rendered.html, "text/html")
    return mail


def host() -> str:
    """The host our addresses are on; also the right side of each Message-ID."""
    return urlsplit(settings.SITE_URL).hostname or "localhost"


def label(key: str) -> str:
    """A key as one label of a List-Id."""
    return NOT_LABEL.sub("-", key.lower()).strip("-")[:LONGEST_LABEL] or "list"
