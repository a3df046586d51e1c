"""What people type about leads, and what it must be like."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from leads.models import Lead, Reason, Stage, User


class BoardFilter(forms.Form):
    """The board's filters; they live in the address. Anything unreadable is ignored."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    owner = forms.CharField(required=False, max_length=20)

    def words(self) -> list[str]:
        """What is searched for, word by word, lower case."""
        return str(self.cleaned_data.get("q", "")).lower().split() if self.is_valid() else []

    def owner_id(self, user: User) -> int | None:
        """The chosen owner's id: `me` is `user`, `nobody` is 0, everybody is None."""
        chosen = str(self.cleaned_data.get("owner", "")) if self.is_valid() else ""
        if chosen == "me":
            return user.pk
        if chosen == "nobody":
            return 0
        return int(chosen) if chosen.isascii() and chosen.isdigit() else None


class ReasonField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A coded reason, shown with what it is a reason for."""

    def label_from_instance(self, obj: Reason) -> str:
        """For example "Lost: No budget this year"."""
        return f"{obj.get_asked_for_display()}: {obj.name}"


class MoveForm(forms.Form):
    """A move by hand. A reason is asked only where one of that kind exists: for lost, and for leaving won or lost."""

    stage = forms.ModelChoiceField(Stage.objects.all(), to_field_name="key", label="Move to", empty_label=None)
    reason = ReasonField(
        Reason.objects.exclude(asked_for=Reason.For.REJECT).order_by("asked_for", "name"),
        to_field_name="key",
        required=False,
        empty_label="None",
    )
    note = forms.CharField(required=False, max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def __init__(self, *args: Any, lead: Lead, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lead = lead
        self.fields["stage"].queryset = Stage.objects.exclude(key=lead.stage_id)  # type: ignore[attr-defined]
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-control form-control-sm" if name == "note" else "form-select form-select-sm"

    def clean(self) -> dict[str, Any]:
        """Ask for a reason where sales has agreed on some."""
        data: dict[str, Any] = super().clean() or {}
        asked = self.reason_asked_for(data.get("stage"))
        if asked and not data.get("reason") and Reason.objects.filter(asked_for=asked).exists():
            raise ValidationError({"reason": f"Choose a reason for the move to {data['stage']}; it teaches the scoring."})
        return data

    def reason_asked_for(self, stage: Stage | None) -> str:
        """Which kind of reason the move needs; "" for none."""
        if stage is None:
            return ""
        if stage.kind == Stage.Kind.LOST:
            return Reason.For.LOST
        return "" if self.lead.stage.is_open else Reason.For.REOPEN
