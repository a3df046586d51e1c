"""What people type about sources: names, scopes, origins, trusted types."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError

from leads.models import Source
from leads.models.sources import TRUSTED_PREFIXES
from leads.vocabulary import event_key, is_reserved

MAX_LINES = 50
SCOPES = {
    Source.Scope.SERVER: ("Server", "Your backend posts events with it. Keep it secret: it may send everything, payments and consent too."),
    Source.Scope.BROWSER: (
        "Browser",
        "A website or an app posts events with it. Anybody can read it there, so it can't send payments, contracts or consent.",
    ),
    Source.Scope.READ: ("Read", "Another program asks for leads and their scores with it. It posts nothing."),
}


class Lines(forms.CharField):
    """Several values, one on each line."""

    def __init__(self, **kwargs: Any) -> None:
        rows = forms.Textarea(attrs={"rows": 3, "class": "form-control", "spellcheck": "false", "autocapitalize": "off"})
        super().__init__(required=False, widget=rows, max_length=8000, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """A list as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        """The lines that say something, each once."""
        lines = list(dict.fromkeys(line.strip() for line in str(super().clean(value)).splitlines() if line.strip()))
        if len(lines) > MAX_LINES:
            raise ValidationError(f"At most {MAX_LINES} lines.")
        return lines


class SourceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A source's name, and for a browser key what it may do. The scope is chosen once, with the key."""

    allowed_origins = Lines(
        label="Allowed origins",
        help_text="One on each line, for example https://www.example.com. Empty: any site may post.",
    )
    allowed_types = Lines(
        label="Trusted types it may send all the same",
        help_text="One on each line, for example PAYMENT_SUCCEEDED. Whoever reads the key can send them, so rather leave it empty.",
    )

    class Meta:
        model = Source
        fields: ClassVar[tuple[str, ...]] = ("name", "allowed_origins", "allowed_types")
        widgets = {"name": forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"})}
        help_texts = {"name": ""}
        error_messages = {"name": {"unique": "There is a source with this name already; choose another."}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.instance.scope != Source.Scope.BROWSER:
            del self.fields["allowed_origins"], self.fields["allowed_types"]

    def clean_allowed_origins(self) -> list[str]:
        """Origins as browsers send them: scheme and host, lower case, no path."""
        return [read_origin(line) for line in self.cleaned_data["allowed_origins"]]

    def clean_allowed_types(self) -> list[str]:
        """Keys of trusted types; any other may be sent without being named here."""
        return [read_trusted(line) for line in self.cleaned_data["allowed_types"]]


class NewSourceForm(SourceForm):
    """A source to be made."""

    scope = forms.ChoiceField(
        choices=[(scope.value, name) for scope, (name, _) in SCOPES.items()],
        widget=forms.RadioSelect,
        initial=Source.Scope.SERVER,
        label="What uses the key?",
    )

    class Meta(SourceForm.Meta):
        fields: ClassVar[tuple[str, ...]] = ("name", "scope", "allowed_origins", "allowed_types")

    def clean(self) -> dict[str, Any]:
        """Origins and trusted types are for browser keys only."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("scope") != Source.Scope.BROWSER:
            data["allowed_origins"], data["allowed_types"] = [], []
        return data

    def create(self) -> tuple[Source, str]:
        """Make the source; returns it and its key."""
        source, key = Source.create_with_key(self.cleaned_data["name"], self.cleaned_data["scope"])
        source.allowed_origins, source.allowed_types = self.cleaned_data["allowed_origins"], self.cleaned_data["allowed_types"]
        source.save(update_fields=["allowed_origins", "allowed_types"])
        return source, key


def read_origin(text: str) -> str:
    """An origin. Raises ValidationError with the cure."""
    if text == "*":
        return text
    try:
        parts = urlsplit(text.lower())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValidationError(f"{text[:100]} is no origin; write for example https://www.example.com.")
    if parts.path not in {"", "/"}:
        raise ValidationError(f"Leave the path away: {parts.scheme}://{parts.netloc}")
    if port == {"http": ":80", "https": ":443"}[parts.scheme]:
        port = ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}"


def read_trusted(text: str) -> str:
    """The key of a trusted type. Raises ValidationError with the cure."""
    key = event_key(text)
    if is_reserved(key):
        raise ValidationError(f"{key} is recorded by Leadstate itself; no key may send it.")
    if not key.startswith(TRUSTED_PREFIXES):
        raise ValidationError(f"{text[:100]} needs no permission: only {', '.join(f'{prefix}…' for prefix in TRUSTED_PREFIXES)} do.")
    return key
