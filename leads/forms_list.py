"""What people choose on the leads list, and what they say about a CSV file."""

import operator
from datetime import date
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from leads.csv_import import mapping_problem, samples
from leads.csv_reading import DELIMITERS, ENCODINGS, File, Unreadable, open_file, refuse_large
from leads.csv_rows import FIELDS, RESERVED_TRAITS
from leads.forms import read_uid
from leads.models import CsvImport, Lead, Topic, User
from leads.models.people import LeadQuerySet

# As many as one page can show, and some.
MOST = 200


class ChosenLeads(forms.Form):
    """The rows somebody has ticked, as `uid` or `uid.seq`; and the list they came from."""

    view = forms.CharField(required=False, max_length=1000, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        # A row's own button names that row alone, whatever else is ticked.
        names = data.getlist("take")[:1] or data.getlist("lead")[:MOST]
        self.uids: list[UUID] = [uid for name in names if (uid := read_uid(name.partition(".")[0]))]

    def leads(self) -> LeadQuerySet:
        """The ticked leads that still are."""
        return Lead.objects.current().filter(uid__in=self.uids).order_by("pk")

    def clean(self) -> dict[str, Any]:
        """Somebody must be ticked."""
        data: dict[str, Any] = super().clean() or {}
        if not self.uids:
            raise ValidationError("Tick at least one lead first.")
        return data


class GiveForm(ChosenLeads):
    """Hands the ticked leads to a colleague, to oneself or to nobody."""

    owner = forms.CharField(required=False, max_length=10)

    def __init__(self, data: QueryDict, *, by_user: User, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.by_user = by_user

    def clean_owner(self) -> User | None:
        """Who it is; None for nobody."""
        chosen = "me" if "take" in self.data else str(self.cleaned_data["owner"])
        if not chosen:
            raise ValidationError("Choose who is to own them.")
        if chosen == "me":
            return self.by_user
        if chosen == "nobody":
            return None
        rep: User | None = User.objects.reps().filter(pk=chosen).first() if chosen.isascii() and chosen.isdigit() else None
        if rep is None:
            raise ValidationError("Choose a colleague of the Sales group.")
        return rep


class UploadForm(forms.Form):
    """A file, and its encoding if the guess was wrong."""

    file = forms.FileField(
        label="CSV file",
        help_text="The first line names the columns. At most 10 MB and 50,000 rows.",
        error_messages={"required": "Choose a file.", "empty": "Line 1 is missing: the file is empty."},
        widget=forms.FileInput(attrs={"class": "form-control", "accept": ".csv,text/csv,text/plain"}),
    )
    encoding = forms.ChoiceField(
        required=False,
        choices=[("", "Find out"), *ENCODINGS.items()],
        help_text="Choose one only if names came out wrong.",
        widget=forms.Select(attrs={"class": "form-select"}),
    )

    def clean(self) -> dict[str, Any]:
        """Read the file; what is wrong with it is said beside the field."""
        data: dict[str, Any] = super().clean() or {}
        if upload := data.get("file"):
            try:
                refuse_large(upload.size)
                data["opened"] = open_file(upload.read(), encoding=data.get("encoding", ""))
            except Unreadable as problem:
                raise ValidationError({"file": str(problem)}) from None
        return data

    @property
    def opened(self) -> File:
        """The file, read."""
        opened: File = self.cleaned_data["opened"]
        return opened


class DelimiterForm(forms.Form):
    """What stands between the cells."""

    delimiter = forms.ChoiceField(choices=[("tab" if sign == "\t" else sign, name.capitalize()) for sign, name in DELIMITERS.items()])

    def clean_delimiter(self) -> str:
        """The sign itself."""
        chosen = str(self.cleaned_data["delimiter"])
        return "\t" if chosen == "tab" else chosen


class MappingForm(forms.Form):
    """What each column becomes, and where consent comes from. Fields are `field-0`, `trait-0`, `field-1` …"""

    topic = forms.ModelChoiceField(Topic.objects.order_by("name"), to_field_name="key", required=False, empty_label="Choose a topic")
    source = forms.CharField(
        required=False, max_length=200, label="Where they agreed", help_text="For example: form of the webinar of 12 March, with its text."
    )
    at = forms.DateField(
        required=False,
        label="On which day",
        help_text="For rows without a day of their own.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    reads_right = forms.BooleanField(required=False, label="I have looked: letters such as ä, é and ß read right")

    def __init__(self, data: Any = None, *, csv_import: CsvImport, by_user: User) -> None:
        super().__init__(data, initial=initial_of(csv_import))
        self.csv_import = csv_import
        self.columns = samples(csv_import)
        choices = [(key, name) for key, name in FIELDS.items() if key != "owner" or by_user.is_editor]
        for place, (name, _) in enumerate(self.columns):
            select = forms.Select(attrs={"class": "form-select", "aria-label": f"Import {name} as"})
            self.fields[f"field-{place}"] = forms.ChoiceField(choices=choices, required=False, widget=select)
            text = forms.TextInput(attrs={"class": "form-control", "aria-label": f"Name of the fact in {name}", "placeholder": "Its name"})
            self.fields[f"trait-{place}"] = forms.CharField(required=False, max_length=100, widget=text)
        self.fields["topic"].widget.attrs["class"] = "form-select"
        for field_name in ("source", "at"):
            self.fields[field_name].widget.attrs["class"] = "form-control"
        self.fields["at"].widget.attrs["max"] = timezone.localdate().isoformat()

    def rows(self) -> list[dict[str, Any]]:
        """For the template: each column's name, first cells and fields."""
        return [
            {"name": name, "cells": cells, "field": self[f"field-{place}"], "trait": self[f"trait-{place}"]}
            for place, (name, cells) in enumerate(self.columns)
        ]

    def column(self, place: int) -> dict[str, str]:
        """What one column was mapped to; a fact without a name gets the column's."""
        chosen = str(self.cleaned_data.get(f"field-{place}") or "")
        named = str(self.cleaned_data.get(f"trait-{place}") or "").strip() or self.columns[place][0]
        return {"field": chosen, "trait": named if chosen in {"trait", "number"} else ""}

    def clean_at(self) -> date | None:
        """Nobody agrees tomorrow."""
        at: date | None = self.cleaned_data["at"]
        if at and at > timezone.localdate():
            raise ValidationError("This day is still to come.")
        return at

    def clean(self) -> dict[str, Any]:
        """One column tells people apart, facts have their own names, and consent says where and when."""
        data: dict[str, Any] = super().clean() or {}
        columns = [self.column(place) for place in range(len(self.columns))]
        if problem := mapping_problem(columns):
            raise ValidationError(problem)
        self.check_traits(columns)
        if any(column["field"] == "consent" for column in columns):
            self.check_consent(data, columns)
        return data | {"columns": columns}

    def check_traits(self, columns: list[dict[str, str]]) -> None:
        """Scores, stages and the like follow from facts; a file can't set them."""
        seen: set[str] = set()
        reserved = {name.lower() for name in RESERVED_TRAITS}
        for place, column in enumerate(columns):
            name = column["trait"].lower()
            if name and name in reserved:
                self.add_error(
                    f"trait-{place}", f"“{column['trait']}” can't be set by a file. Give the fact another name, or don't import it."
                )
            elif name and name in seen:
                self.add_error(f"trait-{place}", f"Two columns are called “{column['trait']}”.")
            seen.add(name)

    def check_consent(self, data: dict[str, Any], columns: list[dict[str, str]]) -> None:
        """Consent without topic, source and day proves nothing."""
        for name, problem in (("topic", "Choose what they agreed to hear about."), ("source", "Say where they agreed; it is the proof.")):
            if not data.get(name) and name not in self.errors:
                self.add_error(name, problem)
        if not data.get("at") and "at" not in self.errors and all(column["field"] != "consentDate" for column in columns):
            self.add_error("at", "Say on which day, or map a column with the day.")

    def apply(self) -> None:
        """Write the mapping to the import (not saved)."""
        data, target = self.cleaned_data, self.csv_import
        target.mapping = target.mapping | {"columns": data["columns"]}
        has_consent = any(column["field"] == "consent" for column in data["columns"])
        at = data["at"].isoformat() if data["at"] else ""
        target.consent = {"topic": data["topic"].key, "source": data["source"], "at": at} if has_consent else {}


def initial_of(csv_import: CsvImport) -> dict[str, Any]:
    """The mapping as the form shows it."""
    said = {f"field-{place}": column["field"] for place, column in enumerate(csv_import.mapping["columns"])}
    said |= {f"trait-{place}": column["trait"] for place, column in enumerate(csv_import.mapping["columns"])}
    topic, source, at = operator.itemgetter("topic", "source", "at")({"topic": "", "source": "", "at": ""} | csv_import.consent)
    return said | {"topic": topic, "source": source, "at": at}
