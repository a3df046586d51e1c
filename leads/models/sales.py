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
from leads.models.staff import User
from leads.models.stages import Reason, Transition


class TaskQuerySet(models.QuerySet["Task"]):
    """Words for tasks."""

    def for_lead(self, lead: Lead) -> Self:
        """Those of everybody who is part of the lead, also what they joined through a colleague."""
        people = Lead.objects.part_of(lead)
        joined = Task.colleagues.through.objects.filter(lead__in=people)
        return self.filter(Q(lead__in=people) | Q(pk__in=joined.values("task")))


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
    touched_at = models.DateTimeField(
        null=True, blank=True, help_text="The first human touch: accepted, rejected, called, met, mailed or done."
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    rejected_for = models.ForeignKey(Reason, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    done_at = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True, help_text="When the whole team was told that its time had run out.")

    objects: ClassVar[TaskQuerySet] = TaskQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            # A rep's open tasks, most urgent first.
            models.Index(fields=["owner", "due_at"], condition=Q(done_at=None), name="task_open"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def joined_by(self) -> list[Lead]:
        """The others of the company who joined it; without those who are part of another lead by now."""
        return [person for person in self.colleagues.all() if person.merged_into_id is None and person.pk != self.lead_id]


class Activity(models.Model):
    """What a colleague wrote down about a lead: a note, or a call or meeting that took place."""

    class Kind(models.TextChoices):
        NOTE = "note", "Note"
        CALL = "call", "Call"
        MEETING = "meeting", "Meeting"

    class Outcome(models.TextChoices):
        NONE = "", "No outcome"
        REACHED = "reached", "Reached"
        NO_ANSWER = "no_answer", "No answer"
        CALL_BACK = "call_back", "Call back later"
        INTERESTED = "interested", "Interested"
        NOT_INTERESTED = "not_interested", "Not interested"

    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="activities")
    kind = models.CharField(max_length=7, choices=Kind, default=Kind.NOTE)
    outcome = models.CharField(max_length=14, choices=Outcome, blank=True, default=Outcome.NONE)
    text = models.TextField(blank=True, max_length=10_000)
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="activities")
    at = models.DateTimeField(default=timezone.now, help_text="When it took place.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "activities"
        indexes = [
            # A lead's timeline.
            models.Index(fields=["lead", "-at"], name="activity_of_lead"),
        ]

    def __str__(self) -> str:
        return self.text or self.get_kind_display()


class NotificationQuerySet(ClaimableQuerySet["Notification"]):
    """Words for what is still to be told."""

    def due(self, at: datetime) -> Self:
        """To be sent by mail or chat, due at `at`, oldest first."""
        return self.filter(state=Notification.State.PENDING, due_at__lte=at).order_by("due_at", "pk")

    def told_to(self, user: User) -> Self:
        """What the app tells `user`, newest first."""
        return self.filter(user=user, channel=Notification.Channel.IN_APP).order_by("-pk")

    def unread(self, user: User) -> Self:
        """What of it they haven't read."""
        return self.told_to(user).filter(read_at=None)


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
