"""Campaigns, the runs of people through them, and the messages that go out."""

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from leads.models import Claimable, ClaimableQuerySet, ContactPoint, Draft, Event, Lead, Topic
from leads.zones import validate_timezone


def once() -> str:
    """The default re-entry: a lead runs through a campaign once."""
    return "once"


class Campaign(Draft):
    """What we say to whom and when. Its fields and steps are the draft; what runs is `live`, a published version."""

    class Class(models.TextChoices):
        MARKETING = "marketing", "Marketing (needs consent to its topic)"
        PRODUCT = "product", "Product (to users who have not opted out)"
        TRANSACTIONAL = "transactional", "Transactional (always, but for suppressed addresses)"

    class Status(models.TextChoices):
        DRAFT = "draft", "Never published"
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        ARCHIVED = "archived", "Archived"

    key = models.CharField(max_length=80, unique=True, help_text="Stays the same for ever, for example API_DEEP_DIVE_SEQUENCE.")
    name = models.CharField(max_length=120)
    message_class = models.CharField("class", max_length=13, choices=Class, default=Class.MARKETING)
    topic = models.ForeignKey(
        Topic, null=True, blank=True, on_delete=models.PROTECT, related_name="campaigns", help_text="Marketing needs one."
    )
    trigger = models.JSONField(help_text='For example {"event": "DOWNLOADED_API_DOCS"} or {"stage": "sql"}.')
    audience = models.JSONField(default=list, blank=True, help_text="Conditions a lead must meet to enter.")
    reentry = models.JSONField(default=once, blank=True, help_text='"once", "always", {"after": "30d"} or {"key": "event.order_id"}.')
    goal = models.JSONField(default=list, blank=True, help_text="Conditions that mean success; the run ends.")
    exits = models.JSONField(default=list, blank=True, help_text="Conditions that end the run without success.")
    exit_on_stage = models.BooleanField(default=True, help_text="Entering a won or lost stage ends the run.")
    window = models.JSONField(
        default=dict, blank=True, help_text='For example {"days": "mon-fri", "hours": "08:00-18:00"}; empty: the workspace\'s.'
    )
    cap = models.JSONField(default=dict, blank=True, help_text='For example {"day": 1, "week": 3}; empty: the workspace\'s.')
    timezone = models.CharField(
        max_length=64, blank=True, validators=[validate_timezone], help_text="For people whose own zone is unknown."
    )
    tracking = models.BooleanField(default=True, help_text="Rewrite links so that clicks come back as events.")
    priority = models.PositiveSmallIntegerField(
        default=50, validators=[MaxValueValidator(100)], help_text="0 to 100; the higher one sends first."
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
    live = models.ForeignKey("CampaignVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def pause(self) -> bool:
        """Stop entries and sending until resumed; runs wait where they are. Tells whether it was active."""
        return self.switch_status(self.Status.ACTIVE, self.Status.PAUSED)

    def resume(self) -> bool:
        """Go on where it was paused. Tells whether it was paused, and has been published."""
        return self.live_id is not None and self.switch_status(self.Status.PAUSED, self.Status.ACTIVE)

    def switch_status(self, old: str, new: str) -> bool:
        """Change the status if it still is `old`."""
        return bool(Campaign.objects.filter(pk=self.pk, status=old).update(status=new))


class Step(Draft):
    """Draft: one step of a campaign."""

    class Kind(models.TextChoices):
        MESSAGE = "message", "Send a message"
        NOTIFY = "notify", "Tell the lead's owner"
        EXIT = "exit", "End the run"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="steps")
    key = models.SlugField(max_length=60, help_text="Unique in the campaign, for example welcome.")
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.MESSAGE)
    after = models.CharField(
        max_length=10, blank=True, help_text="Delay since the step before happened, for example 10m or 3d. Empty: at once."
    )
    when = models.JSONField(default=list, blank=True, help_text="Conditions, looked at when the step is due; if they fail it is skipped.")
    not_after = models.CharField(max_length=10, blank=True, help_text="Too late to be of use after, for example 2d; then skipped.")
    subject = models.CharField(
        max_length=300, blank=True, help_text="Liquid, for example Your first call, {{ lead.name | default: 'there' }}."
    )
    body = models.TextField(blank=True, help_text="Markdown with Liquid.")
    text = models.CharField(max_length=300, blank=True, help_text="For notify: what to tell. For exit: why.")
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [models.UniqueConstraint(fields=["campaign", "key"], name="step_key_in_campaign")]

    def __str__(self) -> str:
        return self.key

    @property
    def summary(self) -> str:
        """The step on one line."""
        if self.kind == self.Kind.MESSAGE:
            return f"Mail “{self.subject}”" if self.subject else "Mail without a subject yet"
        start = "Tell the owner" if self.kind == self.Kind.NOTIFY else "End the run"
        return f"{start}: {self.text}" if self.text else start

    def get_inline_title(self) -> str:
        """What the admin shows for it in the list of steps."""
        return f"{self.key}: {f'{self.after} later, ' if self.after else ''}{self.summary}"


