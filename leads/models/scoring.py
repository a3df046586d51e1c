"""The scoring model: a draft in rows that people edit, and published versions that never change."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

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

    key = models.SlugField(max_length=80, unique=True, help_text="Stays the same when the name changes, for example viewed-pricing.")
    name = models.CharField(max_length=120, blank=True, help_text="As reps read it, for example Viewed pricing. Empty: the key.")
    event = models.CharField(max_length=100, help_text="The event type, for example VIEWED_PRICING.")
    when = models.JSONField(
        default=list, blank=True, help_text='Conditions, for example [{"field": "event.plan", "op": "is", "value": "team"}].'
    )
    points = models.IntegerField(validators=POINTS, help_text="Positive or negative.")
    limit_times = models.PositiveIntegerField(null=True, blank=True, help_text="At most this often …")
    limit_per = models.CharField(max_length=10, choices=Per, blank=True, help_text="… per this period,")
    limit_days = models.PositiveIntegerField(null=True, blank=True, help_text="or within this many days.")
    expires_after = models.CharField(max_length=10, blank=True, help_text="Take the points back after, for example 90d.")

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
