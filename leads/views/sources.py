"""Sources: keys for programs, what each of them sent, and what became of it."""

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leads import tail
from leads.access import admin_page
from leads.bell import ring
from leads.doors import forget_keys
from leads.forms_sources import SCOPES, NewSourceForm, SourceForm
from leads.models import BUILT_IN, Delivery, Event, Source
from leads.snippets import snippets

# As much of a body as its page shows.
MAX_SHOWN_BODY = 64 * 1024


def is_htmx(request: HttpRequest) -> bool:
    """Whether a part of a page is asked for."""
    return request.headers.get("HX-Request") == "true"


def host_of(request: HttpRequest) -> str:
    """The address under which this server is being used, for example https://crm.example.com."""
    return f"{request.scheme}://{request.get_host()}"


def own_source(pk: int) -> Source:
    """A source that people made and may change. Raises 404 for the built-in one."""
    return get_object_or_404(Source.objects.exclude(name=BUILT_IN), pk=pk)


# --- all sources, and a new one -----------------------------------------------------------------


@require_safe
@admin_page
def sources(request: HttpRequest) -> HttpResponse:
    """Every source and how it is doing."""
    rows = tail.source_rows(timezone.now())
    context = {
        "rows": rows,
        "keys": sum(not (row.source.revoked_at or row.source.is_built_in) for row in rows),
        "events": sum(row.events for row in rows),
        "is_fresh": all(row.source.is_built_in for row in rows),
    }
    return render(request, "leads/sources.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
@never_cache
def new_source(request: HttpRequest) -> HttpResponse:
    """Make a source. Its key stands in this one answer and nowhere else: no redirect, no session, no cache keeps it."""
    form = NewSourceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        source, key = form.create()
        return render_first_event(request, source, key=key)
    chosen = form["scope"].value()
    context = {"form": form, "scopes": [(scope, name, text, scope == chosen) for scope, (name, text) in SCOPES.items()]}
    return render(request, "leads/source_new.html", context, status=422 if form.is_bound else 200)


# --- the first event ----------------------------------------------------------------------------


@require_safe
@admin_page
def first_event(request: HttpRequest, pk: int) -> HttpResponse:
    """How to send the first event, and whether it has come."""
    return render_first_event(request, own_source(pk))


def render_first_event(request: HttpRequest, source: Source, *, key: str = "") -> HttpResponse:
    """The wizard; with the key when it was made just now."""
    shown = snippets(source, host=host_of(request), key=key)
    context = {"source": source, "key": key, "snippets": shown, "host": host_of(request), **arrival(source)}
    return render(request, "leads/first_event.html", context)


@require_safe
@admin_page
def waiting(request: HttpRequest, pk: int) -> HttpResponse:
    """Whether the first event has come: a part of the wizard that asks for itself until then; 204 while nothing is new."""
    source = own_source(pk)
    context = {"source": source, **arrival(source)}
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "leads/first_event.html#waiting", context)


def arrival(source: Source) -> dict[str, Any]:
    """The first event of a source, and until there is one, the last request that should have brought it."""
    event = Event.objects.filter(source=source).select_related("lead").order_by("pk").first()
    line = tail.event_lines([event])[0] if event else None
    rows = [] if event else tail.tail_rows(tail.deliveries_of(source)[:1], timezone.now())
    row = rows[0] if rows else None
    seen = "arrived" if event or source.last_seen_at else "nothing"
    return {
        "line": line,
        "row": row,
        "cure": tail.cure_of(row.delivery) if row and row.state in tail.WAITING else "",
        "seen": f"{row.delivery.pk}-{row.state}" if row else seen,
    }


# --- one source ---------------------------------------------------------------------------------