class CampaignVersion(models.Model):
    """One published form of a campaign, immutable: runs end on the version they started on."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField(help_text="The campaign as in a playbook, without its status.")
    published_at = models.DateTimeField(default=now)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["campaign", "number"], name="campaign_version_once")]

    def __str__(self) -> str:
        return f"{self.campaign} v{self.number}"


class Slot(Claimable):
    """One firing of a scheduled campaign: walked in chunks, resumable."""

    class State(models.TextChoices):
        WALKING = "walking", "Enrolling"
        DONE = "done", "Done"
        MISSED = "missed", "Missed"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="slots")
    at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=State, default=State.WALKING)
    cursor = models.BigIntegerField(default=0, help_text="The last lead looked at.")
    enrolled = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=dict, help_text="How many were refused, by reason.")

    objects: ClassVar[ClaimableQuerySet["Slot"]] = ClaimableQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "at"], name="slot_once")]

    def __str__(self) -> str:
        return f"{self.campaign} at {self.at:%Y-%m-%d %H:%M}"


class EnrollmentQuerySet(ClaimableQuerySet["Enrollment"]):
    """Words for runs."""

    def active(self) -> Self:
        """Still running."""
        return self.filter(state=Enrollment.State.ACTIVE)

    def due(self, at: datetime) -> Self:
        """Active with a step due at `at`, in active campaigns; the earliest first."""
        return self.active().filter(due_at__lte=at, campaign__status=Campaign.Status.ACTIVE).order_by("due_at", "pk")


class Enrollment(Claimable):
    """One lead's run through one campaign version, started by one cause. A refused entry is kept with its reason."""

    class State(models.TextChoices):
        ACTIVE = "active", "Running"
        COMPLETED = "completed", "Completed"
        EXITED = "exited", "Ended early"
        REFUSED = "refused", "Not entered"

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="enrollments")
    version = models.ForeignKey(CampaignVersion, on_delete=models.PROTECT, related_name="enrollments")
    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="enrollments")
    first_lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+")
    run_key = models.CharField(max_length=200, blank=True, help_text="With re-entry by key: its value, for example the order's id.")
    cause = models.CharField(max_length=80, help_text="event:<id>, transition:<id>, slot:<time>, manual:<uuid>")
    cause_at = models.DateTimeField(help_text="When the cause happened; the first step counts from here.")
    event = models.ForeignKey(Event, null=True, on_delete=models.SET_NULL, related_name="+", db_constraint=False)
    state = models.CharField(max_length=9, choices=State, default=State.ACTIVE)
    reason = models.CharField(max_length=200, blank=True, help_text="Why it was refused or ended: goal, exit, unsubscribed, once …")
    next_step = models.CharField(max_length=60, blank=True, help_text="Key of the step that comes next.")
    due_at = models.DateTimeField(null=True, help_text="When; empty while a message of this run is on its way.")
    log = models.JSONField(default=list, help_text="What became of each step: [{step, at, what, why}].")
    started_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[EnrollmentQuerySet] = EnrollmentQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            # At most one active run of a campaign for one lead and key.
            models.UniqueConstraint(fields=["campaign", "lead", "run_key"], condition=Q(state="active"), name="enrollment_one_active"),
            # One cause starts (or is refused) one run.
            models.UniqueConstraint(fields=["campaign", "lead", "cause"], name="enrollment_once_per_cause"),
        ]
        indexes = [
            # advance: due steps.
            models.Index(fields=["due_at", "id"], condition=Q(state="active", due_at__isnull=False), name="enrollment_due"),
            # Re-entry: when the lead entered before, not counting the many times it was refused.
            models.Index(fields=["campaign", "lead", "run_key", "started_at"], condition=~Q(state="refused"), name="enrollment_entered"),
        ]

    def __str__(self) -> str:
        return f"{self.lead} in {self.campaign}"


