"""The people who work here, and what the workspace as a whole has agreed on."""

from datetime import date
from typing import ClassVar, Self

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import F, Q
from django.utils.functional import cached_property

from leads.zones import validate_timezone


class UserQuerySet(models.QuerySet["User"]):
    """Words for picking colleagues."""

    def reps(self) -> Self:
        """Active members of the group Sales."""
        return self.filter(is_active=True, groups__name="Sales")

    def available(self, today: date) -> Self:
        """Not on leave on the day `today`."""
        return self.filter(Q(away_until=None) | Q(away_until__lt=today))

    def next_in_turn(self) -> Self:
        """Round robin: whoever was given a lead the longest ago comes first."""
        return self.order_by(F("last_assigned_at").asc(nulls_first=True), "pk")


class ColleagueManager(UserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    """Makes users, and speaks the words of UserQuerySet."""


class User(AbstractUser):
    """A colleague who logs in. Members of the group Sales own leads; Marketing edits rules and campaigns."""

    class Theme(models.TextChoices):
        SYSTEM = "system", "As the system"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    timezone = models.CharField(
        max_length=64, blank=True, validators=[validate_timezone], help_text="For example Europe/Berlin. Empty: the workspace's."
    )
    away_until = models.DateField(null=True, blank=True, help_text="No new leads up to and including this day.")
    theme = models.CharField(max_length=6, choices=Theme, default=Theme.SYSTEM)
    last_assigned_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[ColleagueManager] = ColleagueManager()

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @cached_property
    def roles(self) -> frozenset[str]:
        """Names of the groups this colleague is in, read once per request."""
        return frozenset(self.groups.values_list("name", flat=True))

    @property
    def is_editor(self) -> bool:
        """Whether rules, gates and campaigns are theirs to edit: Marketing, Admin and superusers."""
        return self.is_superuser or not self.roles.isdisjoint({"Marketing", "Admin"})

    @property
    def is_colleague(self) -> bool:
        """Whether the pages for reps are open to them: members of any of our groups, and superusers."""
        return self.is_superuser or not self.roles.isdisjoint({"Sales", "Marketing", "Admin"})

    @property
    def is_admin(self) -> bool:
        """Whether colleagues, groups and keys are theirs to manage: Admin and superusers."""
        return self.is_superuser or "Admin" in self.roles


class SavedView(models.Model):
    """Filters of a page somebody wants back: the page's name and the query of its address."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=20, help_text="board or leads")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=500, blank=True, help_text="As in the address, for example owner=me&stage=sql.")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "page", "name"], name="saved_view_name")]

    def __str__(self) -> str:
        return self.name


class Workspace(models.Model):
    """The one row of settings that staff edit: zone and sending rules. `Workspace.current()` always answers."""

    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone], help_text="For example Europe/Berlin.")
    sending = models.JSONField(
        default=dict, blank=True, help_text='Window and cap: {"window": {"days": "mon-fri", "hours": "08:00-18:00"}, "cap": {"day": 1}}'
    )
    move_fuse = models.PositiveIntegerField(
        default=100, help_text="Publishing asks once more when it would move more leads than this to another stage at once."
    )
    playbook = models.JSONField(
        null=True, editable=False, help_text="The playbook as last applied or exported: what differs from it, people have edited since."
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_workspace")]

    def __str__(self) -> str:
        return "Workspace"

    @classmethod
    def current(cls) -> "Workspace":
        """The workspace's row, or the defaults when nobody has saved any yet."""
        return cls.objects.filter(pk=1).first() or cls(pk=1)
