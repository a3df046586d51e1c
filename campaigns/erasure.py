"""Forgetting somebody in what we wrote: mails to their address on other leads, and the local mailbox."""

import mailbox

from django.conf import settings

from campaigns.models import Message
from leads.privacy import Forgotten, forget


def forget_person(email: str, *, suppress_unknown: bool = False) -> tuple[Forgotten, int, int]:
    """Forget the person with this address everywhere; returns what was done, the mails blanked and those deleted from the mailbox.

    Raises InboxBusy; then nothing was changed.
    """
    done = forget(email, suppress_unknown=suppress_unknown)
    return done, blank_messages(done), empty_mailbox(done)


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
