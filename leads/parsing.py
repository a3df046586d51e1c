"""From the bytes a client sent to messages we can record: one pure function, called at accept and again at drain.

A body is checked as a whole only as far as it must be (UTF-8, depth, the envelope); then each message is
read by itself, so that a bad one never costs its neighbors anything.
"""

import itertools
import json
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from leads.messages import Incoming, Letter, Refused, read_message
from leads.models import Delivery, Source

__all__ = ["BadRequest", "Incoming", "Rejected", "key_in", "parse", "without_ip"]

Door = Delivery.Door

MAX_MESSAGES = 500
MAX_MESSAGE_BYTES = 32 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 300

# A string, closed or not: it always matches at a quote, so a scan stays linear whatever comes.
STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
STRINGS = re.compile(STRING, re.DOTALL)
# Brackets as signed bytes: +1 opens, -1 closes.
LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
NOT_STRUCTURE = bytes(set(range(256)) - set(b'[{]}"'))
BAD_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
ESCAPES = re.compile(rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))")
NOT_NUMBERS = re.compile(rb"(" + STRING + rb")|-?(?:NaN|Infinity)", re.DOTALL)
# Stands for NaN and Infinity until their message is read; no client writes a number like this.
NOT_A_NUMBER = "-0.0e-987654321"
IP_NAME = re.compile(rb'"(?:i|\\u0069)(?:p|\\u0070)"')
# After the name: a string, a number or a flat list of them. The first alternative skips any other string whole.
IP_PAIR = re.compile(
    rb'("(?:i|\\u0069)(?:p|\\u0070)"\s*+:\s*+)(?:' + STRING + rb"|\[(?:" + STRING + rb'|[^"\[\]{}])*+\]|[-+.0-9eE]++)|' + STRING, re.DOTALL
)


class Rejected(msgspec.Struct):
    """One message that was not taken, and why; `index` is its place in the request."""

    index: int
    messageId: str | None  # noqa: N815 (as clients read it)
    code: str
    message: str


class BadRequest(Exception):
    """A request that is refused as a whole: HTTP `status`, `code` for programs, `message` for people."""

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class Envelope(msgspec.Struct):
    """What is read of a batch before its messages are."""

    batch: msgspec.Raw = msgspec.Raw(b"null")
    sentAt: Any = None  # noqa: N815 (as clients write it)
    writeKey: Any = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Opened:
    """A body without its envelope."""

    items: list[bytes]
    #: When the client says it sent the batch.
    sent_at: Any = None
    #: The body is its only message: what breaks the one breaks the other.
    alone: bool = False


def parse(
    body: bytes, *, door: Delivery.Door, source: Source, receipt: uuid.UUID, received_at: datetime
) -> tuple[list[Incoming], list[Rejected]]:
    """Read a body (after gunzip) into messages, and the rejects with their reasons.

    Depends on nothing but its arguments, so that ids and verdicts told at accept hold at drain. Raises
    BadRequest when the body as a whole can't be read.
    """
    opened = split(clean(body), door)
    incoming: list[Incoming] = []
    rejected: list[Rejected] = []
    for index, item in enumerate(opened.items):
        message: Any = None
        try:
            message = decode(item)
            letter = Letter(index, door, source, receipt, received_at, opened.sent_at)
            incoming.append(read_message(message, letter))
        except Refused as refusal:
            if opened.alone and refusal.code in {"invalid_json", "too_deep"}:
                raise BadRequest(400, refusal.code, str(refusal)) from None
            rejected.append(Rejected(index, message_id_of(message), refusal.code, str(refusal)))
    return incoming, rejected


def message_id_of(message: Any) -> str | None:
    """The id a refused message gave itself, cut to a printable length."""
    given = message.get("messageId") if isinstance(message, dict) else None
    return given[:255] if isinstance(given, str) else None


def clean(body: bytes) -> bytes:
    """The body without its BOM, proven UTF-8, NUL and lone surrogate escapes replaced by U+FFFD."""
    text = bytes(body).removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise BadRequest(400, "empty_body", "the body is empty; send a JSON object")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(400, "invalid_utf8", f"the body is not UTF-8 (byte {error.start}); encode it as UTF-8") from None
    if BAD_ESCAPE.search(text):
        text = ESCAPES.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text)
    return text


def without_ip(body: bytes) -> bytes:
    """The body with the value of every `ip` replaced by null: addresses are not kept unless STORE_IP=1."""
    if not IP_NAME.search(body):
        return body
    return IP_PAIR.sub(lambda found: found[1] + b"null" if found[1] else found[0], body)


def key_in(body: bytes) -> str | None:
    """The `writeKey` of a body, if it can be read and has one."""
    try:
        text = clean(body)
        key = strictly(text, open_envelope).writeKey if not is_too_deep(text) else None
    except BadRequest:
        return None
    return key if isinstance(key, str) else None


