"""What people type about leads, and what it must be like."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from leads.models import Lead, Reason, SavedView, Stage, User


class BoardFilter(forms.Form):
    """The board's filters; they live in the address. What is unreadable is ignored, field by field."""

    q = forms.CharField(required=False, max_length=100)
    owner = forms.RegexField(r"^(ours|me|nobody|all|\d{1,9})$", required=False)
    stage = forms.SlugField(required=False, max_length=40)
    score = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    source = forms.IntegerField(required=False, min_value=1, max_value=2_000_000_000)
    company = forms.CharField(required=False, max_length=100)
    closed = forms.RegexField(r"^all$", required=False)
    cold = forms.RegexField(r"^1$", required=False)
    visitors = forms.RegexField(r"^1$", required=False)

    def value(self, name: str) -> Any:
        """What one filter asks for; "" or None when it asks for nothing."""
        self.is_valid()
        return self.cleaned_data.get(name)

    def words(self) -> list[str]:
        """What is searched for, word by word, lower case."""
        return str(self.value("q") or "").lower().split()

    def whose(self, user: User) -> str:
        """Whose leads: a rep sees their own and nobody's until they choose; a search looks at everybody's."""
        if chosen := self.value("owner"):
            return str(chosen)
        return "ours" if "Sales" in user.roles and not self.words() else "all"

    def hides_old(self) -> bool:
        """Whether leads won or lost long ago stay away: they do until asked or searched for."""
        return not (self.value("closed") or self.words())

    def folds(self) -> bool:
        """Whether the first column is folded to its count: it is until it is opened or searched in."""
        return not (self.value("cold") or self.words() or self.value("stage") or self.value("company"))

    def narrows(self) -> bool:
        """Whether fewer leads are asked for than the board shows by itself."""
        return any(self.value(name) for name in ("q", "owner", "stage", "score", "source", "company"))

    def query(self, **changes: object) -> str:
        """The filters as in the address, with `changes`; an empty value leaves one out."""
        values = {name: self.value(name) for name in self.fields} | changes
        return urlencode({name: value for name, value in values.items() if value})


class BoardPlace(forms.Form):
    """What a part of the board is asked for by: the column and the place in it, what is shown already and which state was seen."""

    column = forms.SlugField(required=False, max_length=40)
    after = forms.CharField(required=False, max_length=80)
    shown = forms.RegexField(r"^[\w-]+:\d{1,4}(,[\w-]+:\d{1,4})*$", required=False, max_length=500)
    seen = forms.CharField(required=False, max_length=200)

    def value(self, name: str) -> str:
        """One of the values; "" when it was left out or is unreadable."""
        self.is_valid()
        return str(self.cleaned_data.get(name) or "")

    def shown_cards(self) -> dict[str, int]:
        """How many cards each column shows on the page that asks."""
        pairs = (part.split(":") for part in self.value("shown").split(",") if part)
        return {column: int(count) for column, count in pairs}


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


class BoardMoveForm(forms.Form):
    """Moves some cards of the board by hand. A card is named with the move it was last seen at: `uid.seq`."""

    lead = forms.CharField(required=False, widget=forms.MultipleHiddenInput)
    stage = forms.ModelChoiceField(Stage.objects.all(), to_field_name="key", label="Move to", empty_label=None)
    reason = forms.ModelChoiceField(Reason.objects.none(), to_field_name="key", required=False, empty_label="Choose a reason")
    note = forms.CharField(required=False, max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    view = forms.CharField(required=False, max_length=1000, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.seen = dict(name.partition(".")[::2] for name in data.getlist("lead")[:100])
        self.leads = self.find_leads()
        asked = self.reason_asked_for()
        reasons = Reason.objects.filter(asked_for=asked).order_by("name") if asked else Reason.objects.none()
        self.fields["reason"].queryset = reasons  # type: ignore[attr-defined]
        self.needs_reason = bool(asked) and reasons.exists()
        if not asked:
            del self.fields["reason"]
        for name, field in self.fields.items():
            field.widget.attrs["class"] = "form-control" if name == "note" else "form-select"

    def find_leads(self) -> list[Lead]:
        """The named leads as they stand, each with the number of moves the page had seen."""
        uids = [uid for name in self.seen if (uid := read_uid(name))]
        leads = Lead.objects.current().filter(uid__in=uids).select_related("stage", "company", "owner", "fold_state").order_by("pk")
        for lead in leads:
            seq = self.seen[str(lead.uid)]
            lead.stage_seq = int(seq) if seq.isascii() and seq.isdigit() else lead.stage_seq
        return list(leads)

    def reason_asked_for(self) -> str:
        """Which kind of reason the move needs; "" for none."""
        stage = Stage.objects.filter(key=self.data.get("stage", "")).first()
        if stage is None:
            return ""
        if stage.kind == Stage.Kind.LOST:
            return Reason.For.LOST
        return Reason.For.REOPEN if any(not lead.stage.is_open for lead in self.leads) else ""

    def clean(self) -> dict[str, Any]:
        """Ask for a reason where sales has agreed on some."""
        data: dict[str, Any] = super().clean() or {}
        if not self.leads:
            raise ValidationError("Choose at least one lead to move.")
        if self.needs_reason and not data.get("reason") and "reason" not in self.errors:
            raise ValidationError({"reason": "Choose a reason; it teaches the scoring."})
        return data


class BoardUndoForm(forms.Form):
    """Takes moves back: their numbers, and the address of the board it was asked from."""

    moves = forms.RegexField(r"^\d{1,18}(,\d{1,18}){0,99}$")
    view = forms.CharField(required=False, max_length=1000)

    def pks(self) -> list[int]:
        """The moves to take back."""
        return [int(pk) for pk in str(self.cleaned_data["moves"]).split(",")]


class SavedViewForm(forms.ModelForm):  # type: ignore[type-arg]
    """A name for the filters that are set now."""

    class Meta:
        model = SavedView
        fields = ("name", "query")


def read_uid(text: str) -> UUID | None:
    """A lead's uid; None for anything else."""
    try:
        return UUID(text)
    except ValueError:
        return None
