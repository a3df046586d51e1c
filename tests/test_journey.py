"""The journey of one person through every door: HTTP in, a mail out by SMTP, its link clicked, the click in the ledger."""

import email
import email.policy
import re
from datetime import timedelta

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.test import Client
from django.utils import timezone

from crm import playbook, sweep
from leads.models import Event, Lead, ScoreEntry
from tests.factories import make_source
from tests.stack import Sink, free_port

pytestmark = pytest.mark.django_db


class Mailbox(Sink):
    """A mail server that keeps what it got."""

    def __init__(self):
        super().__init__()
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd names it so
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def mailbox(settings):
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.MAILERS = {"default": settings_for(controller.port)}
    yield box
    controller.stop()


def settings_for(port):
    return {"BACKEND": "campaigns.transport.SMTPBackend", "OPTIONS": {"host": "127.0.0.1", "port": port, "timeout": 10}}


@pytest.mark.django_db(transaction=True)
def test_from_a_request_to_a_mail_and_back_by_its_link(mailbox, settings):
    settings.SENDER_NAME, settings.SENDER_ADDRESS = "Leadstate", "1 Example Street, Exampleton"
    playbook.apply_shipped(active=True)
    _, key = make_source()
    client = Client(headers={"Authorization": f"Bearer {key}"})
    start = timezone.now().replace(hour=10, minute=0) + timedelta(days=(7 - timezone.now().weekday()) % 7 + 7)  # a Monday morning

    with time_machine.travel(start, tick=False) as clock:
        answer = client.post(
            "/api/events",
            {
                "userId": "ada", "email": "ada@acme.example", "eventType": "DOWNLOADED_API_DOCS", "traits": {"name": "Ada"},
                "consent": {"newsletter": "granted"}, "proof": "sign-up form",
            },
            content_type="application/json",
        )  # fmt: skip
        assert answer.status_code == 200
        sweep.run_everything_due()
        receipt = client.get(f"/api/receipts/{answer.json()['receipt']}").json()
        assert (receipt["status"], receipt["stored"]) == ("processed", 1)
        lead = Lead.objects.get()
        assert (lead.score, lead.stage_id) == (20, "mql")
        assert mailbox.mails == []

        clock.shift(timedelta(hours=2))
        sweep.run_everything_due()
        assert len(mailbox.mails) == 1, list(lead.messages.values("state", "reason", "error", "due_at"))
        mail = mailbox.mails[0]
        assert mail["To"] == "ada@acme.example"
        link = re.search(r"http://\S+?/c/[\w-]+", mail.get_body(("plain",)).get_content())[0]

        clock.shift(timedelta(minutes=5))
        visit = Client().get("/" + link.split("/", 3)[3])
        assert visit.status_code == 302
        sweep.run_everything_due()
        assert not Event.objects.filter(type="EMAIL_CLICKED").exists()
        clock.shift(timedelta(seconds=20))
        sweep.run_everything_due()

        click = Event.objects.get(type="EMAIL_CLICKED")
        assert (click.lead, click.verdict) == (lead, "")
        assert ScoreEntry.objects.get(event=click).points == 2
        sweep.run_everything_due()
        assert len(mailbox.mails) == 1


def test_an_imported_download_of_three_months_ago_gives_points_and_no_mail(mailbox):
    playbook.apply_shipped(active=True)
    _, key = make_source()
    old = (timezone.now() - timedelta(days=89)).isoformat()
    message = {"type": "track", "event": "Downloaded API Docs", "userId": "ada", "timestamp": old, "messageId": "old-1"}
    identify = {"type": "identify", "userId": "ada", "traits": {"email": "ada@acme.example"}, "timestamp": old, "messageId": "old-2"}

    answer = Client().post(
        "/v1/import", {"batch": [identify, message]}, content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    )
    sweep.run_everything_due()

    assert answer.status_code == 200
    lead = Lead.objects.get()
    assert (lead.score, lead.stage_id) == (20, "mql")
    assert list(lead.enrollments.values_list("state", "reason")) == [("refused", "historical")]
    assert mailbox.mails == []
