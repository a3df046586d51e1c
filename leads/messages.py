"""One decoded message → one Incoming: what kind, of whom, when, with which content; or a refusal with its code."""

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from email_validator import EmailNotValidError, validate_email

from leads.models import Delivery, Source, normalize_email
from leads.vocabulary import event_key, is_reserved

Door = Delivery.Door
Json = dict[str, Any]

KINDS = ("track", "identify", "page", "screen", "group", "alias")
TYPES = {"identify": "IDENTIFIED", "page": "PAGE_VIEWED", "screen": "SCREEN_VIEWED", "group": "GROUPED", "alias": "ALIASED"}
TYPE_FIELD = {Door.EVENTS: "eventType", Door.NDJSON: "eventType", Door.INTERNAL: "type"}
PROPERTIES_FIELD = {Door.EVENTS: "metadata", Door.NDJSON: "metadata"}

MAX_TYPE = 100
MAX_ID = 254
MAX_MESSAGE_ID = 255
MAX_KEYS = 200
MAX_KEY = 128
MAX_STRING = 8 * 1024
MAX_PROOF = 2000
FUTURE = timedelta(hours=24)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
DERIVED_IDS = uuid.UUID("6f1c1cbd-9a5f-5d0c-8e53-6d2f6f7cbb1e")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)", re.ASCII | re.IGNORECASE)
# The one form in which the same content always gives the same bytes: keys in order.
CANONICAL = msgspec.json.Encoder(order="sorted")
NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]")
# What broken clients send instead of nobody: believing them would merge thousands of people into one.
NOBODY = frozenset(
    [
        *("0", "null", "nil", "none", "undefined", "nan", "true", "false", "[object object]"),
        *("guest", "anonymous", "unknown", "not_authenticated"),
        *("id", "userid", "user_id", "email", "distinct_id", "distinctid", "anonymous_id", "anonymousid"),
        "00000000-0000-0000-0000-000000000000",
    ]
)


class Refused(Exception):
    """One message is not taken: `code` for programs, the text (what, where, cure) for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Incoming(msgspec.Struct, frozen=True):
    """A message as it will be recorded."""

    index: int
    message_id: str
    kind: str
    type: str
    user_id: str | None
    email: str | None
    anonymous_id: str | None
    previous_id: str | None
    lead_uid: str | None
    #: UTC, corrected for the client's skew, never after it was received.
    at: datetime
    properties: Json
    traits: Json
    consent: dict[str, str]
    proof: str
    #: 32 hex digits over type, ids, the uncorrected time, properties and traits.
    digest: str


class Letter(msgspec.Struct, frozen=True):
    """Where a message came from."""

    index: int
    door: Delivery.Door
    source: Source
    receipt: uuid.UUID
    received_at: datetime
    #: What the batch says about when it was sent.
    sent_at: Any


def read_message(message: Any, letter: Letter) -> Incoming:
    """Read one decoded message. Raises Refused."""
    if not isinstance(message, dict):
        raise Refused("expected_object", "a message must be a JSON object")
    kind = kind_of(message, letter.door)
    event_type = type_of(message, kind, letter)
    people = people_of(message, kind, letter)
    traits = traits_of(message, kind, people["email"])
    properties = properties_of(message, kind, letter.door)
    stamp = read_time(message, "timestamp")
    digest = digest_of({"kind": kind, "type": event_type, **people, "timestamp": stamp, "properties": properties, "traits": traits})
    consent, proof = consent_of(message, letter.source)
    return Incoming(
        index=letter.index,
        message_id=message_id_of(message, letter, digest=digest, stamp=stamp),
        kind=kind,
        type=event_type,
        **people,
        at=happened_at(stamp, message, letter),
        properties=properties,
        traits=traits,
        consent=consent,
        proof=proof,
        digest=digest,
    )


# --- what kind ----------------------------------------------------------------------------------


def kind_of(message: Json, door: Delivery.Door) -> str:
    """The method of the Segment spec: the endpoint says it, in a batch the message does."""
    if door in TYPE_FIELD:
        return "track"
    if door not in {Door.BATCH, Door.IMPORT}:
        return door.value
    kind = message.get("type")
    if kind is None:
        raise Refused("required", f'"type" is missing; it is one of {", ".join(KINDS)}')
    if not isinstance(kind, str) or kind not in KINDS:
        raise Refused("unknown_type", f'"type" must be one of {", ".join(KINDS)}')
    return kind


def type_of(message: Json, kind: str, letter: Letter) -> str:
    """The key of the event type, if this source may send it."""
    if kind != "track":
        return TYPES[kind]
    field = TYPE_FIELD.get(letter.door, "event")
    name = text_of(message, field)
    if name is None:
        raise Refused("required", f'"{field}" is missing; it names what happened, for example "SIGNED_UP"')
    key = event_key(name)
    if not key:
        raise Refused("invalid_format", f'"{field}" needs at least one letter or digit (A to Z, 0 to 9)')
    if len(key) > MAX_TYPE:
        raise Refused("invalid_format", f'"{field}" is longer than {MAX_TYPE} characters')
    if letter.door != Door.INTERNAL and is_reserved(key):
        raise Refused("reserved_type", f"{key} is recorded by Leadstate itself; choose another name")
    if letter.door != Door.INTERNAL and not letter.source.may_send(key):
        raise Refused("trusted_type", f"a browser key may not send {key}; send it from your server, or allow it for this source")
    return key


# --- of whom ------------------------------------------------------------------------------------


def people_of(message: Json, kind: str, letter: Letter) -> dict[str, str | None]:
    """Every key by which the message names somebody; at least one."""
    people: dict[str, str | None] = {
        "user_id": identity(message, "userId"),
        "email": email_of(message, kind, letter.door),
        "anonymous_id": identity(message, "anonymousId"),
        "previous_id": identity(message, "previousId") if kind == "alias" else None,
        "lead_uid": text_of(message, "leadUid") if letter.door == Door.INTERNAL else None,
    }
    if kind == "alias" and not people["previous_id"]:
        raise Refused("required", '"previousId" is missing; it is the id to join with "userId"')
    if not (people["user_id"] or people["email"] or people["anonymous_id"] or people["lead_uid"]):
        fields = '"userId", "email" or "anonymousId"' if letter.door in PROPERTIES_FIELD else '"userId" or "anonymousId"'
        raise Refused("identity_required", f"nobody is named; send {fields}")
    return people


def text_of(message: Mapping[str, Any], field: str, *, limit: int | None = None) -> str | None:
    """A text without control characters, trimmed; None when missing, null or blank."""
    value = message.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("type_error", f'"{field}" must be a string, not {json_name(value)}')
    value = value.strip()
    if not (value.isascii() and value.isprintable()) and NOT_TEXT.search(value):
        raise Refused("invalid_character", f'"{field}" has a control character, NUL or half a surrogate pair in it')
    if limit is not None and len(value) > limit:
        raise Refused("invalid_format", f'"{field}" is longer than {limit} characters')
    return value or None


def json_name(value: object) -> str:
    """What JSON calls the type of a value."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object", str: "a string"}
    return names.get(type(value), "null")


