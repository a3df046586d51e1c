"""What people type on a lead's page: one fact at a time, notes and calls, tasks, consent; and a new lead."""

import json
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from math import isfinite
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from leads.course import DEFAULT, REACHES
from leads.editing import TRAITS
from leads.fold_writes import TRAIT_COLUMNS
from leads.messages import Refused, checked_email
from leads.models import Activity, Company, Consent, Identity, Lead, Topic, User
from leads.vocabulary import event_key, parse_duration
from leads.zones import validate_timezone

# The facts of a lead in the order of the page, each with its label and help.
FACTS = {
    "owner": ("Owner", ""),
    "name": ("Name", ""),
    "email": ("Email", "An address is never forgotten: a new one is added, and mails go there."),
    "phone": ("Phone", ""),
    "title": ("Title", ""),
    "company": ("Company", "Name or domain. A name nobody has yet makes a new company."),
    "value": ("Value a year", ""),
    "timezone": ("Time zone", "For example Europe/Berlin. Mails go out in its office hours."),
}
TALK = forms.Select(choices=[(Activity.Kind.CALL, "Call"), (Activity.Kind.MEETING, "Meeting")])


def styled(form: forms.Form) -> None:
    """Give the fields Bootstrap's classes."""
    for bound in form:
        widget = bound.field.widget
        if isinstance(widget, forms.RadioSelect | forms.CheckboxInput):
            continue
        widget.attrs.setdefault("class", "form-select" if isinstance(widget, forms.Select) else "form-control")


def nobodys(email: str, *, but: Lead | None = None) -> str:
    """The address in the form we compare, when no other lead has it. Raises ValidationError, with the way to who has it."""
    try:
        address = checked_email(email)
    except Refused as error:
        raise ValidationError("This is not a mail address; write one like ada@example.com.") from error
    owner = Identity.objects.filter(kind=Identity.Kind.EMAIL, value=address).select_related("lead").first()
    if owner and (but is None or owner.lead_id != but.pk):
        raise ValidationError(taken_by(owner.lead))
    return address


def taken_by(lead: Lead) -> SafeString:
    """The sentence that leads to the lead who has the address."""
    return format_html('This is the address of <a href="{}">{}</a>. Edit that lead instead.', lead.get_absolute_url(), lead)


