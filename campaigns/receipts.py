"""The receipts of a campaign: every mail that was not sent or has to wait, and everybody who did not enter, with the reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Count

from campaigns.models import Campaign, Enrollment, Message
from campaigns.numbers import NOT_SENT
from leads.models import Lead
from leads.sentences import why_words

ROWS = 25
# How sending ended, beside what leads.sentences knows.
MORE = {
    "template": "the text could not be filled in",
    "bounce": "the address does not exist",
    "refused": "the mail server said no",
    "gave_up": "the mail server could not be reached",
    "back_off": "another try after an error",
    "window": "outside the sending hours",
    "cap": "had enough mail for now",
    "window: never open": "the sending hours never come",
}
KINDS = {"held": "Waiting", "unsent": "Not sent", "refused": "Did not enter"}


class ReceiptFilter(forms.Form):
    """Which receipts; they live in the address. Anything unreadable is ignored."""

    show = forms.ChoiceField(choices=list(KINDS.items()), required=False)
    reason = forms.CharField(max_length=200, required=False)
    before = forms.IntegerField(min_value=1, required=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line: who, which step, why, and when it is possible next."""

    pk: int
    lead: Lead
    step: str
    why: str
    at: datetime
    error: str = ""
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """One page of receipts: `reasons` with their words and counts, `older` continues the list."""

    show: str
    reason: str
    rows: list[Receipt]
    reasons: list[tuple[str, str, int]]
    counts: list[tuple[str, str, int]]
    older: int | None


def receipts(campaign: Campaign, data: Any, *, held: Counter[str], unsent: Counter[str]) -> Receipts:
    """The receipts the address asks for (two statements). `held` and `unsent` are counted already."""
    form = ReceiptFilter(data)
    form.is_valid()
    refused = refusals(campaign)
    counters = {"held": held, "unsent": unsent, "refused": refused}
    show = form.cleaned_data.get("show") or next((kind for kind in KINDS if counters[kind]), "unsent")
    reason = form.cleaned_data.get("reason") or ""
    rows = entries(campaign, reason) if show == "refused" else messages(campaign, show, reason)
    before = form.cleaned_data.get("before")
    found = [*(rows.filter(pk__lt=before) if before else rows).order_by("-pk")[: ROWS + 1]]
    shown = [of_entry(row) if show == "refused" else of_message(row) for row in found[:ROWS]]
    return Receipts(
        show,
        reason,
        shown,
        [(key, worded(key), count) for key, count in counters[show].most_common()],
        [(kind, title, counters[kind].total()) for kind, title in KINDS.items()],
        shown[-1].pk if len(found) > ROWS else None,
    )


def refusals(campaign: Campaign) -> Counter[str]:
    """How many did not enter, by reason."""
    rows = campaign.enrollments.filter(state=Enrollment.State.REFUSED).order_by()
    return Counter(dict(rows.values_list("reason").annotate(count=Count("pk"))))


def messages(campaign: Campaign, show: str, reason: str) -> Any:
    """Mails that wait because a rule says so, or that were not sent."""
    rows = Message.objects.filter(enrollment__campaign=campaign).select_related("lead")
    rows = rows.filter(state=Message.State.SCHEDULED).exclude(reason="") if show == "held" else rows.filter(state__in=NOT_SENT)
    return rows.filter(reason=reason) if reason else rows


def entries(campaign: Campaign, reason: str) -> Any:
    """Those who did not enter."""
    rows = campaign.enrollments.filter(state=Enrollment.State.REFUSED).select_related("lead")
    return rows.filter(reason=reason) if reason else rows


def of_message(row: Message) -> Receipt:
    """A message as a receipt."""
    waits = row.state == Message.State.SCHEDULED
    why = worded(row.reason or row.state)
    return Receipt(row.pk, row.lead, row.step, why, row.ended_at or row.created_at, row.error, row.due_at if waits else None)


def of_entry(row: Enrollment) -> Receipt:
    """A refused entry as a receipt."""
    return Receipt(row.pk, row.lead, "", worded(row.reason), row.started_at)


def worded(reason: str) -> str:
    """A reason with a capital letter."""
    words = why(reason)
    return words[:1].upper() + words[1:]


def told(reasons: Counter[str]) -> Iterable[str]:
    """Reasons with their counts, the most frequent first: "no consent to this topic (4)"."""
    return [f"{why(reason)} ({count})" for reason, count in reasons.most_common()]


def why(reason: str) -> str:
    """A reason in words, as it stands behind "held" or "not sent"."""
    return MORE.get(reason) or why_words(reason).removeprefix("waits, ").removeprefix("waits for ")
