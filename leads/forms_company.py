"""What people type on the pages of companies: filters in the address, the owner, the value."""

from typing import Any

from django import forms

from leads.models import Company, User


class CompanyFilter(forms.Form):
    """Filters, order and place of the list; they live in the address. Anything unreadable is ignored."""

    q = forms.CharField(required=False, max_length=100, strip=True)
    owner = forms.CharField(required=False, max_length=20)
    sort = forms.ChoiceField(required=False, choices=[("heat", "Heat"), ("name", "Name")])
    after = forms.RegexField(r"^-?\d{1,15}(\.\d{1,15})?$", required=False)

    def chosen(self, name: str) -> str:
        """What was readable of one field."""
        self.is_valid()
        return str(self.cleaned_data.get(name, "") or "")

    def owner_id(self, user: User) -> int | None:
        """The chosen owner's id: `me` is `user`, `nobody` is 0, everybody is None."""
        owner = self.chosen("owner")
        if owner == "me":
            return user.pk
        if owner == "nobody":
            return 0
        return int(owner) if owner.isascii() and owner.isdecimal() else None


class OwnerForm(forms.Form):
    """Who owns a company, and whether its leads go along."""

    owner = forms.ModelChoiceField(
        User.objects.none(),
        required=False,
        empty_label="Nobody",
        error_messages={"invalid_choice": "Choose somebody of the group Sales."},
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    with_leads = forms.BooleanField(required=False, widget=forms.CheckboxInput(attrs={"class": "form-check-input"}))

    def __init__(self, *args: Any, company: Company, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"owner": company.owner_id, "with_leads": True})
        super().__init__(*args, **kwargs)
        # Whoever owns it now stays in the list, also when they left sales.
        everybody = User.objects.reps() | User.objects.filter(pk=company.owner_id)
        self.fields["owner"].queryset = everybody.distinct().order_by("first_name", "username")  # type: ignore[attr-defined]


class ValueForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a contract would be worth a year."""

    class Meta:
        model = Company
        fields = ["value", "currency"]
        labels = {"value": "Value a year"}
        help_texts = {"value": "", "currency": ""}
        widgets = {
            "value": forms.NumberInput(attrs={"class": "form-control", "min": "0", "step": "0.01", "inputmode": "decimal"}),
            "currency": forms.TextInput(attrs={"class": "form-control", "maxlength": "3", "autocomplete": "off"}),
        }

    def clean_currency(self) -> str:
        """Three letters, always written large."""
        currency = str(self.cleaned_data["currency"]).upper()
        if currency and not (len(currency) == 3 and currency.isascii() and currency.isalpha()):
            raise forms.ValidationError("Three letters, for example EUR or USD.")
        return currency

    def clean_value(self) -> Any:
        """Nothing is worth less than nothing."""
        value = self.cleaned_data["value"]
        if value is not None and value < 0:
            raise forms.ValidationError("Write an amount of 0 or more.")
        return value

    def clean(self) -> dict[str, Any]:
        """An amount is of something."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("value") is not None and not data.get("currency") and "currency" not in self.errors:
            self.add_error("currency", "Say in which currency, for example EUR.")
        return data
