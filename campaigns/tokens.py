"""Short tokens in the addresses we mail: they name a row, carry a proof that we made them, and never an address.

24 characters, because a longer List-Unsubscribe header would be folded into something mail clients can't follow:
urlsafe base64 of a 6-byte number and 12 bytes of HMAC-SHA256 under a key of the token's purpose.
"""

import base64
import binascii
import hmac
from enum import StrEnum

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac

from campaigns.models import Link, Message

NUMBER_BYTES = 6
PROOF_BYTES = 12
# A link's number is its message's, times this, plus its position in the mail.
LINKS_PER_MESSAGE = 256


class Purpose(StrEnum):
    """What a token may be used for; a token of one purpose is worth nothing for another."""

    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"
    CONFIRM = "confirm"


def make_token(number: int, purpose: Purpose) -> str:
    """The token of row `number` (0 ≤ number < 2⁴⁸)."""
    raw = number.to_bytes(NUMBER_BYTES)
    return base64.urlsafe_b64encode(raw + proof(raw, purpose, settings.SECRET_KEY)).decode()


def read_token(token: str, purpose: Purpose) -> int | None:
    """The number in a token we made for this purpose, under the present key or a former one; else None."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    number, given = raw[:NUMBER_BYTES], raw[NUMBER_BYTES:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if any(hmac.compare_digest(given, proof(number, purpose, key)) for key in keys):
        return int.from_bytes(number)
    return None


def proof(raw: bytes, purpose: Purpose, secret: str) -> bytes:
    """The first bytes of the HMAC that shows we made the token."""
    return salted_hmac(f"campaigns.tokens.{purpose}", raw, secret=secret, algorithm="sha256").digest()[:PROOF_BYTES]


def link_token(message: Message, position: int) -> str:
    """The token of the link at `position` (from 1). Known before the Link row is, so a mail can be rendered first."""
    return make_token((message.pk or 0) * LINKS_PER_MESSAGE + position, Purpose.CLICK)


def link_url(link: Link) -> str:
    """The address that stands for this link in its mail."""
    return absolute("campaigns:click", link_token(link.message, link.position))


def unsubscribe_url(message: Message) -> str:
    """Where the recipient of this message says no to more."""
    return absolute("campaigns:unsubscribe", make_token(message.pk or 0, Purpose.UNSUBSCRIBE))


def confirm_url(message: Message) -> str:
    """Where the recipient of a confirmation message says that the address is theirs."""
    return absolute("campaigns:confirm", make_token(message.pk or 0, Purpose.CONFIRM))


def absolute(view: str, token: str) -> str:
    """The full address of one of our public pages."""
    return f"{settings.SITE_URL}{reverse(view, args=[token])}"
