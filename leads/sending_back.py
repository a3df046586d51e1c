"""Sending a lead back from sales: which reasons and stages are offered, and where it goes when no stage was chosen."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from leads.models import Reason, Stage, Task, Transition
from leads.stays import SALES

# Where a lead goes back to when neither its reason nor its past says.
USUAL = "mql"


def places() -> QuerySet[Stage]:
    """Where sales can send a lead: the open stages before its own, and lost."""
    before = Stage.objects.filter(key=SALES).values("position")[:1]
    return Stage.objects.filter(Q(kind=Stage.Kind.OPEN, position__lt=before) | Q(kind=Stage.Kind.LOST))


def came_from(entry: Transition | None) -> Stage | None:
    """The stage a handed-over lead came from, if it can go back there."""
    stage = entry.from_stage if entry else None
    return stage if stage and stage.is_open and stage.key != SALES else None


@dataclass(frozen=True, slots=True)
class Offer:
    """What is asked of whoever sends a lead back. Each reason comes with the stage it leads to by itself, if it names one."""

    reasons: list[tuple[Reason, Stage | None]]
    stages: list[Stage]

    @classmethod
    def load(cls) -> "Offer":
        """Read them, in two queries."""
        stages = list(places())
        by_key = {stage.key: stage for stage in stages}
        reasons = Reason.objects.filter(asked_for=Reason.For.REJECT).order_by("pk")
        return cls([(reason, by_key.get(reason.recycle_to_id or "")) for reason in reasons], stages)

    @property
    def usual(self) -> Stage:
        """Where a lead goes about which nothing else is known."""
        return next((stage for stage in self.stages if stage.key == USUAL), self.stages[0])


def goes_back_to(task: Task | None, reason: Reason | None) -> Stage:
    """Where a rejected lead goes by itself: to its reason's stage, else where it came from, else to marketing."""
    offered = {stage.key: stage for stage in places()}
    wanted = offered.get(reason.recycle_to_id or "") if reason else None
    before = came_from(task.transition if task else None)
    return wanted or offered.get(before.key if before else "") or offered.get(USUAL) or next(iter(offered.values()))


class RejectForm(forms.Form):
    """Why sales sends a lead back, and where to. A reason is asked where sales has agreed on some; without a stage it goes as usual."""

    reason = forms.ModelChoiceField(
        Reason.objects.filter(asked_for=Reason.For.REJECT),
        to_field_name="key",
        required=False,
        error_messages={"invalid_choice": "This reason is no longer in use; choose another."},
    )
    stage = forms.ModelChoiceField(
        Stage.objects.none(),
        to_field_name="key",
        required=False,
        error_messages={"invalid_choice": "Sales sends leads back to an earlier stage, or to lost; choose one of those."},
    )
    note = forms.CharField(required=False, max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["stage"].queryset = places()  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Demand a reason if there are any."""
        data: dict[str, Any] = super().clean() or {}
        if not data.get("reason") and "reason" not in self.errors and Reason.objects.filter(asked_for=Reason.For.REJECT).exists():
            self.add_error("reason", "Choose why the lead goes back; it teaches the scoring.")
        return data

    @property
    def problem(self) -> str:
        """What is wrong, in one line."""
        return " ".join(str(error) for errors in self.errors.values() for error in errors)
