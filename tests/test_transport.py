import mailbox
import time

import pytest
from django.core.mail import EmailMessage

from campaigns import transport
from campaigns.transport import ConnectionFailure, PermanentFailure, TemporaryFailure, Unclear, deliver
from tests.mailserver import mail_server, smtp_mailers


@pytest.fixture
def server(settings):
    with mail_server() as recorder:
        settings.MAILERS = smtp_mailers(recorder.port)
        yield recorder


def send(hook=lambda: None, to="ada@example.com"):
    deliver(EmailMessage(subject="Hello", body="Text", to=[to]), before_data=hook)


def test_mail_arrives_and_the_hook_runs_once_before_the_body(server):
    seen = []

    send(lambda: seen.append(len(server.mails)))

    assert seen == [0]
    (mail,) = server.mails
    assert mail.rcpt_tos == ["ada@example.com"]
    assert server.messages[0]["Subject"] == "Hello"


def test_the_connection_is_used_again(server):
    for _ in range(5):
        send()

    assert len(server.mails) == 5
    assert server.connections == 1


def test_a_connection_the_server_closed_meanwhile_is_opened_anew(server):
    send()
    server.drop = "rcpt"
    with pytest.raises(ConnectionFailure):
        send()
    server.drop = ""
    send()

    transport.per_thread.backend.connection.sock.shutdown(2)  # as if the server had timed out
    send()

    assert len(server.mails) == 3


@pytest.mark.parametrize(
    ("answer", "code"),
    [("450 4.2.1 try later", 450), ("421 4.3.2 shutting down", 421), ("452 4.2.2 mailbox full", 452)],
)
def test_a_4xx_to_the_recipient_is_temporary(server, answer, code):
    server.on_rcpt = answer

    with pytest.raises(TemporaryFailure) as failure:
        send()

    assert failure.value.code == code
    assert server.mails == []


@pytest.mark.parametrize(
    ("answer", "bounce"),
    [
        ("550 5.1.1 The email account that you tried to reach does not exist", True),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound", True),
        ("550 User unknown", True),
        ("550 No such user here", True),
        ("550 5.7.1 Unsolicited mail, user unknown to like it", False),
        ("550 5.4.1 Relay denied", False),
        ("550 rejected", False),
        ("554 blocked", False),
    ],
)
def test_a_5xx_is_permanent_and_only_a_missing_mailbox_is_a_bounce(server, answer, bounce):
    server.on_rcpt = answer

    with pytest.raises(PermanentFailure) as failure:
        send()

    assert failure.value.is_bounce is bounce


def test_answers_after_the_body_are_definite_too(server):
    server.on_data = "451 4.7.1 greylisted"
    with pytest.raises(TemporaryFailure) as failure:
        send()
    assert failure.value.code == 451

    server.on_data = "554 5.7.1 spam"
    with pytest.raises(PermanentFailure):
        send()


@pytest.mark.parametrize("place", ["rcpt", "data"])
def test_a_server_that_hangs_up_before_the_body_has_nothing(server, place):
    server.drop = place

    with pytest.raises(ConnectionFailure):
        send()


def test_a_server_that_hangs_up_after_the_dot_leaves_it_unclear(server):
    server.drop = "dot"

    with pytest.raises(Unclear):
        send()


def test_a_server_too_slow_after_the_dot_leaves_it_unclear(server, monkeypatch):
    monkeypatch.setattr(transport, "FINAL_REPLY_SECONDS", 0.3)
    server.slow = 1.5

    with pytest.raises(Unclear):
        send()


def test_the_final_answer_may_take_longer_than_a_command(server, settings):
    settings.MAILERS = smtp_mailers(server.port, timeout=0.5)
    server.slow = 1.0

    started = time.monotonic()
    send()

    assert time.monotonic() - started >= 1.0
    assert transport.per_thread.backend.connection.sock.gettimeout() == 0.5


def test_a_hook_that_raises_stops_the_mail(server):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        send(stop)
    send()

    assert len(server.mails) == 1


def test_a_server_that_is_down_is_a_connection_failure(server):
    server.stop()

    with pytest.raises(ConnectionFailure, match=r"no connection to 127\.0\.0\.1"):
        send()


def test_a_wrong_password_is_no_failure_of_the_mail(server, settings):
    settings.MAILERS = smtp_mailers(server.port, username="u", password="p")  # the server offers no AUTH

    with pytest.raises(ConnectionFailure):
        send()


def test_a_refused_sender_waits_but_a_mail_too_big_fails(server):
    server.on_mail = "550 5.7.1 sender not allowed"
    with pytest.raises(TemporaryFailure):
        send()

    server.on_mail = "552 5.3.4 message too big"
    with pytest.raises(PermanentFailure):
        send()


@pytest.mark.parametrize("to", ["not an address", "a@b.example\r\nRCPT TO:<x@y.example>", "ä@example.com"])
def test_an_address_that_cannot_be_mailed_fails_for_good(server, to):
    with pytest.raises(PermanentFailure):
        send(to=to)

    assert server.mails == []


def test_the_mailbox_backend_keeps_mails_in_a_folder(settings, tmp_path):
    folder = tmp_path / "deep" / "mailbox"
    settings.MAILERS = {"default": {"BACKEND": "campaigns.transport.MailboxBackend", "OPTIONS": {"folder": str(folder)}}}

    send()

    (mail,) = mailbox.Maildir(folder, create=False)
    assert mail["To"] == "ada@example.com"
