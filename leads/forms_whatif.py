"""What people say to start a what-if: over how many days."""

from typing import Any

from django import forms

from leads.whatif import LONGEST

CHOICES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("other", "Other")]


class WhatIfForm(forms.Form):
    """Some days, or a number of one's own."""

    over = forms.ChoiceField(label="Over the last", choices=CHOICES, initial="30", widget=forms.RadioSelect)
    days = forms.IntegerField(
        label="Other number of days",
        min_value=1,
        max_value=LONGEST,
        required=False,
        widget=forms.NumberInput(attrs={"class": "form-control", "inputmode": "numeric"}),
    )

    def clean(self) -> dict[str, Any]:
        """A number of one's own is needed only where nothing else is chosen."""
        cleaned = super().clean() or {}
        if cleaned.get("over") == "other" and cleaned.get("days") is None and "days" not in self.errors:
            self.add_error("days", f"Write a number from 1 to {LONGEST}, or choose one of the others.")
        return cleaned

    @property
    def chosen(self) -> int:
        """How many days were chosen."""
        over = self.cleaned_data["over"]
        return int(self.cleaned_data["days"] if over == "other" else over)
