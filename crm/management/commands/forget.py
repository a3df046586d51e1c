"""`manage.py forget EMAIL`: a person and everything they did are gone, the address stays suppressed."""

import mailbox
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from campaigns.models import Message
from leads.privacy import Forgotten, InboxBusy, forget


class Command(BaseCommand):
    """Say what was deleted, emptied and kept."""

    help = (
        "Delete the person with this address: lead, events, ledger, keys, messages, and raw bodies that name them. "
        "The address stays suppressed, as a hash. A message about them that still waits in the inbox is refused; "
        "its neighbors in the same request are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL")
        parser.add_argument("--suppress", action="store_true", help="suppress the address even if nobody here has it")

    def handle(self, *args: Any, email: str, suppress: bool, **options: Any) -> None:
        try:
            validate_email(email.strip())
        except ValidationError:
            raise CommandError(f"{email!r} is not a mail address; write one like ada@example.com.") from None
        try:
            done = forget(email, suppress_unknown=suppress)
        except InboxBusy as busy:
            raise CommandError(str(busy)) from busy
        blanked = blank_messages(done)
        mails = empty_mailbox(done)
        self.report(email, done, blanked=blanked, mails=mails)

    def report(self, email: str, done: Forgotten, *, blanked: int, mails: int) -> None:
        """Print what became of everything that named the person."""
        if done.leads:
            self.stdout.write(f"Forgotten: {email}")
        else:
            self.stdout.write(f"Nobody here has the address {email}.")
        for label, count in sorted(done.deleted.items()):
            self.stdout.write(f"  deleted   {count:>6}  {apps.get_model(label)._meta.verbose_name_plural}")
        for verb, count, what in [
            ("emptied", done.bodies_emptied, "raw bodies of requests that named them (the receipts stay)"),
            ("refused", done.messages_refused, "messages about them that still waited in the inbox"),
            ("blanked", done.mentions, "events of other people that mentioned the address"),
            ("blanked", blanked, "mails to the address that hung on other leads"),
            ("deleted", mails, "mails in the local mailbox"),
        ]:
            if count:
                self.stdout.write(f"  {verb:<9} {count:>6}  {what}")
        if done.suppressed:
            self.stdout.write(f"  suppressed {done.suppressed:>5}  addresses, by hash: no mail will ever go there")
        else:
            self.stdout.write("Nothing is suppressed. To make sure it is never mailed: add --suppress.")


def blank_messages(done: Forgotten) -> int:
    """Blank the mails that went to one of the addresses on behalf of another lead; returns how many.

    A question whether the address is right goes altogether: a lead can only have one of them without an address.
    """
    theirs = Message.objects.filter(to__in=done.addresses)
    asked = theirs.filter(kind=Message.Kind.CONFIRMATION).delete()[1].get("campaigns.Message", 0)
    return asked + theirs.update(to="", subject="", text="", html="", error="")


def empty_mailbox(done: Forgotten) -> int:
    """Delete the mails that name the person from the local mailbox, if there is one; returns how many."""
    if not settings.MAILBOX_DIR.is_dir():
        return 0
    box = mailbox.Maildir(settings.MAILBOX_DIR, create=False)
    naming = [key for key, mail in box.iteritems() if names(mail, done.addresses)]
    for key in naming:
        box.discard(key)
    return len(naming)


def names(mail: mailbox.MaildirMessage, addresses: set[str]) -> bool:
    """Whether one of the addresses stands in a header or in the text."""
    parts = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    text = " ".join(
        [*(str(value) for value in mail.values()), *(part.decode("utf-8", "replace") for part in parts if isinstance(part, bytes))]
    )
    return any(address in text.lower() for address in addresses)
