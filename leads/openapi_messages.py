"""What clients may send, as types for the API's document.

The messages themselves are read by hand in `leads.messages`, which says better what is wrong and what cures
it; a test sends what these types allow, and what they forbid, through the real doors.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from leads.messages import MAX_ID, MAX_MESSAGE_ID, MAX_TYPE

Words = dict[str, Any]
UserId = Annotated[str, Meta(max_length=MAX_ID, description="Your id of the person.")]
AnonymousId = Annotated[str, Meta(max_length=MAX_ID, description="The visitor's id before anybody knows who it is.")]
MessageId = Annotated[str, Meta(max_length=MAX_MESSAGE_ID, description="The same when you try again: the event counts once, for ever.")]
Time = Annotated[
    str,
    Meta(
        description="When it happened, with its offset. Left out: now. The past is welcome.",
        extra_json_schema={"format": "date-time"},
    ),
]
SentAt = Annotated[
    str,
    Meta(
        description="The client's clock when it sent this; `timestamp` is corrected by it.",
        extra_json_schema={"format": "date-time"},
    ),
]
Traits = Annotated[
    Words,
    Meta(description="What you know about the person: `name`, `email`, `title`, `phone`, `country`, `timezone`, `company`, anything else."),
]
Properties = Annotated[Words, Meta(description="What there is to say about it, for example `path` or `order_id`.")]


class Event(Struct):
    """One thing somebody did. Name them by at least one of `userId`, `email` and `anonymousId`."""

    eventType: Annotated[  # noqa: N815 (as clients write it)
        str,
        Meta(
            max_length=MAX_TYPE, description="What happened. Spelling does not matter: `Viewed Pricing` and `VIEWED_PRICING` are one type."
        ),
    ]
    userId: UserId | UnsetType = UNSET  # noqa: N815
    email: Annotated[str, Meta(max_length=MAX_ID, description="The person's address.")] | UnsetType = UNSET
    anonymousId: AnonymousId | UnsetType = UNSET  # noqa: N815
    metadata: Properties | UnsetType = UNSET
    traits: Traits | UnsetType = UNSET
    messageId: MessageId | UnsetType = UNSET  # noqa: N815
    timestamp: Time | UnsetType = UNSET
    consent: (
        Annotated[
            dict[str, Literal["granted", "denied"]],
            Meta(description="By topic, for example `newsletter`. Server keys only."),
        ]
        | UnsetType
    ) = UNSET
    proof: Annotated[str, Meta(description="What shows that they agreed: the form, the box, the time.")] | UnsetType = UNSET


class Named(Struct, kw_only=True):
    """What every message of the Segment spec may have. Name somebody by `userId`, `anonymousId`, or both."""

    userId: UserId | UnsetType = UNSET  # noqa: N815
    anonymousId: AnonymousId | UnsetType = UNSET  # noqa: N815
    messageId: MessageId | UnsetType = UNSET  # noqa: N815
    timestamp: Time | UnsetType = UNSET
    sentAt: SentAt | UnsetType = UNSET  # noqa: N815
    context: Annotated[Words, Meta(description="Kept by nobody here; an identify without `traits` may have them in it.")] | UnsetType = (
        UNSET
    )


class Track(Named, kw_only=True):
    """Somebody did something."""

    event: Annotated[str, Meta(max_length=MAX_TYPE, description="What happened, for example `Viewed Pricing`.")]
    properties: Properties | UnsetType = UNSET


class Identify(Named, kw_only=True):
    """Who somebody is; recorded as `IDENTIFIED`."""

    traits: Traits | UnsetType = UNSET


class PageView(Named, kw_only=True):
    """Somebody saw a page; recorded as `PAGE_VIEWED` with its `path`."""

    name: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    properties: Properties | UnsetType = UNSET


class ScreenView(Named, kw_only=True):
    """Somebody saw a screen of an app; recorded as `SCREEN_VIEWED`."""

    name: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    properties: Properties | UnsetType = UNSET


class Group(Named, kw_only=True):
    """Which account somebody belongs to; recorded as `GROUPED`."""

    groupId: Annotated[str, Meta(max_length=MAX_ID, description="Your id of the account.")]  # noqa: N815
    traits: (
        Annotated[Words, Meta(description="What you know about the company: `name`, `domain`, `employees`, `industry`.")] | UnsetType
    ) = UNSET


class Alias(Named, kw_only=True):
    """Two ids are one person; recorded as `ALIASED`."""

    previousId: Annotated[str, Meta(max_length=MAX_ID, description="The id to join with `userId`.")]  # noqa: N815
