"""HTTP doors for machines that read what we said to a lead."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse

from campaigns.models import Message
from leads.answers import MessageRow
from leads.doors import machine_door, reader
from leads.reads import find_lead, newest_first


@machine_door("GET", "HEAD")
def messages(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Every message to a lead, sent or not, with the reason."""
    reader(request)
    rows = Message.objects.filter(lead=find_lead(uid)).select_related("enrollment__campaign")
    return newest_first(request, rows, message_body, by="created_at")


def message_body(message: Message) -> MessageRow:
    """One message."""
    return MessageRow(
        campaign=message.enrollment.campaign.key if message.enrollment else None,
        step=message.step or None,
        channel="email",
        state=message.state,
        due_at=message.due_at,
        sent_at=message.sent_at,
        subject=message.subject,
        reason=message.reason,
    )
