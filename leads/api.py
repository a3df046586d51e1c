"""HTTP doors for machines that write: check the key, check the shape, store the Delivery, answer."""

import hashlib
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import BinaryIO, cast

import msgspec
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone

from leads.answers import Accepted, Receipt
from leads.bell import ring
from leads.bulk import insert_one
from leads.doors import (
    allowed_anywhere,
    allows,
    answer,
    check_backlog,
    header_key,
    known_key,
    machine_door,
    note_seen,
    preflight,
    require_scope,
    source_of,
)
from leads.models import Delivery, Source
from leads.parsing import BadRequest, Incoming, Rejected, key_in, parse, without_ip

Door = Delivery.Door

MIB = 1024 * 1024
NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
IDEMPOTENCY_KEPT = timedelta(days=7)
MAX_IDEMPOTENCY_KEY = 200
# Better a quick 503 than a client that gives up waiting without knowing.
SQLITE_PATIENCE_MS = 5000


# --- the body -----------------------------------------------------------------------------------


def limit_of(door: Delivery.Door) -> int:
    """How many bytes a body may have, before and after gunzip."""
    return 8 * MIB if door == Door.IMPORT else MIB


def too_large(code: str, limit: int) -> BadRequest:
    """A 413."""
    return BadRequest(413, code, f"a request has at most {limit} bytes, compressed and decompressed; send smaller batches")


def read_body(request: HttpRequest, limit: int) -> bytes:
    """The raw body, gunzipped, whatever its Content-Type. Raises BadRequest 400, 413 or 415."""
    try:
        raw = stream_of(request).read(limit + 1)
    except (UnreadablePostError, OSError):
        raise BadRequest(400, "unreadable_body", "the connection broke before the body was complete") from None
    if len(raw) > limit:
        raise too_large("body_too_large", limit)
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if declared.isdigit() and len(raw) < int(declared):
        raise BadRequest(400, "unreadable_body", f"the body ended after {len(raw)} of {declared} bytes")
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return raw
    if encoding not in {"gzip", "x-gzip"}:
        raise BadRequest(415, "unsupported_encoding", "Content-Encoding must be gzip, or left out")
    return gunzip(raw, limit)


def stream_of(request: HttpRequest) -> BinaryIO:
    """Where the body is read from: with chunks there is no Content-Length, and Django would see nothing."""
    server_input = request.META.get("wsgi.input")
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if chunked and request.META.get("wsgi.input_terminated") and server_input is not None:
        return cast(BinaryIO, server_input)
    return cast(BinaryIO, request)


def gunzip(raw: bytes, limit: int) -> bytes:
    """Decompress, never to more than `limit` bytes."""
    text = b""
    while raw:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            text += stream.decompress(raw, limit + 1 - len(text))
        except zlib.error:
            raise BadRequest(400, "invalid_gzip", "the body is not gzip, though Content-Encoding says so") from None
        if len(text) > limit:
            raise too_large("decompressed_too_large", limit)
        if not stream.eof:
            raise BadRequest(400, "invalid_gzip", "the gzip body is cut off")
        raw = stream.unused_data.lstrip(b"\x00")
    if text.startswith(b"\x1f\x8b"):
        raise BadRequest(400, "invalid_gzip", "the body is compressed twice")
    return text


# --- writing ------------------------------------------------------------------------------------


@machine_door("POST", "OPTIONS")
def write(request: HttpRequest, door: Delivery.Door) -> HttpResponse:
    """Take messages in: 200 with a receipt once they are stored, to be processed in a moment."""
    if request.method == "OPTIONS":
        return preflight(request)
    try:
        response = accept(request, door)
    except BadRequest as problem:
        problem.headers |= cross_origin(request)
        raise
    for name, value in cross_origin(request).items():
        response[name] = value
    return response


def cross_origin(request: HttpRequest) -> dict[str, str]:
    """Headers that let a page read the answer."""
    origin = request.headers.get("Origin", "")
    if not origin:
        return {}
    return {"Vary": "Origin"} | ({"Access-Control-Allow-Origin": origin} if allowed_anywhere(origin) else {})


def accept(request: HttpRequest, door: Delivery.Door) -> HttpResponse:
    """Check the key, the origin and the backlog; read, store, answer."""
    key = header_key(request)
    if key is not None:
        known_key(key)  # before a stranger's body is read
    body = read_body(request, limit_of(door))
    known = known_key(key or key_in(body))
    require_scope(known.source, Source.Scope.SERVER, Source.Scope.BROWSER)
    check_origin(known.source, request.headers.get("Origin"))
    check_backlog(known)
    if door == Door.EVENTS and request.content_type in NDJSON:
        door = Door.NDJSON
    with impatient():
        note_seen(known.source)
        told = deliver(known.source, door, body, idempotency_key=idempotency_key_of(request))
    known.backlog += 1
    return answer(told)


def check_origin(source: Source, origin: str | None) -> None:
    """Raises BadRequest 403 when a browser key is used by pages it is not for."""
    if origin and source.scope == Source.Scope.BROWSER and not allows(source, origin):
        raise BadRequest(403, "origin_not_allowed", f"this key is not for pages of {origin[:200]}; add it to the source's allowed origins")