class MessageQuerySet(ClaimableQuerySet["Message"]):
    """Words for the outbox."""

    def open(self) -> Self:
        """Not yet at an end."""
        return self.filter(state__in=[Message.State.SCHEDULED, Message.State.CLAIMED, Message.State.SENDING])

    def due(self, at: datetime) -> Self:
        """Scheduled and due at `at`, not of a paused campaign; higher priority first, then the earliest."""
        return (
            self.filter(state=Message.State.SCHEDULED, due_at__lte=at)
            .exclude(enrollment__campaign__status=Campaign.Status.PAUSED)
            .order_by("-priority", "due_at", "pk")
        )


class Message(Claimable):
    """One thing to send to one person: the outbox row, and its receipt whatever became of it.

    scheduled → claimed → sending → sent | failed | unknown; scheduled or claimed → skipped | canceled.
    Before DATA a message is tried again; once DATA began it is never sent again by itself (`unknown`).
    """

    class State(models.TextChoices):
        SCHEDULED = "scheduled", "Scheduled"
        CLAIMED = "claimed", "About to be sent"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Unclear whether it arrived"
        SKIPPED = "skipped", "Not sent"
        CANCELED = "canceled", "Canceled"

    class Phase(models.TextChoices):
        """How far the attempt got. From DATA on, the server may have taken the mail."""

        NONE = "", "Not begun"
        OPENED = "opened", "Begun"
        DATA = "data", "DATA begun"

    class Kind(models.TextChoices):
        CAMPAIGN = "campaign", "Step of a campaign"
        CONFIRMATION = "confirmation", "Asks whether an address is right"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text="Also its Message-ID, fixed for ever.")
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.CAMPAIGN)
    enrollment = models.ForeignKey(Enrollment, null=True, blank=True, on_delete=models.CASCADE, related_name="messages")
    step = models.CharField(max_length=60, blank=True)
    occurrence = models.PositiveSmallIntegerField(default=1)
    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="messages")
    first_lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+")
    contact_point = models.ForeignKey(ContactPoint, null=True, on_delete=models.PROTECT, related_name="messages")
    to = models.EmailField(max_length=254, blank=True)
    priority = models.PositiveSmallIntegerField(default=50)
    state = models.CharField(max_length=9, choices=State, default=State.SCHEDULED)
    phase = models.CharField(max_length=6, choices=Phase, default=Phase.NONE, blank=True)
    reason = models.CharField(max_length=200, blank=True, help_text="Which rule held, skipped or ended it: no_consent, window, cap …")
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    subject = models.CharField(max_length=300, blank=True, help_text="As sent.")
    text = models.TextField(blank=True, help_text="As sent.")
    html = models.TextField(blank=True, help_text="As sent.")
    due_at = models.DateTimeField(help_text="When it may next be sent.")
    not_after = models.DateTimeField(null=True, blank=True)
    sending_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now)

    objects: ClassVar[MessageQuerySet] = MessageQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            # One message for one step of one run.
            models.UniqueConstraint(fields=["enrollment", "step", "occurrence"], name="message_once"),
            # A lead is asked once whether an address is right.
            models.UniqueConstraint(fields=["lead", "to"], condition=Q(kind="confirmation"), name="message_confirmation_once"),
            models.CheckConstraint(
                condition=Q(state__in=["claimed", "sending"], claim_token__isnull=False)
                | ~Q(state__in=["claimed", "sending"]) & Q(claim_token=None),
                name="message_claimed_has_token",
            ),
        ]
        indexes = [
            # send: what is due.
            models.Index(fields=["-priority", "due_at", "id"], condition=Q(state="scheduled"), name="message_due"),
            # The reaper: claims whose worker died.
            models.Index(fields=["lease_until"], condition=Q(state__in=["claimed", "sending"]), name="message_leased"),
            # The frequency cap: what this address got lately.
            models.Index(fields=["contact_point", "sent_at"], name="message_cap"),
            # The lead's timeline.
            models.Index(fields=["lead", "-id"], name="message_of_lead"),
        ]

    def __str__(self) -> str:
        return self.subject or f"{self.step} to {self.to}"


class Link(models.Model):
    """A link in one message. The mail carries a token for it, never the address."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="links")
    position = models.PositiveSmallIntegerField()
    url = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "position"], name="link_once")]

    def __str__(self) -> str:
        return self.url


class Click(models.Model):
    """One fetch of a link, by a person or a mail scanner."""

    link = models.ForeignKey(Link, on_delete=models.CASCADE, related_name="clicks")
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="clicks")
    event_message_id = models.UUIDField(default=uuid.uuid4, unique=True, help_text="Message id of the event it becomes.")
    method = models.CharField(max_length=8)
    at = models.DateTimeField(default=now)

    class Meta:
        indexes = [
            # Bursts: how many links of one message within seconds.
            models.Index(fields=["message", "at"], name="click_burst"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.link}"