@require_safe
@admin_page
def source_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One source: its live tail, the types it sends, its settings."""
    source = get_object_or_404(Source, pk=pk)
    return render_source(request, source, SourceForm(instance=source))


def render_source(request: HttpRequest, source: Source, form: SourceForm, *, status: int = 200) -> HttpResponse:
    """The page of one source."""
    row = next(row for row in tail.source_rows(timezone.now()) if row.source.pk == source.pk)
    context = {"source": row.source, "row": row, "form": form, "types": tail.types_seen(source), **tail_context(request, source)}
    return render(request, "leads/source.html", context, status=status)


def tail_context(request: HttpRequest, source: Source) -> dict[str, Any]:
    """The deliveries that the filter in the address asks for."""
    show = request.GET.get("show", "")
    show = show if show in tail.SHOWS else ""
    now, deliveries = timezone.now(), tail.deliveries_of(source, show)
    return {
        "source": source,
        "show": show,
        "fingerprint": tail.fingerprint(deliveries, now),
        "deliveries": [(row, tail.cure_of(row.delivery) if row.state in tail.WAITING else "") for row in tail.tail_rows(deliveries, now)],
        "limit": tail.DELIVERIES,
        "looked_through": tail.LOOKED_THROUGH,
    }


@require_safe
@admin_page
def tail_part(request: HttpRequest, pk: int) -> HttpResponse:
    """The tail alone; 204 while it is as the page has it already."""
    source = get_object_or_404(Source, pk=pk)
    context = tail_context(request, source)
    if request.GET.get("seen") == context["fingerprint"]:
        return HttpResponse(status=204)
    return render(request, "leads/source.html#tail", context)


@require_POST
@admin_page
def save_source(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a source's name, origins and trusted types; live within seconds."""
    source = own_source(pk)
    form = SourceForm(request.POST, instance=Source.objects.get(pk=source.pk))
    if not form.is_valid():
        return part_or_page(request, source, form, status=422)
    form.instance.save(update_fields=list(form.cleaned_data))
    forget_keys()
    if not is_htmx(request):
        messages.success(request, "Saved, live.")
        return redirect("leads:source", pk=pk)
    return part_or_page(request, form.instance, SourceForm(instance=form.instance), saved_at=timezone.now())


def part_or_page(request: HttpRequest, source: Source, form: SourceForm, *, status: int = 200, **context: Any) -> HttpResponse:
    """The settings alone for htmx, else the whole page."""
    if not is_htmx(request):
        return render_source(request, source, form, status=status)
    return render(request, "leads/source.html#settings", {"source": source, "form": form, **context}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def revoke_source(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask once, then close the door for a key; what it sent stays."""
    source = own_source(pk)
    if request.method != "POST":
        return render(request, "leads/source_revoke.html", {"source": source})
    Source.objects.filter(pk=pk, revoked_at=None).update(revoked_at=timezone.now())
    forget_keys()
    messages.success(request, f"The key of {source} is revoked; requests with it are refused within seconds.")
    return redirect("leads:sources")


# --- one delivery -------------------------------------------------------------------------------


@require_safe
@admin_page
def delivery_page(request: HttpRequest, pk: int, receipt: UUID) -> HttpResponse:
    """Everything about one request: its body, its messages, the last error."""
    delivery = get_object_or_404(Delivery.objects.select_related("source"), source=pk, receipt=receipt)
    row = tail.tail_rows([delivery], timezone.now())[0]
    context = {
        "source": delivery.source,
        "delivery": delivery,
        "row": row,
        "cure": tail.cure_of(delivery) if row.state in tail.WAITING else "",
        "body": readable(bytes(delivery.body)),
    }
    return render(request, "leads/delivery.html", context)


def readable(body: bytes) -> str:
    """A body as people read it: JSON with line breaks, anything else as it came."""
    text = body[:MAX_SHOWN_BODY].decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if len(body) <= MAX_SHOWN_BODY else text
    except (ValueError, RecursionError):
        return text


@require_POST
@admin_page
def retry_delivery(request: HttpRequest, pk: int, receipt: UUID) -> HttpResponse:
    """Try a failed delivery again now instead of later."""
    source = get_object_or_404(Source, pk=pk)
    if Delivery.objects.filter(source=source, receipt=receipt).retry(timezone.now()):
        ring("leads.tasks.drain_inbox")
        messages.success(request, "It is being tried again.")
    else:
        messages.error(request, "Nothing to try again: it was processed meanwhile, or a worker has it right now.")
    if is_htmx(request):
        return render(request, "leads/source.html#tail", tail_context(request, source))
    return redirect("leads:source", pk=pk)
