"""What stands around every page: the rail's links and the bell's number."""

from typing import Any

from django import template
from django.http import HttpRequest
from django.template.context import Context

from leads.models import Notification, User
from leads.navigation import RAIL, Place, current_place

register = template.Library()

MOST_TOLD = 99


@register.simple_tag(takes_context=True)
def rail_places(context: Context) -> list[dict[str, Any]]:
    """The rail's links for whoever looks: place, whether it is where they are, whether a new group begins."""
    request: HttpRequest = context["request"]
    if not isinstance(request.user, User):
        return []
    user = request.user
    places = [place for place in RAIL if place.is_open_to(user)]
    here = current_place(places, request.path)
    before: list[Place | None] = [None, *places]
    return [
        {"place": place, "is_here": place is here, "begins_group": earlier is not None and earlier.group != place.group}
        for earlier, place in zip(before, places, strict=False)
    ]


@register.simple_tag
def unread_count(user: User) -> str:
    """How many notifications wait unread, as a short text; "" for none."""
    count = Notification.objects.unread(user)[: MOST_TOLD + 1].count()
    return "" if not count else f"{MOST_TOLD}+" if count > MOST_TOLD else str(count)
