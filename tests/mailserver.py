"""A real SMTP server for tests, on a port of its own, that misbehaves on request."""

import asyncio
import contextlib
import email.policy
import socket
from email import message_from_bytes

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class Recorder:
    """Takes mails. `on_rcpt` and `on_data` are answers to give instead of 250; `drop` says where to hang up."""

    def __init__(self):
        self.mails = []
        self.connections = 0
        self.on_mail = self.on_rcpt = self.on_data = ""
        self.drop = ""
        self.slow = 0.0

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        if self.on_mail:
            return self.on_mail
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.drop == "rcpt":
            server.transport.abort()
            return "250 OK"
        if self.on_rcpt:
            return self.on_rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.drop == "dot":
            server.transport.abort()
            return "250 OK"
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.on_data:
            return self.on_data
        self.mails.append(envelope)
        return "250 OK"

    @property
    def messages(self):
        """The mails received, parsed."""
        return [message_from_bytes(envelope.content, policy=email.policy.default) for envelope in self.mails]


class Server(SMTP):
    """Hangs up at the DATA command when asked to."""

    async def smtp_DATA(self, arg):  # noqa: N802
        if self.event_handler.drop == "data":
            self.transport.abort()
            return
        await super().smtp_DATA(arg)

    def connection_made(self, transport):
        self.event_handler.connections += 1
        super().connection_made(transport)


class Port(Controller):
    """Runs the server in a thread."""

    def factory(self):
        return Server(self.handler, hostname="test")


@contextlib.contextmanager
def mail_server():
    """A running server: yields its Recorder, which has `port` and `stop`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    recorder = Recorder()
    controller = Port(recorder, hostname="127.0.0.1", port=port)
    controller.start()
    recorder.port, recorder.stop = port, controller.stop
    recorder.connections = 0  # the controller looked whether it runs
    try:
        yield recorder
    finally:
        with contextlib.suppress(AssertionError):
            controller.stop()


def smtp_mailers(port, **options):
    """A MAILERS setting for the server on `port`."""
    return {
        "default": {
            "BACKEND": "campaigns.transport.SMTPBackend",
            "OPTIONS": {"host": "127.0.0.1", "port": port, "timeout": 5} | options,
        }
    }
