"""The three kinds of admin pages: rows people edit, drafts that are published later, and history nobody changes."""

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import JSONField, Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.widgets import UnfoldAdminTextareaWidget

from leads.admin.returning import ReturnsMixin
from leads.conditions import Place, parse
from leads.models import Draft, User
from leads.shape import PublishError
from leads.vocabulary import event_key, parse_duration

# Conditions are a few lines; the tall default box pushes the rest of the form off the screen.
LOW_BOXES: dict[Any, dict[str, Any]] = {JSONField: {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 3})}}


def is_editor(request: HttpRequest) -> bool:
    """Whether rules, campaigns and their history are open to whoever asks."""
    return isinstance(request.user, User) and request.user.is_active and request.user.is_staff and request.user.is_editor


def is_admin(request: HttpRequest) -> bool:
    """Whether keys are open to whoever asks: Admin and superusers."""
    return is_editor(request) and isinstance(request.user, User) and request.user.is_admin


class CheckedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Reads the small notations when a row is saved, so that a typo is told beside its field and not at publishing."""

    conditions: ClassVar[dict[str, Place]] = {}
    durations: ClassVar[tuple[str, ...]] = ()
    event_types: ClassVar[tuple[str, ...]] = ()

    def clean(self) -> dict[str, Any]:
        """Check conditions and durations; bring event types into their one form (`Viewed pricing` → VIEWED_PRICING)."""
        data: dict[str, Any] = super().clean() or {}
        for name, place in self.conditions.items():
            self.check(name, lambda value, place=place: parse(value, place=place))
        for name in self.durations:
            self.check(name, parse_duration)
        for name in self.event_types:
            if data.get(name):
                data[name] = event_key(data[name])
        return data

    def check(self, name: str, read: Any) -> None:
        """Read one field with `read`; what that cannot read becomes an error at the field."""
        value = self.cleaned_data.get(name)
        if not value:
            return
        try:
            read(value)
        except ValueError as problem:
            self.add_error(name, ValidationError(str(problem)))


class EditorsOnly:
    """Opens a page to Marketing, Admin and superusers; reps never see it."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether it is listed."""
        return is_editor(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether it can be read."""
        return is_editor(request)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether rows can be added."""
        return is_editor(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether rows can be changed."""
        return is_editor(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether rows can be deleted."""
        return is_editor(request)


class AdminsOnly:
    """Opens a page to Admin and superusers; Marketing has no keys. Stands before the kind of the page."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether it is listed."""
        return is_admin(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether it can be read."""
        return is_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether rows can be changed."""
        return is_admin(request)


class NeverChanged(EditorsOnly):
    """Rows that are read and never touched: facts, lines, receipts, versions."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No."""
        return False


class EditedAdmin(EditorsOnly, ModelAdmin):  # type: ignore[misc]
    """Rows people edit, live at once."""

    formfield_overrides = LOW_BOXES
    compressed_fields = True
    warn_unsaved_form = True


class PartlyEditedAdmin(EditedAdmin):
    """Rows that events make: people may change a few fields, but neither add nor delete them."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No: they come from events."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """No: people are forgotten by `manage.py forget`, which takes everything along."""
        return False


class DraftAdmin(ReturnsMixin, EditedAdmin):
    """Drafts: what is edited here changes nothing until it is published. Remembers who edited last."""

    readonly_fields: ClassVar[tuple[str, ...]] = ("edited_by", "edited_at")
    list_select_related: ClassVar[tuple[str, ...]] = ("edited_by",)

    def save_model(self, request: HttpRequest, obj: Draft, form: Any, change: Any) -> None:
        """Sign the draft, if something in it changed, and save it."""
        if not change or form.has_changed():
            sign(obj, request)
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Sign the drafts of an inline as well; what they belong to when one was deleted."""
        for inline_form in formset.forms:
            if inline_form.has_changed() and isinstance(inline_form.instance, Draft):
                sign(inline_form.instance, request)
        super().save_formset(request, form, formset, change)
        if formset.deleted_forms and issubclass(formset.model, Draft):
            sign(form.instance, request)
            form.instance.save(update_fields=["edited_by", "edited_at"])


class HistoryAdmin(NeverChanged, ModelAdmin):  # type: ignore[misc]
    """History rows."""

    compressed_fields = True
    show_full_result_count = False


class HistoryInline(NeverChanged, TabularInline):  # type: ignore[misc]
    """History rows on the page of what they belong to."""

    extra = 0
    show_change_link = True
    tab = True

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.fields or ())


class DraftInline(EditorsOnly, StackedInline):  # type: ignore[misc]
    """Drafts edited on the page of what they belong to."""

    formfield_overrides = LOW_BOXES
    extra = 0


def sign(draft: Draft, request: HttpRequest) -> None:
    """Note who edits and when (not saved)."""
    draft.edited_by = request.user if isinstance(request.user, User) else None
    draft.edited_at = timezone.now()


def tell_problems(page: ModelAdmin, request: HttpRequest, error: PublishError) -> None:
    """Say what keeps a draft from being published, one message for each problem."""
    for problem in error.problems:
        page.message_user(request, f"Not published. {problem}", messages.ERROR)
