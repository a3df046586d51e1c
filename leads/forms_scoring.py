"""What people type about the parts of the scoring model, besides conditions."""

import re
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.utils.text import slugify

from leads.builder_rows import UNITS
from leads.conditions import Place
from leads.models import DerivedType, Exclusion, FitRule, Gate, IdleRule, ScoringLimits, ScoringRule, ScoringVersion, Stage
from leads.vocabulary import DURATION, event_key

KEY = re.compile(r"[a-z0-9][a-z0-9_-]*")
# Lines of the ledger name their rule by key alone, so these share one list of keys.
SHARED: dict[type[Any], str] = {ScoringRule: "rules", FitRule: "fit rules", IdleRule: "quiet rules"}
TEXT = {"class": "form-control", "autocomplete": "off"}
NUMBER = TEXT | {"inputmode": "numeric"}


class SpanWidget(forms.MultiWidget):
    """A number and a unit."""

    def __init__(self) -> None:
        units = forms.Select(attrs={"class": "form-select", "aria-label": "Unit"}, choices=list(UNITS.items()))
        super().__init__([forms.TextInput(attrs=NUMBER | {"size": 5}), units])

    def decompress(self, value: Any) -> list[str]:
        """`90d` as 90 and days."""
        match = DURATION.fullmatch(str(value or "").strip().lower())
        return [match[1], match[2]] if match else [str(value or ""), "d"]

    def id_for_label(self, id_: str) -> str:
        """The label names the number."""
        return f"{id_}_0"


class SpanField(forms.MultiValueField):
    """A duration, `90d`; empty: none."""

    widget = SpanWidget

    def __init__(self, **kwargs: Any) -> None:
        units = forms.ChoiceField(choices=list(UNITS.items()), required=False)
        super().__init__((forms.CharField(max_length=8, required=False), units), require_all_fields=False, **kwargs)

    def compress(self, data_list: list[str]) -> str:
        """A number and a unit as `90d`."""
        number = (data_list[0] if data_list else "").strip()
        if not number:
            return ""
        if not number.isascii() or not number.isdigit() or len(number) > 5 or not int(number):
            raise ValidationError("Write for how long, for example 30 days.")
        return f"{int(number)}{data_list[1] or 'd'}"


class PartForm(forms.ModelForm):  # type: ignore[type-arg]
    """A part of the model. `place`: where its conditions stand, None when it has none; `column`: what holds them."""

    place: ClassVar[Place | None] = None
    column: ClassVar[str] = "when"
    # The form's field that a word of the document is about, where they differ.
    fields_of: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, each in self.fields.items():
            if isinstance(each, forms.IntegerField):
                each.widget = forms.TextInput(attrs=dict(NUMBER))
                each.error_messages["invalid"] = "Write a whole number, for example 10 or -5."
            elif isinstance(each.widget, forms.Select):
                each.widget.attrs["class"] = "form-select"
            elif isinstance(each.widget, forms.TextInput):
                each.widget.attrs |= TEXT
            each.label_suffix = ""
            if name in ("event", "source_type", "derived_type"):
                each.widget.attrs |= {"list": "event-types", "spellcheck": "false", "autocapitalize": "characters"}

    def follow(self, address: str) -> None:
        """Let the builder offer what belongs to the event type as soon as that changes."""
        for name in ("event", "source_type"):
            if name in self.fields:
                htmx = {"hx-post": address, "hx-trigger": "change", "hx-target": "#builder", "hx-swap": "outerHTML"}
                self.fields[name].widget.attrs |= htmx

    def field_of(self, word: str) -> str | None:
        """The field that stands for a word of the document; "conditions" for the builder, None for the whole."""
        name = self.fields_of.get(word, word.replace(" ", "_"))
        return "conditions" if name == self.column else name if name in self.fields else None


