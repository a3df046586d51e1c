"""The machine's states, the gates between them, and the trace of every move."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from leads.models.scoring import Draft, ScoringVersion
from leads.vocabulary import parse_duration


class Stage(models.Model):
    """A state of the machine. Live at once: renaming one needs no publishing."""

    class Kind(models.TextChoices):
        OPEN = "open", "Open"
        WON = "won", "Won"
        LOST = "lost", "Lost"

    key = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    position = models.PositiveIntegerField(default=0)
    kind = models.CharField(max_length=4, choices=Kind, default=Kind.OPEN)
    sla = models.CharField(
        "SLA", max_length=10, blank=True, help_text="Working time until the first human touch, for example 4h. Empty: none."
    )

    class Meta:
        ordering = ["position", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether leads in it can still be won."""
        return self.kind == self.Kind.OPEN


class Reason(models.Model):
    """A coded reason for a hand move: why a lead was lost or rejected."""

    class For(models.TextChoices):
        LOST = "lost", "Lost"
        REJECT = "reject", "Rejected by sales"
        REOPEN = "reopen", "Leaving won or lost"

    key = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    asked_for = models.CharField("for", max_length=8, choices=For, default=For.LOST)
    recycle_after = models.CharField(max_length=10, blank=True, help_text="Offer the lead again after, for example 90d.")
    recycle_to = models.ForeignKey(Stage, to_field="key", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    def __str__(self) -> str:
        return self.name

    def comes_back_at(self, moved_at: datetime) -> datetime | None:
        """When a lead that was lost or rejected at `moved_at` for this reason is offered again; None for never."""
        if not self.recycle_after or self.asked_for == self.For.REOPEN:
            return None
        try:
            return moved_at + parse_duration(self.recycle_after)
        except (ValueError, OverflowError):
            return None  # the admin refuses such durations; a row written past it must not hold up the move


class Gate(Draft):
    """Draft: an editable condition that moves a lead from one stage (or several) to another."""

    class Match(models.TextChoices):
        ANY = "any", "any of the conditions"
        ALL = "all", "all of the conditions"

    key = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120, blank=True)
    from_stages = models.ManyToManyField(Stage, related_name="+", verbose_name="from")
    to = models.ForeignKey(Stage, to_field="key", on_delete=models.PROTECT, related_name="+")
    match = models.CharField(max_length=3, choices=Match, default=Match.ANY)
    conditions = models.JSONField(default=list, help_text='For example [{"score": {"at_least": 80}}, {"event": "DEMO_REQUESTED"}].')
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "key"]

    def __str__(self) -> str:
        return self.name or self.key


class Transition(models.Model):
    """The trace of one stage change. It stands at the fact that opened the gate and knows when it was recorded."""

    lead = models.ForeignKey("leads.Lead", on_delete=models.CASCADE, related_name="transitions")
    seq = models.PositiveIntegerField()
    from_stage = models.ForeignKey(Stage, to_field="key", on_delete=models.PROTECT, related_name="+")
    to_stage = models.ForeignKey(Stage, to_field="key", on_delete=models.PROTECT, related_name="+")
    gate = models.CharField(max_length=80, blank=True, help_text="The gate's key; empty for a move by hand.")
    version = models.ForeignKey(ScoringVersion, null=True, on_delete=models.PROTECT, related_name="+")
    event = models.ForeignKey("leads.Event", null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.ForeignKey(Reason, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    note = models.TextField(blank=True)
    undoes = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="undone_by",
        help_text="The move by hand that this one takes back.",
    )
    recycles = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="recycled_by",
        help_text="The loss or rejection after which this move brings the lead back.",
    )
    recycle_at = models.DateTimeField(null=True, blank=True, help_text="When the lead is offered again, if it still stands there.")
    engagement = models.IntegerField(help_text="The lead's points at that moment.")
    fit = models.IntegerField()
    historical = models.BooleanField(default=False, help_text="Nobody was mailed about it.")
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["lead", "seq"], name="transition_once")]
        indexes = [
            # Moves per week, and who is new in a stage.
            models.Index(F("to_stage"), F("at").desc(), name="transition_into_stage"),
            # tick: leads to be offered again.
            models.Index(fields=["recycle_at"], condition=Q(recycle_at__isnull=False), name="transition_recycle"),
        ]

    def __str__(self) -> str:
        return f"{self.from_stage_id} → {self.to_stage_id}"

    @property
    def cause(self) -> str:
        """The name under which enrollments refer to this transition."""
        return f"transition:{self.pk}"
