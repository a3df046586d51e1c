"""What is asked before a draft is published or discarded."""

from django import forms


class SeenForm(forms.Form):
    """Which draft somebody looked at."""

    seen = forms.CharField(max_length=16, widget=forms.HiddenInput)


class PublishForm(SeenForm):
    """Why, for those who read the list of versions; whether the past counts anew; and whether owners hear of what moves."""

    NOW, HISTORY = "now", "history"

    scope = forms.ChoiceField(choices=[(NOW, "From now on"), (HISTORY, "Re-score history")], initial=NOW, required=False)
    tell = forms.BooleanField(label="Tell owners about moves", required=False)
    restores = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)
    #: The scope for which somebody has confirmed that very many leads move.
    sure = forms.ChoiceField(choices=scope.choices, required=False, widget=forms.HiddenInput)
    note = forms.CharField(
        label="What changed, and why",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
        help_text="For the list of versions, for example: Pricing views count more.",
    )

    @property
    def chosen(self) -> str:
        """The scope as it stands in the form, sent or not."""
        return self.data.get("scope") or self.initial.get("scope") or self.NOW

    def clean_scope(self) -> str:
        """Whoever says nothing means from now on."""
        return self.cleaned_data["scope"] or self.NOW
