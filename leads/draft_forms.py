"""What is asked before a draft is published or discarded."""

from django import forms


class SeenForm(forms.Form):
    """Which draft somebody looked at."""

    seen = forms.CharField(max_length=16, widget=forms.HiddenInput)


class PublishForm(SeenForm):
    """A note for those who read the list of versions."""

    note = forms.CharField(
        label="What changed, and why",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text="For the list of versions, for example: Pricing views count more.",
    )
