"""System checks: misconfiguration is told with its cure, before anything runs."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from leads.outgoing import RefusedAddress, check_url
from leads.working_time import WorkingHours
from leads.zones import known


@register
def check_chat_webhook(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check CHAT_WEBHOOK_URL without asking the name server: that happens when something is posted."""
    if not settings.CHAT_WEBHOOK_URL:
        return []
    try:
        check_url(settings.CHAT_WEBHOOK_URL)
    except RefusedAddress as error:
        hint = "Set it to the incoming webhook's URL that your chat shows, or leave it empty for no chat messages."
        return [Error(f"CHAT_WEBHOOK_URL is refused. {error}", hint=hint, id="leadstate.E001")]
    return []


@register
def check_working_hours(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check that WORKING_HOURS can be read: deadlines of handoffs are counted in them."""
    try:
        WorkingHours.parse(settings.WORKING_HOURS)
    except ValueError as error:
        hint = "Write it like WORKING_HOURS=mon-fri 09:00-17:00."
        return [Error(f"WORKING_HOURS cannot be read: {error}.", hint=hint, id="leadstate.E002")]
    return []


@register
def check_time_zone(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check that TIME_ZONE exists here (minimal systems lack the zone data)."""
    if known(settings.TIME_ZONE):
        return []
    hint = "Write a zone like Europe/Berlin or UTC; if that is what it says, install the package tzdata."
    return [Error(f"TIME_ZONE {settings.TIME_ZONE!r} is not a time zone.", hint=hint, id="leadstate.E003")]


@register
def check_sender_address(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn when marketing mail would go out without a postal address in its footer."""
    if settings.DEBUG or settings.SENDER_ADDRESS.strip():
        return []
    hint = "Set SENDER_ADDRESS (and SENDER_NAME) to your company's postal address; many countries demand it in marketing mail."
    return [checks.Warning("SENDER_ADDRESS is empty: the footer of marketing mail names nobody.", hint=hint, id="leadstate.W001")]


@register
def check_mail_goes_out(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn when a production system puts all mail into a folder of its own."""
    if settings.DEBUG or not settings.EMAIL_URL.startswith("mailbox:"):
        return []
    hint = "Set EMAIL_URL to your mail server, for example smtp://user:password@smtp.example.com:587/?tls=1."
    return [checks.Warning("EMAIL_URL is a local mailbox: no mail leaves this machine.", hint=hint, id="leadstate.W002")]


@register
def check_address_hash_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn when changing SECRET_KEY would make every opt-out unknown."""
    if settings.DEBUG or settings.ADDRESS_HASH_KEY != settings.SECRET_KEY:
        return []
    hint = "Set ADDRESS_HASH_KEY to the present SECRET_KEY (or, before any data is in, to a value of its own) and never change it."
    problem = "ADDRESS_HASH_KEY is SECRET_KEY: when that is changed, every opt-out and suppression is forgotten."
    return [checks.Warning(problem, hint=hint, id="leadstate.W003")]
