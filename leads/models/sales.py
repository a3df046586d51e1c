"""What sales is asked to do, and what staff are told."""

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from leads.models.claims import Claimable, ClaimableQuerySet
from leads.models.people import Company, Lead
from leads.models.stages import Transition


class Task(models.Model):
    """Something for a person to do about a lead. A handoff is the task a lead brings when it reaches sales."""

    class Kind(models.TextChoices):
        HANDOFF = "handoff", "Handoff"
        CAMPAIGN = "campaign", "From a campaign"
        MANUAL = "manual", "By hand"

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="tasks")
    company = models.ForeignKey(Company, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks")
    colleagues = models.ManyToManyField(Lead, blank=True, related_name="joined_tasks", help_text="People of the company who joined it.")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.MANUAL)
    title = models.CharField(max_length=200)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks")
    transition = models.OneToOneField(Transition, null=True, blank=True, on_delete=models.CASCADE, related_name="task")
    due_at = models.DateTimeField(null=True, blank=True, help_text="For a handoff: when the SLA runs out, in working time.")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # A rep's open tasks, most urgent first.
            models.Index(fields=["owner", "due_at"], condition=Q(done_at=None), name="task_open"),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationQuerySet(ClaimableQuerySet["Notification"]):
    """Words for what is still to be told."""

    def due(self, at: datetime) -> Self:
        """To be sent by mail or chat, due at `at`, oldest first."""
        return self.filter(state=Notification.State.PENDING, due_at__lte=at).order_by("due_at", "pk")


class Notification(Claimable):
    """One thing told to one colleague (or to the team's chat), once. In-app ones are told by existing."""

    class Channel(models.TextChoices):
        IN_APP = "in_app", "In the app"
        MAIL = "mail", "By mail"
        CHAT = "chat", "In the team's chat"

    class State(models.TextChoices):
        PENDING = "pending", "To be sent"
        SENT = "sent", "Told"
        FAILED = "failed", "Given up"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.CharField(max_length=6, choices=Channel)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications")
    lead = models.ForeignKey(Lead, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications")
    dedupe_key = models.CharField(max_length=120, unique=True, help_text="What it is about, for whom, by which channel: told once.")
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    due_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[NotificationQuerySet] = NotificationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            # send_notifications: what is due.
            models.Index(fields=["due_at", "id"], condition=Q(state="pending"), name="notification_due"),
            # The bell: a colleague's newest.
            models.Index(fields=["user", "-id"], name="notification_of_user"),
        ]

    def __str__(self) -> str:
        return self.title