class KeyedForm(PartForm):
    """A part with a name and a key: the key follows the name until it is published, then it stays."""

    key = forms.CharField(max_length=80, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        key = self.fields["key"]
        key.widget.attrs |= {"spellcheck": "false", "autocapitalize": "none"}
        if version := published_in(type(self.instance), self.instance.key):
            key.disabled = True
            key.help_text = f"Stays as it is: version {version} is published with it."
        else:
            key.widget.attrs["data-follows"] = "id_name"
            key.help_text = "Made of the name. It stays once it is published."
        self.fields["name"].help_text = ""

    def clean_key(self) -> str:
        """The key, made of the name when it is empty."""
        key = self.cleaned_data.get("key") or slugify(self.cleaned_data.get("name") or self.data.get("event", "").replace("_", "-"))[:80]
        if not key:
            raise ValidationError("Write a name, or a key of your own.")
        if not KEY.fullmatch(key) or key == "new":
            raise ValidationError("Use lower case letters, digits, - and _, beginning with a letter or digit, for example viewed-pricing.")
        self.refuse_taken(key)
        return str(key)

    def refuse_taken(self, key: str) -> None:
        """Raise ValidationError when another rule has the key."""
        mine: type[Any] = type(self.instance)
        for model in SHARED if mine in SHARED else (mine,):
            others = model._default_manager.filter(key=key)
            if others.exclude(pk=self.instance.pk).exists() if model is mine else others.exists():
                where = SHARED.get(model, "gates")
                raise ValidationError(f"{key} is the key of one of the {where} already; choose another.")

    def validate_unique(self) -> None:
        """Keys are looked at above, with a better sentence."""


def published_in(model: type[Any], key: str) -> int | None:
    """The number of the live version, if it has a part of this kind with the key."""
    live = ScoringVersion.live() if key else None
    part = {ScoringRule: "rules", FitRule: "fit", IdleRule: "idle"}.get(model)
    if live is None:
        return None
    entries = live.document.get("scoring", {}).get(part, []) if part else live.document.get("gates", [])
    return live.number if any(entry["key"] == key for entry in entries) else None


class RuleForm(KeyedForm):
    """What one kind of event is worth."""

    place = Place.RULE
    fields_of: ClassVar[dict[str, str]] = {"limit": "limit_times"}

    event = forms.CharField(max_length=100, label="When somebody does", error_messages={"required": "Write which event it is about."})
    expires_after = SpanField(required=False, label="Take the points back after", help_text="Empty: they stay.")

    class Meta:
        model = ScoringRule
        fields = ("name", "key", "event", "points", "reset", "limit_times", "limit_per", "limit_days", "expires_after")
        labels: ClassVar = {
            "points": "Points",
            "reset": "Or set back",
            "limit_times": "At most, times",
            "limit_per": "In each",
            "limit_days": "Or within days",
        }
        help_texts: ClassVar = {
            "points": "Positive or negative, for example 10 or -15.",
            "reset": "Instead of points: back to nothing, or to the floor.",
            "limit_times": "Empty: as often as it happens.",
            "limit_per": "",
            "limit_days": "",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, nothing in (("reset", "nothing"), ("limit_per", "no period")):
            self.fields[name].widget.choices = [("", nothing), *(pair for pair in self.fields[name].widget.choices if pair[0])]
        for name in ("limit_times", "limit_days"):
            self.fields[name].validators.append(MinValueValidator(1, "Write 1 or more, or leave it empty."))

    def clean_event(self) -> str:
        """The type in its one form."""
        return read_type(self.cleaned_data["event"])

    def clean(self) -> dict[str, Any]:
        """Points or a reset; a limit is a number and a period."""
        data: dict[str, Any] = super().clean() or {}
        if not data.get("reset") and data.get("points") is None and "points" not in self.errors:
            self.add_error("points", "Write how many points it gives or takes, or choose what it sets back.")
        if data.get("reset") and data.get("points") is not None:
            self.add_error("reset", "A rule either gives points or sets back; leave one of them empty.")
        if not self.errors.keys() & {"limit_times", "limit_per", "limit_days"}:
            periods = [data[name] for name in ("limit_per", "limit_days") if data[name]]
            if periods and data["limit_times"] is None:
                self.add_error("limit_times", "Write how often at most, or leave the period empty.")
            elif data["limit_times"] and len(periods) != 1:
                self.add_error("limit_per", "Choose a period, or write within how many days: one of the two.")
        return data


class FitForm(KeyedForm):
    """What it is worth who somebody is."""

    place = Place.FIT

    class Meta:
        model = FitRule
        fields = ("name", "key", "points")
        help_texts: ClassVar = {"points": "As long as the conditions hold, for example 15 or -10."}


class IdleForm(KeyedForm):
    """What it is worth when somebody does nothing."""

    after = SpanField(label="After nothing was done for", error_messages={"required": "Write for how long, for example 30 days."})
    every = SpanField(required=False, label="And again after every further", help_text="Empty: once.")

    class Meta:
        model = IdleRule
        fields = ("name", "key", "points", "after", "every")
        help_texts: ClassVar = {"points": "Usually negative, for example -10."}


class LimitsForm(PartForm):
    """How far points go."""

    class Meta:
        model = ScoringLimits
        fields = ("fit_max", "fit_min", "engagement_max", "stop_above", "floor")
        labels: ClassVar = {
            "fit_max": "Fit counts at most",
            "fit_min": "Fit never falls below",
            "engagement_max": "Engagement counts at most",
            "stop_above": "Nothing is added above",
            "floor": "Engagement never falls below",
        }
        help_texts: ClassVar = {"stop_above": "Engagement points; the event that crosses it counts whole.", "floor": ""}


class ExcludeForm(PartForm):
    """For whom nothing counts."""

    place = Place.EXCLUDE
    column = "conditions"

    class Meta:
        model = Exclusion
        fields = ()

    def field_of(self, word: str) -> str | None:
        """There is nothing but conditions."""
        return "conditions"


class DeriveForm(PartForm):
    """A second type for some events."""

    place = Place.EVENT
    fields_of: ClassVar[dict[str, str]] = {"from": "source_type", "as": "derived_type"}

    class Meta:
        model = DerivedType
        fields = ("source_type", "derived_type")
        labels: ClassVar = {"source_type": "Events of the type", "derived_type": "Also count as"}
        help_texts: ClassVar = {"source_type": "", "derived_type": "A name of your own, for example VIEWED_PRICING."}
        error_messages: ClassVar = {
            "source_type": {"required": "Write which event it is about."},
            "derived_type": {"required": "Write what it counts as too."},
        }

    def clean_source_type(self) -> str:
        """The type in its one form."""
        return read_type(self.cleaned_data["source_type"])

    def clean_derived_type(self) -> str:
        """The type in its one form."""
        return read_type(self.cleaned_data["derived_type"])


class GateForm(KeyedForm):
    """When a lead moves from one stage to another."""

    place = Place.GATE
    column = "conditions"
    fields_of: ClassVar[dict[str, str]] = {"from": "from_stages", "": "conditions"}

    from_stages = forms.ModelMultipleChoiceField(
        Stage.objects.all(),
        label="From",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one stage it leads out of."},
    )
    to = forms.ModelChoiceField(
        Stage.objects.all(), to_field_name="key", label="To", empty_label=None, error_messages={"required": "Choose the stage it leads to."}
    )

    class Meta:
        model = Gate
        fields = ("name", "key", "from_stages", "to")


def read_type(text: str) -> str:
    """An event type in its one form. Raises ValidationError."""
    if not (name := event_key(text)):
        raise ValidationError(f"“{text[:40]}” is no event type; write for example VIEWED_PRICING.")
    return name


FORMS: dict[str, type[PartForm]] = {
    "rules": RuleForm,
    "fit": FitForm,
    "idle": IdleForm,
    "limits": LimitsForm,
    "exclude": ExcludeForm,
    "derive": DeriveForm,
    "gates": GateForm,
}