def idempotency_key_of(request: HttpRequest) -> str | None:
    """The header that makes a whole request safe to repeat."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > MAX_IDEMPOTENCY_KEY or not key.isprintable():
        raise BadRequest(400, "invalid_idempotency_key", f"Idempotency-Key has at most {MAX_IDEMPOTENCY_KEY} printable characters")
    return key or None


@contextmanager
def impatient() -> Iterator[None]:
    """On SQLite wait for the write lock a short time only; too long becomes a 503."""
    if connection.vendor != "sqlite":
        yield
        return
    patience = int(float(connection.settings_dict["OPTIONS"].get("timeout", 5)) * 1000)
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_PATIENCE_MS}")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {patience}")


def deliver(source: Source, door: Delivery.Door, body: bytes, *, idempotency_key: str | None) -> Accepted:
    """Store one request as a Delivery and return what the sender is told; a repeated request is told the same again."""
    if not settings.STORE_IP:
        body = without_ip(body)
    digest = hashlib.sha256(door.encode() + b"\n" + body).hexdigest()
    if idempotency_key and (told := told_before(source, idempotency_key, digest, body)):
        return told
    now = timezone.now()
    delivery = Delivery(source=source, door=door, body=body, body_digest=digest, received_at=now, due_at=now)
    delivery.historical = door == Door.IMPORT
    delivery.idempotency_key = idempotency_key
    incoming, rejected = read(delivery)
    if door in {Door.EVENTS, Door.NDJSON} and not incoming:
        raise nothing_valid(rejected)
    label(delivery, incoming, rejected)
    if not store(delivery):
        return deliver(source, door, body, idempotency_key=idempotency_key)
    if incoming:
        ring("leads.tasks.drain_inbox")
    return told_of(delivery, incoming, rejected)


def label(delivery: Delivery, incoming: list[Incoming], rejected: list[Rejected]) -> None:
    """Note on the delivery what parsing found; with nothing to record it is done already."""
    delivery.message_count = len(incoming)
    delivery.message_ids = [message.message_id for message in incoming]
    delivery.rejected = [msgspec.to_builtins(reject) for reject in rejected]
    if not incoming:
        delivery.state, delivery.processed_at = Delivery.State.PROCESSED, delivery.received_at


def read(delivery: Delivery) -> tuple[list[Incoming], list[Rejected]]:
    """Parse a delivery's body."""
    return parse(
        bytes(delivery.body),
        door=Door(delivery.door),
        source=delivery.source,
        receipt=delivery.receipt,
        received_at=delivery.received_at,
    )


def store(delivery: Delivery) -> bool:
    """Insert and commit; False when a request with the same Idempotency-Key was quicker."""
    if not delivery.idempotency_key:
        insert_one(delivery)
        return True
    try:
        with transaction.atomic():
            insert_one(delivery)
    except IntegrityError:
        return False
    return True


def told_before(source: Source, idempotency_key: str, digest: str, body: bytes) -> Accepted | None:
    """What the sender of this very request was told the first time; None when there was none in the last 7 days.

    Raises BadRequest 409 when the key was used for another request.
    """
    earlier = Delivery.objects.filter(source=source, idempotency_key=idempotency_key).first()
    if earlier is None:
        return None
    if earlier.received_at <= timezone.now() - IDEMPOTENCY_KEPT:
        Delivery.objects.filter(pk=earlier.pk).update(idempotency_key=None)
        return None
    if earlier.body_digest != digest:
        raise BadRequest(409, "idempotency_key_reused", "this Idempotency-Key came with another request before; use a new one")
    earlier.body = body  # the stored one may have been emptied by now
    return told_of(earlier, *read(earlier))


def told_of(delivery: Delivery, incoming: list[Incoming], rejected: list[Rejected]) -> Accepted:
    """The body of a 200."""
    return Accepted(
        success=True,
        receipt=delivery.receipt,
        accepted=len(incoming),
        messageIds=[message.message_id for message in incoming],
        rejected=rejected,
    )


def nothing_valid(rejected: list[Rejected]) -> BadRequest:
    """A 400 for a request without a single good message: the first reason, and how many more there are."""
    if not rejected:
        return BadRequest(400, "empty_batch", "the list is empty; send at least one message")
    first = rejected[0]
    more = f" ({len(rejected)} messages, none of them good; this is message {first.index})" if len(rejected) > 1 else ""
    return BadRequest(400, first.code, first.message + more)


# --- receipts -----------------------------------------------------------------------------------


@machine_door("GET", "HEAD")
def receipt(request: HttpRequest, receipt: uuid.UUID) -> HttpResponse:
    """What became of a delivery, for the key that sent it."""
    source = source_of(header_key(request))
    delivery = Delivery.objects.filter(source=source, receipt=receipt).defer("body", "traceback").first()
    if delivery is None:
        raise BadRequest(404, "not_found", "this key has no such receipt; receipts are kept for 90 days")
    return answer(
        Receipt(
            status=delivery.state,
            stored=delivery.stored,
            duplicates=delivery.duplicates,
            messageIds=delivery.message_ids,
            rejected=delivery.rejected,
            error=delivery.error or None,
        )
    )
