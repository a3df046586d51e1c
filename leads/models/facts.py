"""What happened, and what it was worth: events, the ledger, and what the engine carries between facts."""

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from leads.models.claims import Claimable, ClaimableQuerySet
from leads.models.people import Lead
from leads.models.rows import QuickRow
from leads.models.scoring import ScoringVersion
from leads.models.sources import Delivery, Source


class EventQuerySet(models.QuerySet["Event"]):
    """Words for choosing events."""

    def in_fact_order(self) -> Self:
        """The order in which the engine sees facts: (at, source, message id), never arrival."""
        return self.order_by("at", "source_id", "message_id")


class Event(QuickRow):
    """An immutable fact about a lead. `lead` follows merges; `first_lead` never changes."""

    class Verdict(models.TextChoices):
        """Who did it. Suspect clicks are kept and shown; they neither score nor satisfy nor trigger."""

        HUMAN = "", "Human"
        SUSPECT = "suspect", "Suspect: probably a mail scanner"

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="events")
    first_lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="events")
    message_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100, help_text="The key, for example VIEWED_PRICING.")
    properties = models.JSONField(default=dict)
    traits = models.JSONField(default=dict, help_text="What the message said about the person; company traits under company.")
    identifies = models.BooleanField(default=False, help_text="The message named a user id or a confirmed address.")
    historical = models.BooleanField(default=False)
    verdict = models.CharField(max_length=8, choices=Verdict, default=Verdict.HUMAN, blank=True)
    content_digest = models.CharField(max_length=32, help_text="Same id with another digest is a conflict.")
    model_version = models.ForeignKey(
        ScoringVersion, null=True, on_delete=models.PROTECT, related_name="+", help_text="Its rules score it, for ever."
    )
    delivery = models.ForeignKey(Delivery, null=True, on_delete=models.SET_NULL, related_name="events")
    at = models.DateTimeField(help_text="When it happened: the client's time, corrected for skew, never after we got it.")
    received_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[EventQuerySet] = EventQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            # Idempotent for ever.
            models.UniqueConstraint(fields=["source", "message_id"], name="event_once"),
        ]
        indexes = [
            # A lead's timeline, newest first; a refold, oldest first.
            models.Index(F("lead"), F("at").desc(), F("id").desc(), name="event_timeline"),
            # "How often did this lead do X since …": campaign conditions.
            models.Index(fields=["lead", "type", "at"], name="event_of_type"),
        ]

    def __str__(self) -> str:
        return self.type

    @property
    def cause(self) -> str:
        """The name under which ledger lines and enrollments refer to this event."""
        return f"event:{self.pk}"


class ScoreEntry(models.Model):
    """One line of the ledger: points, and why. Never changed; a refold appends the difference as n + 1."""

    class Axis(models.TextChoices):
        ENGAGEMENT = "engagement", "Engagement"
        FIT = "fit", "Fit"

    class Kind(models.TextChoices):
        POINTS = "points", "Points"
        EXPIRY = "expiry", "Expiry"
        FIT = "fit", "Fit"
        IDLE = "idle", "Idle"
        RESET = "reset", "Reset"

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="entries", db_constraint=False)
    first_lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+", db_constraint=False)
    axis = models.CharField(max_length=10, choices=Axis)
    kind = models.CharField(max_length=8, choices=Kind)
    cause = models.CharField(max_length=80, help_text="event:<id>, expiry:<cause>, fit:<cause>, idle:<due>")
    rule = models.CharField(max_length=80, help_text="The rule's key.")
    n = models.PositiveSmallIntegerField(default=1)
    raw = models.IntegerField(help_text="What the rule says.")
    points = models.IntegerField(help_text="What was applied.")
    reason = models.CharField(max_length=120, blank=True, help_text="Why points differ from raw.")
    version = models.ForeignKey(ScoringVersion, on_delete=models.PROTECT, related_name="+")
    event = models.ForeignKey(Event, null=True, on_delete=models.CASCADE, related_name="entries", db_constraint=False)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "score entries"
        constraints = [models.UniqueConstraint(fields=["lead", "cause", "rule", "kind", "n"], name="score_entry_once")]
        indexes = [
            # "Why 65?": the lines of one rule; and the ledger as of a time.
            models.Index(fields=["lead", "rule", "at"], name="score_entry_of_rule"),
            # The ledger, newest first.
            models.Index(F("lead"), F("at").desc(), F("id").desc(), name="score_entry_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.points:+d} {self.rule}"


class FoldStateQuerySet(ClaimableQuerySet["FoldState"]):
    """Words for due score changes."""

    def due(self, at: datetime) -> Self:
        """Leads whose score changes by the passing of time at or before `at`; the earliest first."""
        return self.filter(due_at__lte=at).order_by("due_at", "pk")

    def broken(self) -> Self:
        """Leads the engine could not fold; the newest failure first."""
        return self.filter(failed_at__isnull=False).order_by("-failed_at", "-pk")


class FoldState(Claimable):
    """What the engine carries between facts of one lead: small, bounded, rebuilt from the facts at will."""

    lead = models.OneToOneField(Lead, primary_key=True, on_delete=models.CASCADE, related_name="fold_state")
    state = models.JSONField(default=dict, help_text="leads.engine.State as JSON")
    version = models.ForeignKey(
        ScoringVersion, null=True, on_delete=models.PROTECT, related_name="+", help_text="Whose counters it carries."
    )
    due_at = models.DateTimeField(null=True, help_text="When the score changes next by the passing of time alone.")
    again = models.BooleanField(default=False, help_text="A long history waits to be folded again in the background.")
    error = models.TextField(blank=True, help_text="What went wrong when the engine folded this lead last; empty: nothing.")
    traceback = models.TextField(blank=True)
    failed_at = models.DateTimeField(null=True, blank=True, help_text="When that was; set exactly when there is an error.")

    objects: ClassVar[FoldStateQuerySet] = FoldStateQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            # tick: due score changes.
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="fold_state_due"),
            # Scoring: how many leads could not be folded, however many there are.
            models.Index(fields=["failed_at"], condition=Q(failed_at__isnull=False), name="fold_state_failed"),
        ]

    def __str__(self) -> str:
        return f"State of lead {self.pk}"


class Checkpoint(models.Model):
    """A state on the way through a long history: a late fact is folded from the newest one before it."""

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="checkpoints")
    at = models.DateTimeField(help_text="Everything up to and including this time is in it, nothing later.")
    facts = models.PositiveIntegerField(help_text="How many facts are in it.")
    state = models.JSONField(help_text="leads.engine.State as JSON")
    version = models.ForeignKey(
        ScoringVersion, null=True, on_delete=models.PROTECT, related_name="+", help_text="Whose counters it carries."
    )

    class Meta:
        constraints = [
            # The newest checkpoint of a lead before a time.
            models.UniqueConstraint(fields=["lead", "at"], name="checkpoint_once"),
        ]

    def __str__(self) -> str:
        return f"Lead {self.lead_id} after {self.facts} facts"
