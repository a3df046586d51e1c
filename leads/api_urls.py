"""The addresses of the doors for machines; with and without a trailing slash, since a redirected POST loses its body."""

from typing import Any

from django.urls import URLPattern, path, re_path

from leads import api, reads
from leads.doors import View, nothing_here
from leads.models import Delivery
from leads.views import api_docs

app_name = "api"
Door = Delivery.Door

SEGMENT = {
    ("track", "t"): Door.TRACK,
    ("identify", "i"): Door.IDENTIFY,
    ("page", "p"): Door.PAGE,
    ("screen", "s"): Door.SCREEN,
    ("group", "g"): Door.GROUP,
    ("alias", "a"): Door.ALIAS,
    ("batch", "b"): Door.BATCH,
    ("import",): Door.IMPORT,
}


def both(route: str, view: View, name: str, **kwargs: Any) -> list[URLPattern]:
    """The route without a slash at its end, and with one."""
    return [path(route, view, kwargs, name=name), path(f"{route}/", view, kwargs)]


urlpatterns = [
    *both("api/events", api.write, "events", door=Door.EVENTS),
    *(url for names, door in SEGMENT.items() for name in names for url in both(f"v1/{name}", api.write, name, door=door)),
    *both("api/receipts/<uuid:receipt>", api.receipt, "receipt"),
    *both("api/leads", reads.leads, "leads"),
    *both("api/leads/<uuid:uid>", reads.lead, "lead"),
    *both("api/leads/<uuid:uid>/ledger", reads.ledger, "ledger"),
    *both("api/leads/<uuid:uid>/events", reads.events, "lead_events"),
    *both("api/leads/<uuid:uid>/transitions", reads.transitions, "transitions"),
    *both("api/openapi.json", api_docs.openapi, "openapi"),
    *both("api/docs", api_docs.api_docs, "docs"),
    re_path(r"^(?:api|v1)/", nothing_here),
]
