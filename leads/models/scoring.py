"""The scoring model: a draft in rows that people edit, and published versions that never change."""

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from leads.models.claims import Claimable, ClaimableQuerySet

POINTS = [MinValueValidator(-10_000), MaxValueValidator(10_000)]


class Draft(models.Model):
    """A row people edit before it is published; it remembers who touched it last."""

    edited_at = models.DateTimeField(default=timezone.now, editable=False)
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        abstract = True


class ScoringVersion(models.Model):
    """One published scoring model: rules, fit, limits, derived types and gates. Immutable; the highest number is live."""

    number = models.PositiveIntegerField(unique=True)
    document = models.JSONField(help_text="The sections scoring and gates, as in a playbook.")
    rescored = models.BooleanField(default=False, help_text="Published for the past too: what happened before it is scored by it.")
    restores = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="The earlier version it goes back to."
    )
    note = models.CharField(max_length=300, blank=True)
    published_at = models.DateTimeField(default=timezone.now)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"Version {self.number}"

    @classmethod
    def live(cls) -> "ScoringVersion | None":
        """The version that scores new events, or None before the first was published."""
        return cls.objects.order_by("-number").first()


class ScoringRule(Draft):
    """Draft: what one kind of event is worth."""

    class Per(models.TextChoices):
        DAY = "day", "day"
        WEEK = "week", "week"
        MONTH = "month", "month (30 days)"
        QUARTER = "quarter", "quarter (90 days)"
        HALF_YEAR = "half-year", "half-year (182 days)"
        YEAR = "year", "year (365 days)"
        EVER = "ever", "ever"

    class Reset(models.TextChoices):
        ENGAGEMENT = "engagement", "all engagement points"

    key = models.SlugField(max_length=80, unique=True, help_text="Stays the same when the name changes, for example viewed-pricing.")
    name = models.CharField(max_length=120, blank=True, help_text="As reps read it, for example Viewed pricing. Empty: the key.")
    event = models.CharField(max_length=100, help_text="The event type, for example VIEWED_PRICING.")
    when = models.JSONField(
        default=list, blank=True, help_text='Conditions, for example [{"field": "event.plan", "op": "is", "value": "team"}].'
    )
    points = models.IntegerField(validators=POINTS, null=True, blank=True, help_text="Positive or negative. Empty for a reset.")
    reset = models.CharField(max_length=10, choices=Reset, blank=True, help_text="Instead of points: back to nothing (or the floor).")
    limit_times = models.PositiveIntegerField(null=True, blank=True, help_text="At most this often …")
    limit_per = models.CharField(max_length=10, choices=Per, blank=True, help_text="… per this period,")
    limit_days = models.PositiveIntegerField(null=True, blank=True, help_text="or within this many days.")
    expires_after = models.CharField(max_length=10, blank=True, help_text="Take the points back after, for example 90d.")

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name or self.key


class IdleRule(Draft):
    """Draft: what it is worth when somebody does nothing."""

    key = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120, blank=True, help_text="For example Quiet for a month. Empty: the key.")
    after = models.CharField(max_length=10, help_text="Nothing done for, for example 30d.")
    every = models.CharField(max_length=10, blank=True, help_text="And again for every further, for example 30d. Empty: once.")
    points = models.IntegerField(validators=POINTS, help_text="Usually negative.")

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name or self.key


class FitRule(Draft):
    """Draft: what it is worth who somebody is, while the conditions hold."""

    key = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120, blank=True, help_text="For example Technical leader. Empty: the key.")
    when = models.JSONField(default=list, help_text='Conditions, for example [{"field": "lead.title", "op": "has_word", "value": "CTO"}].')
    points = models.IntegerField(validators=POINTS)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name or self.key


class DerivedType(Draft):
    """Draft: a second type that an event gets when its properties match; rules, gates and triggers then see both."""

    source_type = models.CharField("from", max_length=100, help_text="For example PAGE_VIEWED.")
    when = models.JSONField(default=list, help_text='For example [{"field": "event.path", "op": "is", "value": "/pricing"}].')
    derived_type = models.CharField("as", max_length=100, help_text="For example VIEWED_PRICING.")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return f"{self.source_type} as {self.derived_type}"


