"""What every door for machines shares: keys and scopes, origins, answers and errors as JSON."""

import base64
import binascii
import functools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from leads.answers import Problem
from leads.models import Delivery, Source, digest_key
from leads.parsing import BadRequest

log = structlog.get_logger(__name__)

# A revoked key works at most this much longer; the same holds for changed origins.
KEY_SECONDS = 3.0
BACKLOG_SECONDS = 1.0
SEEN_EVERY = timedelta(minutes=1)

View = Callable[..., HttpResponse]


@dataclass(slots=True)
class KnownKey:
    """A source by its key, as this process remembers it for a moment. Times are of time.monotonic()."""

    source: Source
    until: float
    backlog: int = 0
    backlog_until: float = 0.0
    seen_until: float = 0.0


_keys: dict[str, KnownKey] = {}
# Which origins some browser source allows ("*": one of them allows any), and until when we may believe it.
_origins: tuple[frozenset[str], float] = (frozenset(), 0.0)


def forget_keys() -> None:
    """Look everything up anew."""
    global _origins
    _keys.clear()
    _origins = (frozenset(), 0.0)


# --- answers ------------------------------------------------------------------------------------


def plain(value: object) -> str | dict[str, object]:
    """Times as ISO 8601 in UTC, ids as text, structures as objects."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return {written: getattr(value, name) for written, name in names}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value)} has no JSON form here")


def answer(body: msgspec.Struct | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """A JSON answer that nobody caches."""
    response = HttpResponse(json.dumps(body, default=plain), status=status, content_type="application/json", headers=headers)
    response["Cache-Control"] = "no-store"
    return response


def machine_door(*methods: str) -> Callable[[View], View]:
    """A view for programs: no cookies, no redirects, and every error is `{"code", "message"}`."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                if request.method not in methods:
                    allowed = ", ".join(methods)
                    raise BadRequest(405, "method_not_allowed", f"use {allowed} here", headers={"Allow": allowed})
                return view(request, *args, **kwargs)
            except BadRequest as problem:
                return answer(Problem(problem.code, problem.message), problem.status, problem.headers)
            except (OperationalError, InterfaceError) as error:
                log.warning("database_away", path=request.path, error=repr(error))
                body = Problem("database_away", "the database does not answer or is busy; nothing was stored, try again")
                return answer(body, 503, {"Retry-After": str(random.randint(1, 5))})  # noqa: S311 (spreads retries, guards nothing)

        return guarded

    return decorate


@machine_door("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
def nothing_here(request: HttpRequest, **kwargs: object) -> HttpResponse:
    """404 as JSON, for whatever else is asked for below /api/ and /v1/."""
    raise BadRequest(404, "not_found", f"there is nothing at {request.path[:200]}")


# --- keys ---------------------------------------------------------------------------------------


def header_key(request: HttpRequest) -> str | None:
    """The key of the Authorization header: Bearer, or the user name of Basic; None when there is none."""
    scheme, _, value = request.headers.get("Authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace").partition(":")[0] or None
    except (binascii.Error, ValueError):
        return None


def source_of(key: str | None) -> Source:
    """The source whose key this is. Raises BadRequest 401."""
    return known_key(key).source


def known_key(key: str | None) -> KnownKey:
    """What we remember of a key, looked up again every few seconds. Raises BadRequest 401."""
    if key:
        digest = digest_key(key)
        known = _keys.get(digest)
        if known and time.monotonic() < known.until:
            return known
        source = Source.objects.filter(key_digest=digest, revoked_at=None).first()
        if source:
            return remember(digest, source)
        _keys.pop(digest, None)
    raise BadRequest(
        401,
        "invalid_credentials",
        "the key is missing, unknown or revoked; send Authorization: Bearer KEY, or the key as Basic user name",
        headers={"WWW-Authenticate": "Bearer"},
    )


def remember(digest: str, source: Source) -> KnownKey:
    """Keep a source for a few seconds, and for longer what was counted for it."""
    known = _keys.get(digest)
    if known is None:
        known = _keys[digest] = KnownKey(source, 0.0)
    known.source, known.until = source, time.monotonic() + KEY_SECONDS
    return known


def require_scope(source: Source, *scopes: str) -> None:
    """Raises BadRequest 403 unless the key has one of these scopes."""
    if source.scope not in scopes:
        wanted = " or ".join(scopes)
        raise BadRequest(403, "insufficient_scope", f"this key has the scope {source.scope}; this needs {wanted}")


def reader(request: HttpRequest) -> Source:
    """The source of a request that reads leads. Raises BadRequest 401 or 403."""
    source = source_of(header_key(request))
    require_scope(source, Source.Scope.READ)
    note_seen(source)
    return source


def note_seen(source: Source) -> None:
    """Remember that the key is in use; written at most once a minute."""
    known = _keys.get(source.key_digest or "")
    if known is None or time.monotonic() < known.seen_until:
        return
    now = timezone.now()
    stale = Q(last_seen_at=None) | Q(last_seen_at__lt=now - SEEN_EVERY)
    Source.objects.filter(stale, pk=source.pk).update(last_seen_at=now)
    known.seen_until = time.monotonic() + SEEN_EVERY.total_seconds()


def check_backlog(known: KnownKey) -> None:
    """Raises BadRequest 429 when too many deliveries of the source wait; counted about once a second."""
    limit = settings.MAX_BACKLOG
    if time.monotonic() >= known.backlog_until:
        waiting = Delivery.objects.waiting().filter(source=known.source)
        known.backlog = waiting.values("pk")[: limit + 1].count()
        known.backlog_until = time.monotonic() + BACKLOG_SECONDS
    if known.backlog > limit:
        message = f"more than {limit} deliveries of this source wait to be processed; nothing was stored, slow down"
        raise BadRequest(429, "too_many_requests", message, headers={"Retry-After": "5"})


# --- origins ------------------------------------------------------------------------------------


def allows(source: Source, origin: str) -> bool:
    """Whether pages of `origin` may post with this browser key; a source without origins is open to any."""
    return not source.allowed_origins or "*" in source.allowed_origins or origin in source.allowed_origins


def allowed_anywhere(origin: str) -> bool:
    """Whether some browser source allows `origin`: a preflight does not say yet with which key it will come."""
    global _origins
    origins, until = _origins
    if time.monotonic() >= until:
        rows = Source.objects.filter(scope=Source.Scope.BROWSER, revoked_at=None).values_list("allowed_origins", flat=True)
        origins = frozenset(origin for allowed in rows for origin in (allowed or ["*"]))
        _origins = (origins, time.monotonic() + KEY_SECONDS)
    return "*" in origins or origin in origins


def preflight(request: HttpRequest) -> HttpResponse:
    """The answer to a browser that asks whether it may post: 204, with permission if the origin has it."""
    headers = {"Allow": "POST, OPTIONS", "Vary": "Origin"}
    origin = request.headers.get("Origin", "")
    if origin and allowed_anywhere(origin):
        headers |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "authorization, content-type, content-encoding, idempotency-key",
            "Access-Control-Max-Age": "600",
        }
    return HttpResponse(status=204, headers=headers)
