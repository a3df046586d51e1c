"""The API's document (OpenAPI 3.1), built from the types that the doors answer with."""

import copy
import functools
from typing import Any

import msgspec

from leads import openapi_messages as sent
from leads.answers import Problem
from leads.openapi_codes import CODES
from leads.openapi_operations import KINDS, OPERATIONS, Batch, Operation
from leads.parsing import MAX_MESSAGE_BYTES, MAX_MESSAGES

Json = dict[str, Any]

API_VERSION = "1"
REF = "#/components/schemas/{name}"
SCOPES = {
    "write": "Needs a server key or a browser key",
    "read": "Needs a read key",
    "same": "Needs the key that sent it",
}
PEOPLE: dict[type, list[str]] = {
    sent.Event: ["userId", "email", "anonymousId"],
    **{kind: ["userId", "anonymousId"] for kind in KINDS.values()},
}
INTRODUCTION = f"""\
Post what people do; read back who they are, how warm they are, and why.

**Keys.** `Authorization: Bearer KEY`; or HTTP Basic with the key as user name and an empty password; or, in the body of a write,
`writeKey`. Make keys under Sources; each is shown once. Server keys post events. Browser keys post events, may be seen by
anybody, and so may send neither consent nor events that move money. Read keys read.

**Limits.** A request has at most 1 MiB (an import 8 MiB), compressed and decompressed, and at most {MAX_MESSAGES} messages
of {MAX_MESSAGE_BYTES // 1024} KiB each. `Content-Encoding: gzip` is understood.

**Safe to repeat.** A message with a `messageId` counts once, for ever. An `Idempotency-Key` header makes a whole request safe to
repeat for 7 days: the same key gets the same receipt. On 429 and 503 wait as `Retry-After` says, then send the same again.

**A bad message never fails its batch.** It is listed under `rejected` with a code, the others are taken."""


QUERY: dict[str, Json] = {
    "email": {"description": "The lead's address.", "schema": {"type": "string"}},
    "user_id": {"description": "Your id of the person.", "schema": {"type": "string"}},
    "anonymous_id": {"description": "The visitor's id.", "schema": {"type": "string"}},
    "as_of": {
        "description": "Scores and stage at this moment, as known today. Not in the future.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "limit": {"description": "How many rows.", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}},
    "cursor": {"description": "The `next` of the page before.", "schema": {"type": "string"}},
}
STATUSES = {
    400: "The request can't be read, or nothing in it is good",
    401: "The key is missing, unknown or revoked",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "Another method is meant",
    409: "The Idempotency-Key came with another request before",
    413: "Too large",
    415: "A compression we don't know",
    429: "Too much waits to be processed; slow down",
    503: "The database is away or busy; nothing was stored",
}


@functools.cache
def document() -> Json:
    """The whole document, without the address of the server."""
    schemas = components()
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = operation_entry(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leadstate", "version": API_VERSION, "description": INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "The key as user name, an empty password."},
            },
        },
        "x-codes": {code: {"statuses": sorted(statuses), "cure": cure} for code, (statuses, cure) in CODES.items()},
        "tags": [{"name": name} for name in dict.fromkeys(operation.group for operation in OPERATIONS)],
    }


def document_for(host: str) -> Json:
    """The document as one server gives it, for example for `https://crm.example.com`."""
    return copy.deepcopy(document()) | {"servers": [{"url": host}]}


def components() -> dict[str, Json]:
    """Every schema by name, and what the types alone can't say: that somebody must be named, and what a batch is."""
    types = [Problem, *KINDS.values(), sent.Event, *(operation.answers for operation in OPERATIONS)]
    _, schemas = msgspec.json.schema_components(types, ref_template=REF)
    for type_, names in PEOPLE.items():
        schemas[type_.__name__]["anyOf"] = [{"required": [name]} for name in names]
    schemas["BatchMessage"] = {
        "title": "BatchMessage",
        "description": "A message of the Segment spec that says its kind.",
        "oneOf": [
            {"allOf": [ref(type_.__name__), {"type": "object", "properties": {"type": {"const": kind}}, "required": ["type"]}]}
            for kind, type_ in KINDS.items()
        ],
    }
    schemas["Batch"] = {
        "title": "Batch",
        "description": "Messages of the Segment spec.",
        "type": "object",
        "properties": {
            "batch": {"type": "array", "items": ref("BatchMessage"), "maxItems": MAX_MESSAGES},
            "sentAt": {"type": "string", "format": "date-time", "description": "The client's clock when it sent this."},
            "writeKey": {"type": "string", "description": "The key, if no header brings it."},
        },
        "required": ["batch"],
    }
    return schemas


def ref(name: str) -> Json:
    """A pointer to a schema."""
    return {"$ref": REF.format(name=name)}


def schema_of(type_: Any) -> Json:
    """The schema of what an operation asks or answers."""
    if type_ is Batch:
        return ref("Batch")
    (schema,), _ = msgspec.json.schema_components([type_], ref_template=REF)
    return schema


def operation_entry(operation: Operation) -> Json:
    """An operation as the document has it."""
    entry: Json = {
        "operationId": operation.name,
        "x-codes": {code: {"statuses": sorted(statuses), "cure": cure} for code, (statuses, cure) in CODES.items()},
        "tags": [operation.group],
        "summary": operation.summary,
        "description": " ".join(part for part in (operation.text, f"{SCOPES[operation.scope]}.") if part),
        "security": [{"bearer": []}, {"basic": []}],
        "parameters": parameters(operation),
        "responses": {"200": {"description": "Done", "content": content(schema_of(operation.answers), operation.reply)}}
        | {str(status): error_entry(status) for status in operation.errors},
    }
    if operation.asks:
        entry["requestBody"] = {"required": True, "content": content(schema_of(operation.asks), operation.example)}
        if operation.name == "events":
            entry["requestBody"]["content"]["application/x-ndjson"] = {
                "schema": {"type": "string", "description": "An event on each line."}
            }
    return entry


def content(schema: Json, example: Any) -> Json:
    """A JSON body with an example."""
    return {"application/json": {"schema": schema, "example": example}}


def error_entry(status: int) -> Json:
    """An error. Which codes it can have stands in the document's `x-codes`."""
    entry: Json = {"description": STATUSES[status], "content": {"application/json": {"schema": ref("Problem")}}}
    if status in {429, 503}:
        entry["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return entry


def parameters(operation: Operation) -> list[Json]:
    """What stands in the address, and the header that makes writes safe to repeat."""
    found: list[Json] = [{"name": name, "in": "query", "required": False, **QUERY[name]} for name in operation.query]
    for name in ("uid", "receipt"):
        if f"{{{name}}}" in operation.path:
            found.insert(0, {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}})
    if operation.scope == "write":
        text = "Makes the request safe to repeat for 7 days."
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string", "maxLength": 200},
            }
        )
    return found
