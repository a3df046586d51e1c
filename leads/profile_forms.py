"""What colleagues say about themselves."""

import zoneinfo
from functools import cache
from typing import Any

from django import forms
from django.contrib.auth.forms import PasswordChangeForm

from leads.models import User
from leads.workspace_zone import workspace_zone


@cache
def zone_names() -> list[str]:
    """The zones people live in, by name: Africa/Abidjan … Pacific/Wallis, UTC."""
    abbreviations = ("Etc/", "SystemV/", "US/", "posix/", "right/")
    return [name for name in sorted(zoneinfo.available_timezones()) if "/" in name and not name.startswith(abbreviations)] + ["UTC"]


def dress(form: forms.BaseForm) -> None:
    """Give the controls their looks; tie each to its help and its errors for screen readers."""
    for name, field in form.fields.items():
        attributes = field.widget.attrs
        if not isinstance(field.widget, forms.RadioSelect):
            attributes["class"] = "form-select" if isinstance(field.widget, forms.Select) else "form-control"
        if form.is_bound and form.errors.get(name):
            attributes["class"] = f"{attributes.get('class', '')} is-invalid".strip()


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name, zone, theme and absence."""

    timezone = forms.ChoiceField(required=False, label="Time zone", help_text="Times on all pages are shown in it.")

    class Meta:
        model = User
        fields = ("first_name", "last_name", "timezone", "away_until", "theme")
        widgets = {
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
            "away_until": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
            "theme": forms.RadioSelect,
        }
        help_texts = {"away_until": "You get no new leads up to and including this day. Empty: you are here."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = zone_names()
        if self.instance.timezone and self.instance.timezone not in names:
            names = [self.instance.timezone, *names]
        zone = self.fields["timezone"]
        assert isinstance(zone, forms.ChoiceField)  # noqa: S101  declared above
        zone.choices = [("", f"The workspace's ({workspace_zone()})"), *((name, name.replace("_", " ")) for name in names)]
        dress(self)


class PasswordForm(PasswordChangeForm):
    """The old password and, twice, the new one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["old_password"].widget.attrs.pop("autofocus", None)
        self.fields["old_password"].label = "Password now"
        self.fields["new_password2"].label = "New password again"
        self.fields["new_password2"].help_text = ""
        self.fields["new_password1"].help_text = "At least 12 characters; not your name, and not a password everybody knows."
        dress(self)


class ThemeForm(forms.Form):
    """One choice of the theme."""

    theme = forms.ChoiceField(choices=User.Theme.choices)
