"""Examples of what people sent us that may be shown to a colleague who writes a rule: nothing that tells who somebody is."""

import re
from functools import lru_cache
from typing import Any

from leads.comparisons import is_number

LONGEST = 40
LARGEST = 10**9  # longer numbers are phone numbers, cards and accounts
HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
PRIVATE_WORDS = frozenset(
    """email mail phone mobile tel telephone fax name firstname lastname fullname surname username login address street zip zipcode
    postal postcode birthday birthdate birth dob age gender ssn iban bic card cvc cvv account password pass passwd pwd secret token
    key apikey auth authorization session cookie ip useragent agent fingerprint signature latitude longitude lat lng lon
    message comment comments note notes text body description query search question answer feedback subject""".split()
)
ADDRESS = re.compile(r"[^@\s/:?#]+@[^@\s/:?#]+")
ADDRESS_INSIDE = re.compile(r"\S@\S")
PHONE = re.compile(r"(?!\d{4}-\d\d-\d\d$)\+?[\d\s()./-]{7,}")
TOKEN = re.compile(r"(?=\S*\d)[A-Za-z0-9_\-+=.~]{20,}")


@lru_cache(maxsize=4096)
def is_private(key: str) -> bool:
    """Whether a property of this name tells who somebody is, is a secret, or is what they wrote."""
    words = re.split(r"[^a-z0-9]+", HUMPS.sub("_", key).lower())
    return not PRIVATE_WORDS.isdisjoint(words)


def mask_address(address: str) -> str:
    """An address that shows only the firm: a***@acme.example."""
    person, _, domain = address.rpartition("@")
    return f"{person[:1]}***@{domain}"


def example_of(key: str, value: Any) -> str | int | float | bool | None:
    """The value as an example, masked or cut; None when it is better not shown. `key` is the last step of its path."""
    if isinstance(value, list):
        return example_of(key, value[0]) if value and not isinstance(value[0], list) else None
    if isinstance(value, str):
        return example_text(key, value.strip())
    if is_private(key) or not (isinstance(value, bool) or is_number(value)):
        return None
    return None if not isinstance(value, bool) and abs(value) >= LARGEST else value


@lru_cache(maxsize=1024)
def example_text(key: str, text: str) -> str | None:
    """A text as an example."""
    if ADDRESS.fullmatch(text):
        return mask_address(text)[:LONGEST]
    if is_private(key):
        return None
    bare = re.split(r"[?#]", text, maxsplit=1)[0] if "://" in text or text.startswith("/") else text
    hidden = ADDRESS_INSIDE.search(bare) or PHONE.fullmatch(bare) or any(map(TOKEN.fullmatch, re.split(r"[/\s]", bare)))
    if hidden or not bare.isprintable():
        return None
    return (bare if len(bare) <= LONGEST else f"{bare[: LONGEST - 1]}…") or None
