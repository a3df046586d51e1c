"""The places of the site: one list for the rail, the bar on phones and the palette. Whoever may not open a page isn't shown its link."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import NoReverseMatch, resolve, reverse

from leads.access import ROLES, access_of
from leads.models import User


@dataclass(frozen=True)
class Place:
    """A page one can go to from everywhere."""

    name: str
    url_name: str
    icon: str
    group: int = 0  # the rail draws a line between groups
    key: str = ""  # `g` and this letter go there
    aliases: str = ""  # what else the palette finds it by

    @property
    def url(self) -> str:
        """Its address, or "" where this installation has no such page."""
        return address_of(self.url_name)

    def is_open_to(self, user: User) -> bool:
        """Whether the page exists and `user` may see it."""
        return bool(self.url) and may_open(user, self.url)


RAIL = (
    Place("Board", "leads:board", "square-kanban", key="b", aliases="stages pipeline kanban"),
    Place("Today", "leads:today", "list-todo", key="t", aliases="tasks due sla"),
    Place("Leads", "leads:list", "users", key="l", aliases="people contacts table"),
    Place("Companies", "leads:companies", "building-2", key="c", aliases="accounts firms"),
    Place("Campaigns", "campaigns:list", "send", group=1, aliases="mail drip sequences"),
    Place("Scoring", "leads:scoring", "gauge", group=1, aliases="rules gates points model"),
    Place("Sources", "leads:sources", "plug", group=2, aliases="keys api events deliveries"),
    Place("Mailbox", "campaigns:mailbox", "inbox", group=2, aliases="mail sent"),
    Place("Admin", "admin:index", "settings", group=2, aliases="settings users groups"),
)
ELSEWHERE = (
    Place("New lead", "leads:new", "user-plus", aliases="add create"),
    Place("Import leads", "leads:import-upload", "upload", aliases="csv upload"),
    Place("Notifications", "leads:notifications", "bell", aliases="bell news"),
    Place("Profile", "leads:profile", "user-round", aliases="password theme dark light time zone away absence name"),
    Place("API reference", "api:docs", "book-open", aliases="docs openapi"),
)


def address_of(url_name: str, *args: Any) -> str:
    """The address of a page by its URL name; "" where there is no such page."""
    try:
        return reverse(url_name, args=args)
    except NoReverseMatch:
        return ""


@cache
def role_of(url: str) -> str:
    """Which role the page at `url` opens to; "" when it is open to everybody who is logged in."""
    match = resolve(url)
    return "admin site" if match.app_name == "admin" else access_of(match.func)


def may_open(user: User, url: str) -> bool:
    """Whether `user` may see the page at `url`."""
    role = role_of(url)
    if role == "admin site":
        return user.is_staff and user.is_editor
    return role not in ROLES or ROLES[role](user)


def places_of(user: User) -> Iterator[Place]:
    """Everything `user` can go to, in the order of the rail."""
    return (place for place in (*RAIL, *ELSEWHERE) if place.is_open_to(user))


def current_place(places: list[Place], path: str) -> Place | None:
    """Which of `places` the page at `path` belongs to: the one with the longest address that begins it."""
    inside = [place for place in places if path == place.url or (place.url != "/" and path.startswith(place.url))]
    return max(inside, key=lambda place: len(place.url), default=None)