def depth(text: bytes) -> int:
    """How deep arrays and objects nest, without parsing them."""
    if b"\\" not in text:  # every quote begins or ends a string: what else stands there does not matter
        text = text.translate(None, NOT_STRUCTURE)
    brackets = STRINGS.sub(b"", text).translate(LEVELS, NOT_BRACKETS)
    return max(itertools.accumulate(memoryview(brackets).cast("b")), default=0)


def is_too_deep(text: bytes) -> bool:
    """Whether arrays and objects nest deeper than allowed; most have not even so many brackets."""
    return text.count(b"[") + text.count(b"{") > MAX_DEPTH and depth(text) > MAX_DEPTH


def split(text: bytes, door: Delivery.Door) -> Opened:
    """Take the envelope off. Raises BadRequest when it is none, or holds more messages than one request may bring."""
    opened = open_lines(text) if door == Door.NDJSON else open_json(text, door)
    if len(opened.items) > MAX_MESSAGES:
        raise BadRequest(413, "batch_too_large", f"{len(opened.items)} messages in one request; send at most {MAX_MESSAGES}")
    return opened


def open_lines(text: bytes) -> Opened:
    """A message on each line that is not empty."""
    return Opened([line.strip() for line in text.splitlines() if line.strip()])


def open_json(text: bytes, door: Delivery.Door) -> Opened:
    """The messages of one JSON value: a batch, a list, or the value itself."""
    if is_too_deep(text):
        raise BadRequest(400, "too_deep", f"arrays and objects nest deeper than {MAX_DEPTH}")
    first = text.lstrip()[:1]
    is_batch = door in {Door.BATCH, Door.IMPORT}
    if first == b"[" and (is_batch or door in {Door.EVENTS, Door.INTERNAL}):
        return Opened(open_list(text))
    if first == b"{" and is_batch:
        envelope = strictly(text, open_envelope)
        return Opened(open_list(bytes(envelope.batch)), sent_at=envelope.sentAt) if is_list(envelope) else Opened([NO_BATCH])
    return Opened([text], alone=True)


# Stands for the messages of a batch whose `batch` is no list; `decode` refuses it.
NO_BATCH = b""


def open_envelope(text: bytes) -> Envelope:
    """Decode `{"batch": …, "sentAt": …}`."""
    return msgspec.json.decode(text, type=Envelope)


def is_list(envelope: Envelope) -> bool:
    """Whether `batch` is a list."""
    return bytes(envelope.batch).lstrip()[:1] == b"["


def open_list(text: bytes) -> list[bytes]:
    """The items of a JSON list, each as bytes."""
    return [bytes(item) for item in strictly(text, open_raw)]


def open_raw(text: bytes) -> list[msgspec.Raw]:
    """Decode a list, leaving its items."""
    return msgspec.json.decode(text, type=list[msgspec.Raw])


def strictly[T](text: bytes, read: Callable[[bytes], T]) -> T:
    """Call `read` on the text; NaN and Infinity, which some clients write, are left to their message to answer for."""
    try:
        return read(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        problem = str(error)
    try:
        return read(NOT_NUMBERS.sub(lambda token: token[1] or NOT_A_NUMBER.encode(), text))
    except (msgspec.MsgspecError, RecursionError):
        raise BadRequest(400, "invalid_json", f"{problem}; send one JSON value and nothing else") from None


def decode(item: bytes) -> Any:
    """One message as Python values. Raises Refused."""
    if item == NO_BATCH:
        raise Refused("batch_not_array", '"batch" must be a list of messages')
    if len(item) > MAX_MESSAGE_BYTES:
        raise Refused("item_too_large", f"{len(item)} bytes; a message has at most {MAX_MESSAGE_BYTES}")
    if is_too_deep(item):
        raise Refused("too_deep", f"arrays and objects nest deeper than {MAX_DEPTH}")
    try:
        return DECODER.decode(item.decode())
    except json.JSONDecodeError as error:
        cure = "; one message per line needs Content-Type: application/x-ndjson" if error.msg == "Extra data" else ""
        raise Refused("invalid_json", f"{error.msg} at character {error.pos}{cure}") from None


def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys all differ."""
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused("duplicate_key", f"{twice[:100]!r} stands twice in one object")
    return value


def read_int(text: str) -> int:
    """A whole number of bounded length."""
    if len(text) > MAX_DIGITS:
        raise Refused("number_too_long", f"a number of {len(text)} digits; at most {MAX_DIGITS}")
    return int(text)


def read_float(text: str) -> float:
    """A finite number."""
    if text == NOT_A_NUMBER:
        refuse_constant("NaN or Infinity")
    value = float(text)
    if not math.isfinite(value):
        raise Refused("number_out_of_range", f"{text[:40]} is larger than any number we can hold")
    return value


def refuse_constant(name: str) -> None:
    """NaN and Infinity are no JSON."""
    raise Refused("invalid_number", f"{name} is not a JSON number; send null or leave it out")


DECODER = json.JSONDecoder(object_pairs_hook=read_object, parse_int=read_int, parse_float=read_float, parse_constant=refuse_constant)
