"""Event types by key, and durations as people write them: the two small notations used everywhere."""

import re
from datetime import timedelta
from functools import lru_cache

NOT_KEY = re.compile(r"[^A-Z0-9]+")
DURATION = re.compile(r"(\d{1,5})\s*([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

# Types only the product itself may record.
RESERVED_PREFIXES = ("EMAIL_", "UNSUBSCRIBED")
# Types that mean something without anybody having decided it: docs/events.md tells when to post them.
SHIPPED_TYPES = (
    "PAGE_VIEWED VIEWED_PRICING DOWNLOADED_API_DOCS NEWSLETTER_SIGNED_UP DEMO_REQUESTED SIGNED_UP TEAMMATE_INVITED API_KEY_CREATED "
    "FIRST_API_CALL API_RATE_LIMITED ACCOUNT_CLOSED ABANDONED_CHECKOUT CHECKOUT_COMPLETED PLAN_UPGRADED SUBSCRIPTION_STARTED "
    "CONTRACT_SIGNED PAYMENT_SUCCEEDED PAYMENT_FAILED IDENTIFIED GROUPED ALIASED EMAIL_CLICKED EMAIL_BOUNCED EMAIL_CONFIRMED UNSUBSCRIBED"
).split()
# What colleagues did with a lead is a fact, but nothing the lead did.
STAFF_TYPES = frozenset({"LEAD_EDITED", "LEAD_ACCEPTED", "LEAD_REJECTED"})
# What we did, not the person: mails that went out or came back.
OUR_MAIL = frozenset({"EMAIL_SENT", "EMAIL_DELIVERED", "EMAIL_DEFERRED", "EMAIL_BOUNCED"})


@lru_cache(maxsize=4096)
def event_key(name: str) -> str:
    """The key of an event type: upper case, anything but letters and digits one `_` ("Viewed Pricing" → VIEWED_PRICING).

    camelCase is not split. A name without any letter or digit has no key and gives "".
    """
    return NOT_KEY.sub("_", name.upper()).strip("_")


def is_reserved(key: str) -> bool:
    """Whether events of this type come from the product only."""
    return key.startswith(RESERVED_PREFIXES)


def is_ours(key: str) -> bool:
    """Whether an event of this type is something we did to a person: they were no less idle for it."""
    return key in OUR_MAIL or key == "LEAD_CREATED"


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `10m`, `2h`, `7d` or `2w`. Raises ValueError with the cure for anything else."""
    match = DURATION.fullmatch(str(text).strip().lower())
    if not match:
        raise ValueError(f"{text!r} is not a duration; write a number and one of s m h d w, for example 10m or 7d")
    return timedelta(seconds=int(match[1]) * SECONDS[match[2]])


def format_duration(duration: timedelta) -> str:
    """The shortest notation of a duration of whole seconds: 7 days → `7d`, 14 days → `2w`."""
    seconds = int(duration.total_seconds())
    for unit in ("w", "d", "h", "m"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{seconds // SECONDS[unit]}{unit}"
    return f"{seconds}s"