def identity(message: Json, field: str, *, limit: int | None = MAX_ID) -> str | None:
    """An id of a person that is not one of the values clients send for nobody."""
    value = text_of(message, field, limit=limit)
    if value and value.lower() in NOBODY:
        raise Refused("illegal_identity", f'"{field}" is {value!r}, which names nobody; leave it out instead')
    return value


def email_of(message: Json, kind: str, door: Delivery.Door) -> str | None:
    """The person's address: given by itself, or among the traits; a group's traits are the company's."""
    traits = given_traits(message, kind) if kind != "group" else {}
    for place in (message, traits):
        if value := identity(place, "email", limit=None):
            return normalize_email(value) if door == Door.INTERNAL else checked_email(value)
    return None


@lru_cache(maxsize=4096)
def checked_email(value: str) -> str:
    """A valid address in the form we compare: NFKC, lower case."""
    if len(value) > MAX_ID:
        raise Refused("invalid_email", f'"email" is longer than {MAX_ID} characters')
    try:
        # test_environment only lets the reserved domain .test pass.
        parts = validate_email(unicodedata.normalize("NFKC", value), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise Refused("invalid_email", f'"email" is not an address: {error}') from None
    if "." not in parts.domain:
        raise Refused("invalid_email", '"email" is not an address: its domain has no dot')
    return normalize_email(parts.normalized)


# --- content ------------------------------------------------------------------------------------


def object_of(message: Json, field: str) -> Json:
    """An object within limits; empty when missing or null."""
    value = message.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("type_error", f'"{field}" must be an object, not {json_name(value)}')
    check_limits(value, field)
    return value


def check_limits(value: object, path: str) -> None:
    """Refuse objects with too many or too long keys, and too long texts, wherever they are."""
    if isinstance(value, str):
        if len(value) > MAX_STRING:
            raise Refused("string_too_long", f'"{path}" has a text of {len(value)} characters; at most {MAX_STRING}')
    elif isinstance(value, list):
        for item in value:
            check_limits(item, path)
    elif isinstance(value, dict) and value:
        if len(value) > MAX_KEYS:
            raise Refused("too_many_keys", f'"{path}" has an object of {len(value)} keys; at most {MAX_KEYS}')
        if (longest := max(map(len, value))) > MAX_KEY:
            raise Refused("key_too_long", f'"{path}" has a key of {longest} characters; at most {MAX_KEY}')
        for item in value.values():
            if type(item) is not str or len(item) > MAX_STRING:
                check_limits(item, path)


def given_traits(message: Json, kind: str) -> Json:
    """The traits as sent; some clients put those of an identify into its context only."""
    traits = object_of(message, "traits")
    context = message.get("context")
    if not traits and kind == "identify" and isinstance(context, dict) and isinstance(context.get("traits"), dict):
        return object_of(context, "traits")
    return traits


def traits_of(message: Json, kind: str, email: str | None) -> Json:
    """What the message says about the person; what it says about the company stands under `company`."""
    traits = dict(given_traits(message, kind))
    if kind == "group":
        group = text_of(message, "groupId", limit=MAX_ID)
        if not group:
            raise Refused("required", '"groupId" is missing; it is your id of the account')
        traits = {"company": {**traits, "id": group}}
    company = traits.get("company")
    if isinstance(company, str):
        traits["company"] = {"name": company}
    elif company is not None and not isinstance(company, dict):
        raise Refused("type_error", f'"traits.company" must be an object or a name, not {json_name(company)}')
    if email:
        traits["email"] = email
    return traits


def properties_of(message: Json, kind: str, door: Delivery.Door) -> Json:
    """The properties; of a page or screen with its name and category, of a page also with its path."""
    properties = dict(object_of(message, PROPERTIES_FIELD.get(door, "properties")))
    if kind in {"page", "screen"}:
        for field in ("name", "category"):
            value = message.get(field)
            if isinstance(value, str) and value:
                check_limits(value, field)
                properties.setdefault(field, value)
    if kind == "page" and not properties.get("path") and isinstance(properties.get("url"), str):
        properties["path"] = path_of(properties["url"])
    return properties


def path_of(url: str) -> str:
    """The path of an address; `/` when there is none, or none can be read."""
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        return "/"


def consent_of(message: Json, source: Source) -> tuple[dict[str, str], str]:
    """What the person agreed to or refused, by topic, and what shows it."""
    consent = message.get("consent")
    if consent is None:
        return {}, ""
    if not isinstance(consent, dict) or len(consent) > MAX_KEYS or not all(value in ("granted", "denied") for value in consent.values()):
        raise Refused("invalid_consent", '"consent" must be an object of topics, each "granted" or "denied"')
    if consent and source.scope == Source.Scope.BROWSER:
        raise Refused("consent_not_allowed", "a browser key can't set consent; send it from your server")
    check_limits(consent, "consent")
    proof = message.get("proof")
    if proof is not None and not isinstance(proof, str):
        raise Refused("type_error", f'"proof" must be a string, not {json_name(proof)}')
    return consent, (proof or "")[:MAX_PROOF]


# --- when, and which ----------------------------------------------------------------------------


def read_time(message: Json, field: str) -> datetime | None:
    """A time with its offset (RFC 3339), in UTC; None when missing or null."""
    value = message.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise Refused("invalid_datetime", f'"{field}" must be a time with its offset, for example "2026-01-31T14:05:00Z"')
    try:
        moment = datetime.fromisoformat(value.upper().replace(",", ".")).astimezone(UTC)
    except ValueError:
        raise Refused("invalid_datetime", f'"{field}" names a day or time that does not exist') from None
    except OverflowError:
        raise Refused("out_of_range", f'"{field}" is out of range') from None
    if moment < EARLIEST:
        raise Refused("out_of_range", f'"{field}" is before 1970')
    return moment


def happened_at(stamp: datetime | None, message: Json, letter: Letter) -> datetime:
    """When it happened: the client's time, corrected by how wrong its clock was when it sent, never after we got it."""
    if stamp is None:
        return letter.received_at
    try:
        sent_at = read_time({"sentAt": letter.sent_at or message.get("sentAt")}, "sentAt")
    except Refused:
        sent_at = None  # an unreadable sentAt only means that nothing can be corrected
    try:
        at = stamp + (letter.received_at - sent_at) if sent_at else stamp
    except OverflowError:
        raise Refused("out_of_range", '"timestamp" is out of range') from None
    if at > letter.received_at + FUTURE:
        raise Refused("occurred_at_in_future", '"timestamp" is more than 24 hours in the future; is the clock right, and its offset?')
    if at < EARLIEST:
        raise Refused("out_of_range", '"timestamp" is before 1970, after correcting it by "sentAt"')
    return min(at, letter.received_at)


def digest_of(content: Json) -> str:
    """What the message says, as 32 hex digits."""
    return hashlib.blake2b(CANONICAL.encode(content), digest_size=16).hexdigest()


def message_id_of(message: Json, letter: Letter, *, digest: str, stamp: datetime | None) -> str:
    """The id that makes the message safe to repeat.

    Given; or derived from source and content when there is a timestamp; else a new one for this receipt.
    """
    if message.get("messageId") is not None:
        given = text_of(message, "messageId", limit=MAX_MESSAGE_ID)
        if not given:
            raise Refused("invalid_format", '"messageId" is empty; leave it out, or send an id')
        return given
    if stamp is not None:
        return str(uuid.uuid5(DERIVED_IDS, f"{letter.source.pk}:{digest}"))
    return str(uuid.uuid5(letter.receipt, str(letter.index)))