class ScoringLimits(Draft):
    """Draft: the one row of limits."""

    fit_max = models.IntegerField(null=True, blank=True)
    fit_min = models.IntegerField(null=True, blank=True)
    engagement_max = models.IntegerField(null=True, blank=True)
    stop_above = models.IntegerField(
        null=True, blank=True, help_text="Above this many engagement points nothing is added; the event that crosses it counts whole."
    )
    floor = models.IntegerField(null=True, blank=True, help_text="Engagement never falls below this.")

    class Meta:
        verbose_name_plural = "scoring limits"
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_row_of_limits")]

    def __str__(self) -> str:
        return "Limits"


class Exclusion(Draft):
    """Draft: the one row of conditions on whom nothing counts for: own staff, competitors, students."""

    conditions = models.JSONField(
        default=list, blank=True, help_text='For example [{"field": "lead.email", "op": "ends_with", "value": "@example.com"}].'
    )

    class Meta:
        verbose_name = "exclusion"
        verbose_name_plural = "exclusion"
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="one_row_of_exclusion")]

    def __str__(self) -> str:
        return "Exclusion"


class RescoreQuerySet(ClaimableQuerySet["Rescore"]):
    """Words for leads to look at anew."""

    def due(self, at: datetime) -> Self:
        """Running, the oldest publication first."""
        return self.filter(state=Rescore.State.RUNNING, created_at__lte=at).order_by("pk")


class Rescore(Claimable):
    """What a publication leaves to do: every lead is folded anew, in the order of ids; it can be paused and killed, and goes on."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        DONE = "done", "Done"

    version = models.OneToOneField(ScoringVersion, on_delete=models.CASCADE, related_name="rescore")
    history = models.BooleanField(default=False, help_text="The past is scored again; else only fit is looked at, and gates are tried.")
    tell = models.BooleanField(default=False, help_text="Owners are told of the moves that follow.")
    state = models.CharField(max_length=7, choices=State, default=State.RUNNING)
    next_lead = models.BigIntegerField(default=0, help_text="Leads with a smaller id are done.")
    leads = models.PositiveIntegerField(default=0, help_text="How many there were when it began.")
    done = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0, help_text="Leads whose score changed.")
    moved = models.PositiveIntegerField(default=0, help_text="Leads whose stage changed.")
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[RescoreQuerySet] = RescoreQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.version}: {self.done} of {self.leads} leads"


class WhatIfQuerySet(ClaimableQuerySet["WhatIf"]):
    """Words for comparisons to compute."""

    def due(self, at: datetime) -> Self:
        """Asked for and not finished, oldest first."""
        return self.filter(state=WhatIf.State.RUNNING, created_at__lte=at).order_by("pk")


class WhatIf(Claimable):
    """A scoring model tried out on all leads; nothing but this row is written.

    A comparison says what differs from the live one over the last days of real events, a simulation who would pass a gate now.
    """

    class Kind(models.TextChoices):
        COMPARISON = "comparison", "Comparison"
        SIMULATION = "simulation", "Simulation"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        CANCELED = "canceled", "Canceled"
        FAILED = "failed", "Failed"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.COMPARISON)
    document = models.JSONField(help_text="The model tried out, as in ScoringVersion.document.")
    days = models.PositiveIntegerField(default=30, help_text="For a comparison: how many days back.")
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    leads = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[WhatIfQuerySet] = WhatIfQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "what-if"
        ordering = ["-pk"]

    def __str__(self) -> str:
        return "Simulator" if self.is_simulation else f"What if, over {self.days} day{'' if self.days == 1 else 's'}"

    @property
    def is_simulation(self) -> bool:
        """Whether it says who would pass a gate now."""
        return self.kind == self.Kind.SIMULATION
