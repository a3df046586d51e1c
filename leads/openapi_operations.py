"""What the API can do, one entry each: the table from which its document is built."""

from dataclasses import dataclass
from typing import Any

from leads import openapi_messages as sent
from leads.answers import Accepted, EventRow, LeadRow, LedgerRow, MessageRow, Page, Receipt, TransitionRow

Json = dict[str, Any]

# What a batch calls each kind of message.
KINDS: dict[str, type] = {
    "track": sent.Track,
    "identify": sent.Identify,
    "page": sent.PageView,
    "screen": sent.ScreenView,
    "group": sent.Group,
    "alias": sent.Alias,
}
UUID = "6f1c1cbd-9a5f-4d0c-8e53-6d2f6f7cbb1e"


class Batch:
    """Stands for a batch of the Segment spec, whose schema the types alone can't give."""


@dataclass(frozen=True)
class Operation:
    """One thing the API does, as short as it can be said; `responses` of errors by status."""

    method: str
    path: str
    name: str
    group: str
    summary: str
    scope: str
    answers: Any
    text: str = ""
    asks: Any = None
    example: Any = None
    reply: Any = None
    query: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()


WRITES = (400, 401, 403, 405, 409, 413, 415, 429, 503)
READS = (400, 401, 403, 404, 405, 503)
EVENT = {"userId": "u-42", "email": "ada@example.com", "eventType": "DEMO_REQUESTED", "metadata": {"team_size": 12}}
ACCEPTED = {"success": True, "receipt": UUID, "accepted": 1, "messageIds": ["8b1f0f0e-1c55-5f0e-9f0a-0d6d5f4f1a11"], "rejected": []}
MISSING = {"index": 1, "messageId": None, "code": "required", "message": '"type" is missing; it is one of track, identify'}
LEAD = {
    "uid": UUID,
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "stage": "sql",
    "stage_since": "2026-03-01T12:00:00Z",
    "score": 65,
    "engagement": 50,
    "fit": 15,
    "owner": "rep",
    "excluded": False,
    "identities": {"user_id": ["u-42"], "anonymous_id": []},
    "traits": {"title": "CTO"},
}


def segment(name: str, summary: str, example: Json) -> Operation:
    """A method of the Segment HTTP API."""
    return Operation(
        "post",
        f"/v1/{name}",
        name,
        "Segment",
        summary,
        "write",
        Accepted,
        asks=KINDS[name],
        example=example,
        reply=ACCEPTED,
        errors=WRITES,
    )


def history(name: str, row: type, summary: str, **reply: Any) -> Operation:
    """A list about one lead, newest first."""
    return Operation(
        "get",
        f"/api/leads/{{uid}}/{name}",
        f"lead_{name}",
        "Leads",
        summary,
        "read",
        Page[row],  # type: ignore[valid-type]
        reply={"results": [reply], "next": None},
        query=("limit", "cursor"),
        errors=READS,
    )


OPERATIONS = [
    Operation(
        "post",
        "/api/events",
        "events",
        "Events",
        "Post what people did",
        "write",
        Accepted,
        "One event, or a list of them; or, as `application/x-ndjson`, one on each line. Answered 400 when none of them is good.",
        asks=sent.Event | list[sent.Event],
        example=EVENT,
        reply=ACCEPTED,
        errors=WRITES,
    ),
    Operation(
        "get",
        "/api/receipts/{receipt}",
        "receipt",
        "Events",
        "Ask what became of a request",
        "same",
        Receipt,
        "Receipts are kept for 90 days.",
        reply={"status": "processed", "stored": 1, "duplicates": 0, "messageIds": ["m-1"], "rejected": [], "error": None},
        errors=(401, 404, 405, 503),
    ),
    segment("track", "Somebody did something", {"userId": "u-42", "event": "Viewed Pricing", "properties": {"plan": "team"}}),
    segment(
        "identify", "Who somebody is", {"userId": "u-42", "traits": {"name": "Ada Lovelace", "email": "ada@example.com", "title": "CTO"}}
    ),
    segment("page", "Somebody saw a page", {"anonymousId": "a-7", "properties": {"path": "/pricing"}}),
    segment("screen", "Somebody saw a screen of an app", {"userId": "u-42", "name": "Settings"}),
    segment(
        "group", "Which account somebody belongs to", {"userId": "u-42", "groupId": "acme", "traits": {"name": "Acme", "employees": 120}}
    ),
    segment("alias", "Two ids are one person", {"userId": "u-42", "previousId": "a-7"}),
    Operation(
        "post",
        "/v1/batch",
        "batch",
        "Segment",
        "Many messages at once",
        "write",
        Accepted,
        "Any body that can be read is answered 200; the messages that are not taken are listed.",
        asks=Batch,
        example={
            "batch": [
                {"type": "track", "userId": "u-42", "event": "Viewed Pricing"},
                {"type": "identify", "userId": "u-42", "traits": {"title": "CTO"}},
            ]
        },
        reply=ACCEPTED | {"messageIds": ["m-1"], "rejected": [MISSING]},
        errors=WRITES,
    ),
    Operation(
        "post",
        "/v1/import",
        "import",
        "Segment",
        "History",
        "write",
        Accepted,
        "As `/v1/batch`. What happened long ago scores, and sales is told, but no mail goes out for it.",
        asks=Batch,
        example={"batch": [{"type": "track", "userId": "u-42", "event": "Signed Up", "timestamp": "2025-11-03T09:30:00Z"}]},
        reply=ACCEPTED,
        errors=WRITES,
    ),
    Operation(
        "get",
        "/api/leads",
        "leads",
        "Leads",
        "Find a lead by what you know of them",
        "read",
        Page[LeadRow],
        "Exactly one of `email`, `user_id` and `anonymous_id`. A list of one, or of none; there is never a next page.",
        reply={"results": [LEAD], "next": None},
        query=("email", "user_id", "anonymous_id", "as_of"),
        errors=(400, 401, 403, 405, 503),
    ),
    Operation("get", "/api/leads/{uid}", "lead", "Leads", "One lead", "read", LeadRow, reply=LEAD, query=("as_of",), errors=READS),
    history(
        "ledger",
        LedgerRow,
        "Every point, and why",
        at="2026-03-01T12:00:00Z",
        axis="engagement",
        points=10,
        raw=10,
        rule="viewed-pricing",
        version=3,
        event="m-1",
        kind="points",
        reason="",
    ),
    history(
        "events",
        EventRow,
        "What a lead did",
        messageId="m-1",
        type="VIEWED_PRICING",
        properties={"plan": "team"},
        at="2026-03-01T12:00:00Z",
        received_at="2026-03-01T12:00:01Z",
        source="website",
    ),
    history(
        "transitions",
        TransitionRow,
        "Every stage change",
        at="2026-03-01T12:00:00Z",
        recorded_at="2026-03-01T12:00:01Z",
        to="sql",
        gate="hot",
        event="m-1",
        actor=None,
        reason=None,
        **{"from": "mql"},
    ),
    history(
        "messages",
        MessageRow,
        "What we said, or did not say, and why",
        campaign="API_DEEP_DIVE_SEQUENCE",
        step="first-call",
        channel="email",
        state="sent",
        due_at="2026-03-01T12:10:00Z",
        sent_at="2026-03-01T12:10:02Z",
        subject="Your first API call, in one command",
        reason="",
    ),
]
