"""How a mail leaves: one SMTP conversation with a known outcome, or a folder on this machine.

The outcome decides whether a mail may be tried again. Until its body was sent it may (TemporaryFailure);
a definite no is final (PermanentFailure); a body sent without a definite answer is Unclear, and never sent
again by itself.
"""

import mailbox
import os
import re
import smtplib
import threading
from collections.abc import Callable, Sequence
from email import policy
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, mailers
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend

# RFC 5321 §4.5.3.2.6 gives a server ten minutes to answer the final dot.
FINAL_REPLY_SECONDS = 600
COMMAND_SECONDS = 60.0
ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
# Enhanced codes that mean: this mailbox, or its domain, does not exist.
NO_SUCH_MAILBOX = frozenset({"5.1.1", "5.1.2", "5.1.10"})
NO_SUCH_USER = re.compile(
    r"user (is )?unknown|unknown (user|recipient|mailbox)|no such (user|recipient|mailbox|address)|"
    r"(user|recipient|mailbox|address|account) (was )?not found|mailbox unavailable|does not exist|doesn't exist",
    re.IGNORECASE,
)

Hook = Callable[[], None]


class Failure(Exception):
    """A mail that did not go out as it should. `code`: the server's answer, or None when there was none."""

    def __init__(self, code: int | None, reply: str) -> None:
        super().__init__(f"{code} {reply}" if code else reply)
        self.code = code
        self.reply = reply


class TemporaryFailure(Failure):
    """Nothing was accepted; trying again later is safe and makes sense."""


class ConnectionFailure(TemporaryFailure):
    """The server could not be talked to at all: what fails for this mail fails for the others too."""


class PermanentFailure(Failure):
    """The server said no, for good."""

    @property
    def is_bounce(self) -> bool:
        """Whether the address does not exist (and not, for example, that our mail was not liked: 5.7.1)."""
        if enhanced := ENHANCED.search(self.reply):
            return enhanced[1] in NO_SUCH_MAILBOX
        return self.code in {550, 551, 553} and bool(NO_SUCH_USER.search(self.reply))


class Unclear(Failure):
    """The body was sent and no definite answer came: the mail may have arrived."""


class Conversation(smtplib.SMTP):
    """SMTP that tells us when the body is about to go out, and waits long enough for the last answer."""

    before_data: Hook | None = None
    body_sent = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        """The DATA command; `before_data` runs just before it and may still stop it by raising."""
        self.body_sent = False
        if self.before_data is not None:
            self.before_data()
        return super().data(msg)

    def send(self, s: Any) -> None:
        """Write to the server. Commands are str; bytes are the body, and from then on its fate is the server's."""
        if not isinstance(s, bytes):
            return super().send(s)
        self.body_sent = True
        super().send(s)
        if self.sock is not None:
            self.sock.settimeout(FINAL_REPLY_SECONDS)
        return None

    def getreply(self) -> tuple[int, bytes]:
        """Read one answer; afterwards the short timeout holds again."""
        answer = super().getreply()
        if self.body_sent and self.sock is not None:
            self.sock.settimeout(self.timeout)
        return answer


