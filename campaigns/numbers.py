"""How campaigns do, in numbers: who reached which step, what was sent, clicked, held back and why.

The number of statements does not depend on how many campaigns, people or messages there are.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Replace

from campaigns.models import Campaign, CampaignVersion, Click, Enrollment, Message
from leads.models import Event

WEEK = timedelta(days=7)
State = Message.State
# May have arrived.
GONE = {State.SENT, State.UNKNOWN}
NOT_SENT = {State.SKIPPED, State.CANCELED, State.FAILED}
WAITING = {State.SCHEDULED, State.CLAIMED, State.SENDING}


@dataclass(slots=True)
class Numbers:
    """One campaign, or one step of it. `held`: waiting messages by reason; `unsent`: messages that will not go out, by reason."""

    running: int = 0
    entered: int = 0
    reached: int = 0
    waiting: int = 0
    sent: int = 0
    clicked: int = 0
    goal: int = 0
    skipped: int = 0
    messages: int = 0
    queued: int = 0
    held: Counter[str] = field(default_factory=Counter)
    unsent: Counter[str] = field(default_factory=Counter)
    next_at: datetime | None = None

    @property
    def held_count(self) -> int:
        """How many messages a rule holds back for now."""
        return self.held.total()

    @property
    def unsent_count(self) -> int:
        """How many messages were not sent and will not be."""
        return self.unsent.total()

    @property
    def click_rate(self) -> int:
        """Clicked in per cent of sent."""
        return round(100 * self.clicked / self.sent) if self.sent else 0

    def hold(self, reason: str, count: int, at: datetime | None) -> None:
        """Count messages a rule holds back, and when the first is possible."""
        self.held[reason] += count
        self.next_at = min(filter(None, (self.next_at, at)), default=None)


# --- all campaigns ------------------------------------------------------------------------------


def of_campaigns(now: datetime) -> dict[int, Numbers]:
    """The health of every campaign: who is in it now, and what went out in the last seven days (four statements)."""
    found: dict[int, Numbers] = {pk: Numbers() for pk in Campaign.objects.values_list("pk", flat=True)}
    entered = Enrollment.objects.exclude(state=Enrollment.State.REFUSED).order_by()
    for campaign, state, reached_goal, count in (
        entered.annotate(reached_goal=Q(reason="goal"))
        .values_list("campaign", "state", "reached_goal")
        .annotate(count=Count("pk"))
        .values_list("campaign", "state", "reached_goal", "count")
    ):
        numbers = found.setdefault(campaign, Numbers())
        numbers.entered += count
        numbers.running += count if state == Enrollment.State.ACTIVE else 0
        numbers.goal += count if reached_goal and state == Enrollment.State.EXITED else 0
    for campaign, state, reason, count, first in weekly_messages(now):
        count_message(found.setdefault(campaign, Numbers()), state, reason, count, first)
    sent = clicked(Message.objects.filter(ended_at__gt=now - WEEK, state__in=GONE, enrollment__isnull=False))
    for campaign, count in sent.values_list("enrollment__campaign").annotate(count=Count("pk")):
        found.setdefault(campaign, Numbers()).clicked += count
    return found


def weekly_messages(now: datetime) -> Any:
    """Messages that wait, and those that came to their end in the last seven days: campaign, state, reason, count, first due."""
    recent = Q(state__in=WAITING) | Q(ended_at__gt=now - WEEK)
    rows = Message.objects.filter(recent, enrollment__isnull=False).order_by()
    return rows.values_list("enrollment__campaign", "state", "reason").annotate(count=Count("pk"), first=Min("due_at"))


def count_message(numbers: Numbers, state: str, reason: str, count: int, first: datetime | None) -> None:
    """Count messages in one state with one reason."""
    numbers.messages += count
    if state in GONE:
        numbers.sent += count
    elif state in NOT_SENT:
        numbers.unsent[reason or state] += count
    elif reason:
        numbers.hold(reason, count, first)
    else:
        numbers.queued += count


def clicked(messages: QuerySet[Message]) -> QuerySet[Message]:
    """Those of these messages in which a person clicked a link; mail scanners aside."""
    # The event names the mail with hyphens, SQLite keeps it without them.
    uid = Replace(Cast(OuterRef("uid"), TextField()), Value("-"), Value(""), output_field=TextField())
    events = Event.objects.filter(lead=OuterRef("lead"), type="EMAIL_CLICKED").exclude(verdict=Event.Verdict.SUSPECT)
    mail = Replace(KeyTextTransform("message", "properties"), Value("-"), Value(""), output_field=TextField())
    by_people = events.annotate(mail=mail).filter(mail=uid)
    return messages.filter(Exists(Click.objects.filter(message=OuterRef("pk"))), Exists(by_people)).order_by()


# --- one campaign -------------------------------------------------------------------------------


def of_steps(campaign: Campaign) -> tuple[Numbers, dict[str, Numbers]]:
    """One campaign since it began: as a whole, and by the key of each step any of its versions had (four statements)."""
    whole, steps = Numbers(), StepNumbers(campaign.versions.all())
    own = Message.objects.filter(enrollment=OuterRef("pk"), step=OuterRef("next_step"))
    runs = campaign.enrollments.exclude(state=Enrollment.State.REFUSED).order_by().annotate(begun=Exists(own))
    groups = runs.values_list("version", "next_step", "state", "reason", "begun").annotate(count=Count("pk"))
    for version, next_step, state, reason, begun, count in groups:
        whole.entered += count
        whole.running += count if state == Enrollment.State.ACTIVE else 0
        whole.goal += count if (state, reason) == (Enrollment.State.EXITED, "goal") else 0
        steps.count_runs(version, next_step, state, reason, count, begun=begun)
    messages = Message.objects.filter(enrollment__campaign=campaign).order_by()
    for step, state, reason, count, first in messages.values_list("step", "state", "reason").annotate(count=Count("pk"), f=Min("due_at")):
        for numbers in (whole, steps.at(step)):
            count_message(numbers, state, reason, count, first)
    for step, count in clicked(messages).values_list("step").annotate(count=Count("pk")):
        whole.clicked += count
        steps.at(step).clicked += count
    steps.find_skipped()
    return whole, steps.found


class StepNumbers:
    """Adds up runs by the steps they came to; each run went by the order of its own version."""

    def __init__(self, versions: Iterable[CampaignVersion]) -> None:
        self.documents: dict[int, list[Mapping[str, Any]]] = {version.pk: version.document.get("steps", []) for version in versions}
        self.found: dict[str, Numbers] = {}
        self.mails = {str(step["key"]) for steps in self.documents.values() for step in steps if "message" in step}

    def at(self, key: str) -> Numbers:
        """The numbers of one step."""
        return self.found.setdefault(key, Numbers())

    def count_runs(self, version: int, next_step: str, state: str, reason: str, count: int, *, begun: bool) -> None:
        """Count runs that came as far as `next_step`; `begun`: it has a message already."""
        steps = self.documents.get(version, [])
        keys = [str(step["key"]) for step in steps]
        position = keys.index(next_step) if next_step in keys else len(keys)
        done = state == Enrollment.State.COMPLETED
        by_exit = state == Enrollment.State.EXITED and position < len(keys) and exits_with(steps[position], reason)
        reached = keys if done else keys[: position + (1 if begun or by_exit else 0)]
        for key in reached:
            self.at(key).reached += count
        if state == Enrollment.State.ACTIVE and not begun:
            self.at(next_step).waiting += count
        if state == Enrollment.State.EXITED and reason == "goal":
            self.at(keys[position - 1] if position else "").goal += count

    def find_skipped(self) -> None:
        """Mails that came due and never became a message: their condition did not hold, or they came too late."""
        for key in self.mails:
            numbers = self.at(key)
            numbers.skipped = max(0, numbers.reached - numbers.messages)


def exits_with(step: Mapping[str, Any], reason: str) -> bool:
    """Whether a run with this reason was ended by this step."""
    return "exit" in step and (step["exit"] or {}).get("why", "exit step") == reason