class FactForm(forms.Form):
    """One fact of a lead, edited in place."""

    def __init__(self, *args: Any, lead: Lead, fact: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lead, self.fact = lead, fact
        label, help_text = FACTS[fact]
        build = getattr(self, f"build_{fact}", self.build_text)
        self.fields[fact] = build(label)
        self.fields[fact].help_text = help_text or self.fields[fact].help_text
        if fact == "value":
            self.fields["currency"] = self.build_currency()
        styled(self)
        self.fields[fact].widget.attrs |= {"autofocus": True, "autocomplete": "off"}

    def build_text(self, label: str) -> forms.Field:
        """A column of text, as long as the column is."""
        longest = TRAIT_COLUMNS[self.fact]
        return forms.CharField(label=label, required=False, max_length=longest, initial=getattr(self.lead, self.fact))

    def build_email(self, label: str) -> forms.Field:
        """An address; once there is one it can be changed, not removed."""
        field = forms.CharField(label=label, max_length=254, initial=self.lead.email)
        field.widget.attrs["inputmode"] = "email"
        field.error_messages["required"] = "A lead keeps its address; write the right one, or forget the person."
        return field

    def build_timezone(self, label: str) -> forms.Field:
        """A zone by name."""
        return forms.CharField(label=label, required=False, max_length=64, initial=self.lead.timezone, validators=[validate_timezone])

    def build_company(self, label: str) -> forms.Field:
        """A company by name or domain."""
        options = {"list": "company-options", "hx-get": reverse("leads:company_options")}
        options |= {"hx-trigger": "input changed delay:200ms", "hx-target": "#company-options", "hx-swap": "innerHTML"}
        return forms.CharField(
            label=label, required=False, max_length=200, initial=str(self.lead.company or ""), widget=forms.TextInput(options)
        )

    def build_value(self, label: str) -> forms.Field:
        """An amount, of the company where there is one."""
        holder = self.lead.company or self.lead
        words = f"Of {self.lead.company} as a whole." if self.lead.company else ""
        return forms.DecimalField(
            label=label, required=False, min_value=0, max_digits=12, decimal_places=2, initial=holder.value, help_text=words
        )

    def build_currency(self) -> forms.Field:
        """Three letters."""
        holder = self.lead.company or self.lead
        field = forms.RegexField(r"(?i)^[a-z]{3}$", label="Currency", required=False, max_length=3, initial=holder.currency or "EUR")
        field.error_messages["invalid"] = "Three letters, for example EUR or USD."
        return field

    def build_owner(self, label: str) -> forms.Field:
        """A rep, or nobody."""
        reps = User.objects.reps().order_by("first_name", "username")
        chosen = forms.ModelChoiceField(reps, label=label, required=False, empty_label="Nobody", initial=self.lead.owner_id)
        chosen.error_messages["invalid_choice"] = "Choose somebody of the group Sales."
        return chosen

    def clean_email(self) -> str:
        """An address nobody else has."""
        return nobodys(self.cleaned_data["email"], but=self.lead)

    def clean_company(self) -> Company | None:
        """The company of that domain or name; a new one when there is none."""
        said = self.cleaned_data["company"]
        return find_company(said) if said else None

    def clean_currency(self) -> str:
        """Always written large."""
        return str(self.cleaned_data["currency"]).upper()

    def clean(self) -> dict[str, Any]:
        """An amount is of something."""
        data: dict[str, Any] = super().clean() or {}
        if data.get("value") is not None and not data.get("currency") and "currency" not in self.errors:
            self.add_error("currency", "Say in which currency, for example EUR.")
        return data


def find_company(said: str) -> Company:
    """The company of a domain or a name, not saved when it is new."""
    company = Company.objects.filter(domain__iexact=said).first() or Company.objects.filter(name__iexact=said).order_by("pk").first()
    return company or Company(name=said)


class NoteForm(forms.Form):
    """A note."""

    text = forms.CharField(
        label="Note", max_length=10_000, widget=forms.Textarea(attrs={"rows": 3, "placeholder": "What is worth knowing about them?"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("prefix", "note")
        super().__init__(*args, **kwargs)
        styled(self)


class TalkForm(forms.Form):
    """A call or a meeting that took place."""

    kind = forms.ChoiceField(label="What", choices=TALK.choices, widget=TALK)
    outcome = forms.ChoiceField(label="Outcome", required=False, choices=Activity.Outcome.choices)
    at = forms.DateTimeField(
        label="When",
        required=False,
        help_text="Empty: just now.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    text = forms.CharField(label="What was said", required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("prefix", "talk")
        super().__init__(*args, **kwargs)
        styled(self)

    def clean_at(self) -> Any:
        """Not in the future: that would be a task."""
        at = self.cleaned_data["at"]
        if at and at > timezone.now():
            raise ValidationError("This is in the future. Plan it as a task instead.")
        return at


class TaskForm(forms.Form):
    """Something to do about a lead."""

    title = forms.CharField(label="What is to be done", max_length=200)
    due_at = forms.DateTimeField(
        label="Due", required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )
    owner = forms.ModelChoiceField(User.objects.none(), label="Who")

    def __init__(self, *args: Any, by_user: User, **kwargs: Any) -> None:
        kwargs.setdefault("prefix", "task")
        super().__init__(*args, **kwargs)
        everybody = User.objects.reps() | User.objects.filter(pk=by_user.pk)
        owner: Any = self.fields["owner"]
        owner.queryset = everybody.distinct().order_by("first_name", "username")
        owner.initial, owner.empty_label = by_user.pk, None
        styled(self)


class ConsentForm(forms.Form):
    """What somebody told a colleague about one topic, and what shows it."""

    topic = forms.ModelChoiceField(Topic.objects.order_by("name"), to_field_name="key", required=False, empty_label="All marketing")
    status = forms.ChoiceField(label="They said", choices=[(Consent.Status.GRANTED, "Yes"), (Consent.Status.DENIED, "No")])
    proof = forms.CharField(
        label="Proof",
        max_length=2000,
        help_text="What shows it: when and how they said it, a link to the form, an id.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("prefix", "consent")
        super().__init__(*args, **kwargs)
        styled(self)

    def offer(self, topics: Iterable[Topic]) -> None:
        """Show these topics, which were read before, instead of reading them again."""
        field: Any = self.fields["topic"]
        field.choices = [("", field.empty_label), *((topic.key, topic.name) for topic in topics)]

    def clean(self) -> dict[str, Any]:
        """Yes is said to a topic; only a no can be to everything."""
        data: dict[str, Any] = super().clean() or {}
        if "topic" not in self.errors and not data.get("topic") and data.get("status") == Consent.Status.GRANTED:
            self.add_error("topic", "Choose the topic they said yes to; nobody says yes to everything.")
        return data


class ScoreForm(forms.Form):
    """What to see of a score: as of which day, and how far back the curve goes."""

    as_of = forms.DateField(label="As of", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    reach = forms.ChoiceField(required=False, choices=[(key, reach.label) for key, reach in REACHES.items()], widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["as_of"].widget.attrs["max"] = timezone.localdate().isoformat()
        styled(self)

    def clean_as_of(self) -> date | None:
        """A day that has begun; today is simply now."""
        day: date | None = self.cleaned_data["as_of"]
        if day and day > timezone.localdate():
            raise ValidationError("This day is still to come; choose one that has passed.")
        return None if day == timezone.localdate() else day

    def clean_reach(self) -> str:
        """The usual one when none was asked for."""
        return self.cleaned_data["reach"] or DEFAULT

    def moment(self) -> datetime | None:
        """The last moment of the day asked for; None: now."""
        day: date | None = self.cleaned_data.get("as_of") if self.is_valid() else None
        return None if day is None else timezone.make_aware(datetime.combine(day, time.max))

    def shown_reach(self) -> str:
        """How far back to draw, whatever was asked for."""
        return self.cleaned_data.get("reach", DEFAULT) if self.is_bound and not self.errors.get("reach") else DEFAULT


class DeedForm(forms.Form):
    """What a lead might do now."""

    type = forms.CharField(label="They do", max_length=100)
    times = forms.IntegerField(label="How often", min_value=1, max_value=20, initial=1, required=False)
    apart = forms.ChoiceField(
        label="Apart", required=False, choices=[("0s", "all at once"), ("1h", "an hour apart"), ("1d", "a day apart")]
    )
    properties = forms.CharField(
        required=False,
        max_length=4000,
        help_text="One a line, name=value.",
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "path=/pricing"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", "id_deed_%s")
        super().__init__(*args, **kwargs)
        self.fields["type"].widget.attrs |= {"list": "deed-types", "autocomplete": "off", "placeholder": "VIEWED_PRICING", "data-key": "s"}
        self.fields["type"].widget.attrs["aria-keyshortcuts"] = "s"
        styled(self)

    def clean_type(self) -> str:
        """The key of the type, however it was written."""
        key = event_key(self.cleaned_data["type"])
        if not key:
            raise ValidationError("Write what they do in letters, for example VIEWED_PRICING.")
        return key

    def clean_times(self) -> int:
        """Once when nothing was said."""
        return self.cleaned_data["times"] or 1

    def clean_apart(self) -> timedelta:
        """How long between one and the next."""
        return parse_duration(self.cleaned_data["apart"] or "0s")

    def clean_properties(self) -> dict[str, Any]:
        """name=value, a line each; numbers and true or false are what they look like."""
        found: dict[str, Any] = {}
        for n, line in enumerate(self.cleaned_data["properties"].splitlines(), start=1):
            name, is_pair, value = line.partition("=")
            if line.strip() and not (is_pair and name.strip()):
                raise ValidationError(f"Line {n} is no property; write it like path=/pricing.")
            if line.strip():
                found[name.strip()] = plain_value(value.strip())
        return found


def plain_value(text: str) -> object:
    """A typed value as JSON would have it: 5, 2.5, true, or the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)) else text


class QuietForm(forms.Form):
    """For how long a lead might do nothing."""

    days = forms.IntegerField(label="Or nothing for so many days", min_value=1, max_value=1000, initial=30)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", "id_quiet_%s")
        super().__init__(*args, **kwargs)
        styled(self)


class LeadForm(forms.Form):
    """A new lead, entered by hand."""

    email = forms.CharField(max_length=254, widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "off"}))
    name = forms.CharField(max_length=200, required=False)
    phone = forms.CharField(max_length=50, required=False)
    title = forms.CharField(max_length=200, required=False, help_text="For example CTO.")
    company = forms.CharField(max_length=200, required=False, help_text="Empty: told by the mail address, where it can be.")
    timezone = forms.CharField(
        label="Time zone", max_length=64, required=False, validators=[validate_timezone], help_text="For example Europe/Berlin."
    )
    is_mine = forms.BooleanField(label="Mine: I am the owner", required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        styled(self)
        self.fields["is_mine"].widget.attrs["class"] = "form-check-input"

    def clean_email(self) -> str:
        """An address nobody has yet."""
        return nobodys(self.cleaned_data["email"])

    def traits(self) -> dict[str, Any]:
        """What was said about the person, as a message tells it."""
        said = {name: self.cleaned_data[name] for name in TRAITS if name != "email" and self.cleaned_data.get(name)}
        company = self.cleaned_data["company"]
        return said | ({"company": {"name": company}} if company else {})