class SecureConversation(Conversation, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


class SMTPBackend(EmailBackend):
    """Django's SMTP backend, with outcomes one can act on. `deliver` keeps its connection open for the next mail."""

    connection: Conversation | None
    _partial_connection: Conversation | None

    def __init__(self, *, timeout: float = COMMAND_SECONDS, **options: Any) -> None:
        super().__init__(timeout=timeout, **options)

    @property
    def connection_class(self) -> type[Conversation]:
        """The kind of connection that Django's `open` makes."""
        return SecureConversation if self.use_ssl else Conversation

    def deliver(self, email: EmailMessage, *, before_data: Hook) -> None:
        """Send one mail to its one recipient; returns when the server has accepted it.

        `before_data` runs just before the DATA command. Raises TemporaryFailure, PermanentFailure or Unclear,
        and whatever `before_data` raises (then nothing was sent). A connection the server has closed since the
        last mail is opened anew, once.
        """
        sender, recipients, raw = self.prepare(email)
        reused = self.connect()
        try:
            self.converse(sender, recipients, raw, before_data)
        except ConnectionFailure:
            if not reused:
                raise
            self.connect()
            self.converse(sender, recipients, raw, before_data)

    def prepare(self, email: EmailMessage) -> tuple[str, str, bytes]:
        """The envelope's sender and recipient and the mail's bytes; an address that can't be mailed is a PermanentFailure."""
        try:
            (recipient,) = email.recipients()
            return self.prep_address(email.from_email), self.prep_address(recipient), email.message(policy=policy.SMTP).as_bytes()
        except ValueError as error:
            raise PermanentFailure(None, f"this mail can't be addressed: {error}") from error

    def connect(self) -> bool:
        """Open the connection unless it is open; returns whether it was. Raises ConnectionFailure."""
        try:
            return not self.open()
        except smtplib.SMTPResponseException as error:  # a wrong password is ours to mend, the mail waits
            self.hang_up()
            raise ConnectionFailure(error.smtp_code, text(error.smtp_error)) from error
        except OSError as error:
            self.hang_up()
            raise ConnectionFailure(None, f"no connection to {self.host}:{self.port}: {error}") from error

    def converse(self, sender: str, recipient: str, raw: bytes, before_data: Hook) -> None:
        """One transaction on the open connection; after anything but a plain answer the connection is given up."""
        connection: Conversation = self.connection  # type: ignore[assignment] # connect() made it
        connection.before_data, connection.body_sent = before_data, False
        try:
            connection.sendmail(sender, [recipient], raw)
        except smtplib.SMTPRecipientsRefused as error:
            code, reply = error.recipients[recipient]
            raise self.refusal(code, text(reply), begun=False) from error
        except smtplib.SMTPSenderRefused as error:
            raise self.refusal(error.smtp_code, text(error.smtp_error), begun=False, sender=True) from error
        except smtplib.SMTPDataError as error:
            raise self.refusal(error.smtp_code, text(error.smtp_error), begun=connection.body_sent) from error
        except OSError as error:  # all of smtplib's exceptions are; none of the rest is an answer to this mail
            raise self.broken(str(error), begun=connection.body_sent) from error
        except BaseException:
            self.hang_up()
            raise

    def refusal(self, code: int, reply: str, *, begun: bool, sender: bool = False) -> Failure:
        """What an answer other than 250 means; `begun`: the body was sent.

        A refused sender is a mistake in our settings, so the mail waits; except when it is the mail that is too big.
        """
        if 500 <= code <= 599:
            for_good = not sender or code == 552 or "5.3.4" in reply
            return PermanentFailure(code, reply) if for_good else TemporaryFailure(code, reply)
        if code == 421:
            self.hang_up()
            return TemporaryFailure(code, reply) if begun else ConnectionFailure(code, reply)
        if 400 <= code <= 499:
            return TemporaryFailure(code, reply)
        return self.broken(f"the server answered {code} {reply}", begun=begun)

    def broken(self, what: str, *, begun: bool) -> Failure:
        """What a conversation without a definite answer means: it depends on whether the body was sent."""
        self.hang_up()
        return Unclear(None, what) if begun else ConnectionFailure(None, what)

    def hang_up(self) -> None:
        """Drop the connection without a word: the server may not be listening any more."""
        for connection in (self.connection, self._partial_connection):
            if connection is not None:
                connection.close()
        self.connection = None
        self._partial_connection = None


class MailboxBackend(BaseEmailBackend):
    """Puts mails into a Maildir folder of this machine, for demo and development; /mailbox/ shows them."""

    def __init__(self, *, folder: str, **options: Any) -> None:
        super().__init__(**options)
        self.folder = Path(folder)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store the mails; returns how many."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        box = mailbox.Maildir(self.folder, create=True)
        for email in email_messages:
            box.add(email.message().as_bytes())
        return len(email_messages)


per_thread = threading.local()


def deliver(email: EmailMessage, *, before_data: Hook) -> None:
    """Send one mail by the configured mailer, on this thread's own connection. Raises a Failure, see above."""
    backend = backend_of_thread()
    if isinstance(backend, SMTPBackend):
        backend.deliver(email, before_data=before_data)
        return
    before_data()
    try:
        backend.send_messages([email])
    except OSError as error:
        raise Unclear(None, str(error)) from error


def deliver_alone(email: EmailMessage) -> None:
    """Send one mail on a connection of its own, which is closed again. Raises a Failure, see above."""
    backend = mailers.default
    try:
        if isinstance(backend, SMTPBackend):
            backend.deliver(email, before_data=lambda: None)
        else:
            backend.send_messages([email])
    except OSError as error:
        raise Unclear(None, str(error)) from error
    finally:
        backend.close()


def backend_of_thread() -> BaseEmailBackend:
    """The backend of this thread, made once in each process for the settings as they are."""
    config = (os.getpid(), repr(settings.MAILERS["default"]))
    if getattr(per_thread, "config", None) != config:
        per_thread.config, per_thread.backend = config, mailers.default
    backend: BaseEmailBackend = per_thread.backend
    return backend


def text(reply: bytes | str) -> str:
    """A server's answer as one line of text."""
    decoded = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(decoded.split())[:500]
