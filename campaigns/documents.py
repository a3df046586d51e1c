"""The shape of a published campaign, the same as an entry of a playbook's section `campaigns`.

The playbook reads files with these types, CampaignVersion.document is stored as them, and
`campaigns.enrollment` and `campaigns.schedule` run them.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from leads.documents import Conditions, Duration, EventType, Name, Strict

StepKey = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60, description="lower case letters, digits, - and _")]
CampaignKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80, description="letters, digits, - and _")]


class TriggerDoc(Strict):
    """What starts a run: exactly one of event, stage, schedule, manual.

    `when` and `max_age` go with event and stage (default 2d: an older cause starts nothing);
    `timezone` goes with schedule, a cron line of five fields.
    """

    event: EventType | None = None
    stage: str | None = None
    schedule: str | None = None
    manual: Literal[True] | None = None
    when: Conditions = []
    max_age: Duration | None = None
    timezone: str | None = None


class ReentryDoc(Strict):
    """Exactly one of: {after: 30d} again, but not sooner after the last run's start;
    {key: event.order_id} one run for each value of that event property.
    """

    after: Duration | None = None
    key: Annotated[str, Meta(pattern=r"^event\.[A-Za-z0-9_.-]+$", description="an event property such as event.order_id")] | None = None


class WindowDoc(Strict):
    """When mail may go out, in the person's zone: {days: mon-fri, hours: "08:00-18:00"}."""

    days: str = "mon-sun"
    hours: Annotated[str, Meta(pattern=r"^\d\d:\d\d-\d\d:\d\d$", description='hours such as "08:00-18:00"')] = "00:00-24:00"


class CapDoc(Strict):
    """How many messages one person gets at most in a day (24 h) and in a week (7 d)."""

    day: Annotated[int, Meta(ge=1)] | None = None
    week: Annotated[int, Meta(ge=1)] | None = None


class SendingDoc(Strict):
    """The section `sending`: what holds for the whole workspace; a campaign narrows it."""

    window: WindowDoc | None = None
    cap: CapDoc | None = None


class MessageDoc(Strict):
    """A mail: subject in Liquid, body in Markdown with Liquid."""

    subject: Annotated[str, Meta(min_length=1, max_length=300)]
    body: Annotated[str, Meta(min_length=1, max_length=100_000)]


class NotifyDoc(Strict):
    """Tell the lead's owner."""

    text: Annotated[str, Meta(min_length=1, max_length=300)]


class ExitDoc(Strict):
    """End the run, and say why."""

    why: Annotated[str, Meta(min_length=1, max_length=200)] = "exit step"


class StepDoc(Strict):
    """One step: a key, a delay, a guard, and exactly one of message, notify, exit."""

    key: StepKey
    after: Duration | None = None
    when: Conditions = []
    not_after: Duration | None = None
    message: MessageDoc | None = None
    notify: NotifyDoc | None = None
    exit: ExitDoc | None = None


class CampaignDoc(Strict, rename={"class_": "class"}):
    """One campaign. `status` is live at once and not part of a version."""

    key: CampaignKey
    name: Name
    trigger: TriggerDoc
    steps: list[StepDoc] = []
    class_: Literal["marketing", "product", "transactional"] = "marketing"
    topic: str | None = None
    audience: Conditions = []
    reentry: Literal["once", "always"] | ReentryDoc = "once"
    goal: Conditions = []
    exits: Conditions = []
    exit_on_stage: bool = True
    window: WindowDoc | None = None
    cap: CapDoc | None = None
    timezone: str | None = None
    tracking: bool = True
    priority: Annotated[int, Meta(ge=0, le=100)] = 50
    status: Literal["active", "paused"] = "active"


def read_document(document: dict[str, Any]) -> CampaignDoc:
    """Turn a stored CampaignVersion.document into its type."""
    return msgspec.convert(document, CampaignDoc)
