"""How facts read on a page: event types as words and icons, times as "4 min", points with their sign."""

import zlib
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html

from leads.models import Lead

register = template.Library()

# The first prefix that fits names the icon.
ICONS = [
    ("EMAIL_CLICKED", "mouse-pointer-click"),
    ("EMAIL_", "mail"),
    ("UNSUBSCRIBED", "mail-x"),
    ("NEWSLETTER_", "newspaper"),
    ("VIEWED_", "eye"),
    ("PAGE_", "file-text"),
    ("SCREEN_", "file-text"),
    ("DOWNLOADED_", "download"),
    ("ABANDONED_", "shopping-cart"),
    ("CHECKOUT_", "shopping-cart"),
    ("DEMO_", "calendar-check"),
    ("SIGNED_UP", "user-plus"),
    ("TEAMMATE_", "users"),
    ("PAYMENT_", "credit-card"),
    ("SUBSCRIPTION_", "credit-card"),
    ("CONTRACT_", "file-pen"),
    ("PLAN_", "rocket"),
    ("API_", "terminal"),
    ("IDENTIFIED", "key-round"),
    ("GROUPED", "building-2"),
    ("LEAD_", "pencil"),
]
ABBREVIATIONS = {"api": "API", "sdk": "SDK", "sso": "SSO", "url": "URL", "mql": "MQL", "sql": "SQL", "csv": "CSV"}
HEAT_STEPS = (20, 40, 60, 80)
HUES = 8


@register.filter
def event_words(event_type: str) -> str:
    """`DOWNLOADED_API_DOCS` → "Downloaded API docs"."""
    words = [ABBREVIATIONS.get(word, word) for word in event_type.lower().split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


@register.filter
def plain(key: str) -> str:
    """A reason's key as words: `too_old` → "too old"."""
    return key.replace("_", " ")


@register.filter
def event_icon(event_type: str) -> str:
    """The name of the icon that stands beside an event."""
    return next((icon for prefix, icon in ICONS if event_type.startswith(prefix)), "activity")


@register.filter
def heat(score: int) -> int:
    """How warm a score is, 0 to 4: the badge deepens with it."""
    return sum(score >= step for step in HEAT_STEPS)


@register.filter
def signed(points: int) -> str:
    """Points with their sign, the minus a real one: +10, −15, 0."""
    return f"+{points}" if points > 0 else f"−{-points}" if points < 0 else "0"


@register.filter
def initials(name: object) -> str:
    """One or two letters for an avatar."""
    words = str(name).replace("@", " ").split()
    return "".join(word[0] for word in words[:2]).upper()


@register.filter
def hue(name: object) -> int:
    """A color number from 0 to 7 that stays with the name."""
    return zlib.crc32(str(name).encode()) % HUES


def distance(seconds: float) -> str:
    """A span of time in one unit, as short as it can be read."""
    for size, unit in ((86_400 * 365, "y"), (86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


@register.filter
def work(lead: Lead) -> str:
    """Where somebody works and as what, as far as it is known: "Acme · CTO"."""
    return " · ".join(part for part in (lead.company.name if lead.company else "", lead.title) if part)


@register.simple_tag
def ago(at: datetime | None) -> str:
    """A time as people say it ("4 min", "in 2 h"), with the exact one on hover and for screen readers."""
    if at is None:
        return ""
    seconds = (timezone.now() - at).total_seconds()
    return exactly(at, f"in {distance(-seconds)}" if seconds <= -60 else distance(abs(seconds)))


@register.simple_tag
def lasting(since: datetime) -> str:
    """How long something has lasted: "for 4 d", "just now", with the time it began on hover and for screen readers."""
    seconds = (timezone.now() - since).total_seconds()
    return exactly(since, "just now" if seconds < 60 else f"for {distance(seconds)}")


def exactly(at: datetime, text: str) -> str:
    """These words for a time, which says itself on hover and to screen readers."""
    exact = timezone.localtime(at)
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact.strftime("%a %d %b %Y, %H:%M:%S %Z"), text)


@register.filter
def at(values: dict[str, Any], key: str) -> Any:
    """The value at a key that only the template knows; nothing when there is none."""
    return values.get(key, "")


CURRENCY_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£"}


@register.simple_tag
def money(amount: Decimal | None, currency: str) -> str:
    """A sum as short as it can be read: "€4,800", "€24k", "€1.2M", "CHF 24k"."""
    if amount is None:
        return ""
    sign = CURRENCY_SIGNS.get(currency, f"{currency} " if currency else "")
    if abs(amount) >= 999_500:
        return f"{sign}{amount / 1_000_000:.1f}M"
    return f"{sign}{amount / 1000:.0f}k" if abs(amount) >= 10_000 else f"{sign}{amount:,.0f}"


@register.simple_tag
def span(time: timedelta | None) -> str:
    """A stretch of time in one unit: "4 d", "2 h"; under a minute "0 min"."""
    if time is None:
        return ""
    return "0 min" if time.total_seconds() < 60 else distance(time.total_seconds())
