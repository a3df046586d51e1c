"""`manage.py forget EMAIL`: a person and everything they did are gone, the address stays suppressed."""

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from campaigns.erasure import forget_person
from leads.privacy import Forgotten, InboxBusy


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
            done, blanked, mails = forget_person(email, suppress_unknown=suppress)
        except InboxBusy as busy:
            raise CommandError(str(busy)) from busy
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
