"""What the doors for machines answer. The same types make the answers and the API's document, so the two can't drift apart."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from leads.models import Delivery, ScoreEntry
from leads.parsing import Rejected

Moment = Annotated[datetime, Meta(tz=True, description="ISO 8601, in UTC.")]


class Problem(Struct):
    """Why a request was refused: a code for programs, and what to do about it for people."""

    code: Annotated[str, Meta(description="Stays the same for ever; see the list of codes.")]
    message: Annotated[str, Meta(description="What is wrong and what cures it.")]


class Accepted(Struct):
    """The answer to a write: everything accepted is stored and will be processed in a moment."""

    success: Annotated[bool, Meta(description="Always true: a request that is not stored is answered with an error.")]
    receipt: Annotated[UUID, Meta(description="Ask for it at `/api/receipts/{receipt}`.")]
    accepted: Annotated[int, Meta(description="How many messages were taken.")]
    messageIds: Annotated[list[str], Meta(description="Their ids, in the order of the messages.")]  # noqa: N815 (as clients read it)
    rejected: Annotated[list[Rejected], Meta(description="The messages that were not taken, and why.")]


class Receipt(Struct):
    """What became of a request."""

    status: Annotated[
        str,
        Meta(
            description="`failed`: the last try failed and more will follow; nothing is lost.",
            extra_json_schema={"enum": Delivery.State.values},
        ),
    ]
    stored: Annotated[int, Meta(description="Events that are new.")]
    duplicates: Annotated[int, Meta(description="Messages that had been stored before.")]
    messageIds: Annotated[list[str], Meta(description="Ids of the accepted messages, in order.")]  # noqa: N815
    rejected: Annotated[list[Rejected], Meta(description="Refused when accepted, or later when processed.")]
    error: Annotated[str | None, Meta(description="Why the last try failed.")]


class Identities(Struct):
    """The ids by which a lead is known."""

    user_id: list[str]
    anonymous_id: list[str]


class LeadRow(Struct):
    """A person or a visitor, how warm they are, and where they stand."""

    uid: UUID
    email: str | None
    name: str
    stage: Annotated[str, Meta(description="The stage's key, as shipped: cold, mql, sql, won or lost.")]
    stage_since: Moment
    score: Annotated[int, Meta(description="`engagement` + `fit`.")]
    engagement: int
    fit: int
    owner: Annotated[str | None, Meta(description="User name of the rep.")]
    excluded: Annotated[bool, Meta(description="Excluded from scoring.")]
    identities: Identities
    traits: dict[str, Any]


class LedgerRow(Struct):
    """One line of the ledger: points, and why."""

    at: Moment
    axis: Annotated[str, Meta(extra_json_schema={"enum": ScoreEntry.Axis.values})]
    points: Annotated[int, Meta(description="What was applied.")]
    raw: Annotated[int, Meta(description="What the rule says.")]
    rule: Annotated[str, Meta(description="The rule's key.")]
    version: Annotated[int, Meta(description="Number of the published scoring model.")]
    event: Annotated[str | None, Meta(description="`messageId` of the event that caused it.")]
    kind: Annotated[str, Meta(extra_json_schema={"enum": ScoreEntry.Kind.values})]
    reason: Annotated[str, Meta(description="Why `points` differ from `raw`.")]


class EventRow(Struct):
    """Something a lead did."""

    messageId: str  # noqa: N815
    type: Annotated[str, Meta(description="The type's key, for example `VIEWED_PRICING`.")]
    properties: dict[str, Any]
    at: Annotated[datetime, Meta(tz=True, description="When it happened.")]
    received_at: Annotated[datetime, Meta(tz=True, description="When we got it.")]
    source: Annotated[str, Meta(description="Name of the source.")]


class TransitionRow(Struct):
    """One stage change."""

    at: Annotated[datetime, Meta(tz=True, description="When the fact happened that opened the gate.")]
    recorded_at: Annotated[datetime, Meta(tz=True, description="When we noticed.")]
    from_: Annotated[str, Meta(description="The stage's key.")] = field(name="from")
    to: Annotated[str, Meta(description="The stage's key.")]
    gate: Annotated[str | None, Meta(description="Key of the gate; null for a move by hand.")]
    event: Annotated[str | None, Meta(description="`messageId` of the event that caused it.")]
    actor: Annotated[str | None, Meta(description="Who moved it by hand.")]
    reason: Annotated[str | None, Meta(description="Key of the reason.")]


class MessageRow(Struct):
    """Something we said to a lead, or decided not to say."""

    campaign: str | None
    step: str | None
    channel: Literal["email"]
    state: str
    due_at: Moment
    sent_at: Moment | None
    subject: str
    reason: Annotated[str, Meta(description="Why it was not sent.")]


class Page[Row](Struct):
    """Rows, newest first."""

    results: list[Row]
    next: Annotated[str | None, Meta(description="Send it as `cursor` for the page after this one; null at the end.")]
