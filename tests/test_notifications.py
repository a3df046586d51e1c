"""Notifications: told once, tried again with patience, and one failure stays alone."""

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import time_machine
from django.core import mail
from django.db import connection
from django.utils import timezone

from leads.models import Notification
from leads.notifications import notification, send_notifications, tell
from tests.factories import make_lead, make_rep

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 8, 9, tzinfo=UTC)


@pytest.fixture
def chat(settings):
    """A chat server on this machine, and what it was posted."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            server.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.posts, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
    settings.CHAT_WEBHOOK_URL = f"http://127.0.0.1:{server.server_address[1]}/services/T0"
    yield server
    server.shutdown()
    server.server_close()


def make_notification(channel="mail", *, about="test:1", title="Look here", body="", user=None, now=None, **fields):
    row = notification(channel, about=about, title=title, body=body, lead=None, user=user, now=now or timezone.now())
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    return row


def test_a_mail_goes_to_the_colleague_once():
    rep = make_rep(username="ada")
    row = make_notification(user=rep, title="High intent lead\nready for a demo!", body="+30 Viewed pricing (3×)")

    assert send_notifications() == 1
    assert send_notifications() == 0

    [message] = mail.outbox
    assert message.to == ["ada@leadstate.example"]
    assert message.subject == "High intent lead ready for a demo!"
    assert message.body == "+30 Viewed pricing (3×)"
    assert message.extra_headers["Message-ID"] == f"<notification.{row.uid}@localhost>"
    row.refresh_from_db()
    assert (row.state, row.attempts, row.claim_token) == (Notification.State.SENT, 1, None)
    assert row.sent_at is not None


def test_chat_gets_slack_compatible_json_without_mentions(chat):
    make_notification("chat", title="High intent lead ready for a demo!", body="<!channel> & co")

    send_notifications()

    assert chat.posts == [{"text": "High intent lead ready for a demo!\n&lt;!channel&gt; &amp; co"}]
    assert Notification.objects.get().state == Notification.State.SENT


def test_the_same_thing_is_told_once_by_each_channel():
    rep, lead = make_rep(), make_lead()
    for _ in range(2):
        tell(
            [
                notification(channel, about="handoff:7", title="t", body="", lead=lead, user=rep, now=NOW)
                for channel in (Notification.Channel.IN_APP, Notification.Channel.MAIL)
            ]
        )

    assert sorted(Notification.objects.values_list("channel", "state")) == [("in_app", "sent"), ("mail", "pending")]


def test_what_is_told_in_the_app_is_not_sent():
    make_notification("in_app", user=make_rep())

    assert send_notifications() == 0
    assert mail.outbox == []


def test_what_is_not_due_waits():
    make_notification(user=make_rep(), now=timezone.now() + timedelta(minutes=1))

    assert send_notifications() == 0


def test_a_failing_chat_is_tried_again_with_growing_patience_and_then_given_up(chat):
    chat.status = 500
    with time_machine.travel(NOW, tick=False) as clock:
        row = make_notification("chat")
        waited = []
        while row.state == Notification.State.PENDING:
            assert send_notifications() == 1
            assert send_notifications() == 0
            before = timezone.now()
            row.refresh_from_db()
            if row.state == Notification.State.PENDING:
                waited.append(row.due_at - before)
                clock.move_to(row.due_at)

    assert waited == [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)]
    assert (row.state, row.attempts, len(chat.posts)) == (Notification.State.FAILED, 6, 6)
    assert "answered 500" in row.error


def test_a_chat_that_recovers_gets_the_message(chat):
    chat.status = 503
    with time_machine.travel(NOW, tick=False) as clock:
        row = make_notification("chat")
        send_notifications()
        chat.status = 200
        clock.shift(60)
        send_notifications()

    row.refresh_from_db()
    assert (row.state, row.attempts, row.error) == (Notification.State.SENT, 2, "")


def test_one_failure_does_not_stop_the_others(chat):
    chat.status = 500
    gone = make_rep(is_active=False)
    nameless = make_rep()
    nameless.email = ""
    nameless.save()
    make_notification("chat", about="test:1")
    make_notification(about="test:2", user=gone)
    make_notification(about="test:3", user=nameless)
    make_notification(about="test:4", user=make_rep(username="last"))

    assert send_notifications() == 4

    assert [message.to for message in mail.outbox] == [["last@leadstate.example"]]
    assert list(Notification.objects.order_by("pk").values_list("state", flat=True)) == ["pending", "failed", "failed", "sent"]
    assert "no mail address" in Notification.objects.get(user=nameless).error


def test_a_mail_server_that_is_away_is_tried_again(settings):
    settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "127.0.0.1", "port": 1}}}
    row = make_notification(user=make_rep())

    send_notifications()

    row.refresh_from_db()
    assert (row.state, row.attempts) == (Notification.State.PENDING, 1)
    assert row.due_at > timezone.now()
    assert "ConnectionRefusedError" in row.error


def test_a_private_address_is_refused_at_once(settings):
    settings.CHAT_WEBHOOK_URL = "http://169.254.169.254/latest"
    row = make_notification("chat")

    send_notifications()

    row.refresh_from_db()
    assert row.state == Notification.State.FAILED
    assert "not a public address" in row.error


def test_a_chat_that_was_switched_off_meanwhile_is_given_up():
    row = make_notification("chat")

    send_notifications()

    row.refresh_from_db()
    assert row.state == Notification.State.FAILED


def test_a_row_that_another_worker_holds_is_left_alone():
    row = make_notification(user=make_rep())
    Notification.objects.due(timezone.now()).claim(1)

    assert send_notifications() == 0
    assert mail.outbox == []

    with connection.cursor() as cursor:
        cursor.execute("UPDATE leads_notification SET lease_until = %s WHERE id = %s", ["2020-01-01 00:00:00+00:00", row.pk])
    assert send_notifications() == 1
    row.refresh_from_db()
    assert (row.state, row.claim_count) == (Notification.State.SENT, 0)


def test_a_row_that_killed_five_workers_is_left_to_staff():
    make_notification(user=make_rep(), claim_token=uuid.uuid4(), claim_count=5, lease_until=datetime(2020, 1, 1, tzinfo=UTC))

    assert send_notifications() == 0
    assert Notification.objects.stuck().count() == 1


def test_no_more_are_sent_than_asked_for():
    rep = make_rep()
    for number in range(3):
        make_notification(about=f"test:{number}", user=rep)

    assert send_notifications(limit=2) == 2
    assert len(mail.outbox) == 2
