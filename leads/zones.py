"""Time zones by name, checked the same way for people, campaigns and the workspace."""

import zoneinfo
from functools import cache

from django.core.exceptions import ValidationError


@cache
def known(name: str) -> bool:
    """Whether `name` is an IANA time zone such as Europe/Berlin."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def validate_timezone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone."""
    if not known(name):
        raise ValidationError(f"{name!r} is not a time zone; write one like Europe/Berlin or UTC.")
