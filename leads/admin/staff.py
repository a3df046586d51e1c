"""Colleagues, their groups, and what the workspace has agreed on."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from leads.absence import tell_of_absence
from leads.access import signed_in
from leads.admin.kinds import EditedAdmin
from leads.models import (
    User,
    Workspace,
)

Rows = QuerySet[Any]

admin.site.unregister(Group)


def may_touch(request: HttpRequest, obj: Any) -> bool:
    """Whether this colleague is not above whoever asks: a new password for a superuser would be a way to become one."""
    return not (isinstance(obj, User) and obj.is_superuser) or (isinstance(request.user, User) and request.user.is_superuser)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """Colleagues. The group Sales owns leads, Marketing edits rules and campaigns, Admin both."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "away_until")
    list_filter = ("groups", "is_active", "is_staff")
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), ("At work", {"fields": ("timezone", "away_until", "theme")}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Who isn't a superuser makes none, and hands out rights by group only."""
        is_superuser = isinstance(request.user, User) and request.user.is_superuser
        return () if is_superuser else ("is_superuser", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers are changed by superusers."""
        return super().has_change_permission(request, obj) and may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Superusers are deleted by superusers."""
        return super().has_delete_permission(request, obj) and may_touch(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        """An absence entered here is told to the team like one entered in the profile."""
        super().save_model(request, obj, form, change)
        if told := tell_of_absence(obj, form.changed_data, by_user=signed_in(request), now=timezone.now()):
            messages.warning(request, told)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Groups. Sales, Marketing and Admin have their meaning by name."""


@admin.register(Workspace)
class WorkspaceAdmin(EditedAdmin):
    """The one row of sending rules, and of how much a publication may move unasked."""

    list_display = ("__str__", "timezone", "sending", "move_fuse")
    fields = ("timezone", "sending", "move_fuse")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only as long as there is none."""
        return super().has_add_permission(request, obj) and not Workspace.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def save_model(self, request: HttpRequest, obj: Workspace, form: Any, change: Any) -> None:
        """Keep it the one row."""
        obj.pk = 1
        super().save_model(request, obj, form, change)
