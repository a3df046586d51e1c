"""People, the companies they work for, the keys they are known by, and what they agreed to hear about."""

import hashlib
import hmac
import uuid
from collections.abc import Iterable
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Lower
from django.db.models.lookups import Exact, In
from django.urls import reverse
from django.utils.timezone import now

from leads.models.rows import QuickRow
from leads.models.stages import Stage
from leads.zones import validate_timezone


def normalize_email(email: str) -> str:
    """The form in which addresses are compared: trimmed, lower case."""
    return email.strip().lower()


def hash_address(email: str) -> str:
    """HMAC-SHA256 (hex) of the normalized address under ADDRESS_HASH_KEY: names a person without keeping the address."""
    return hmac.new(settings.ADDRESS_HASH_KEY.encode(), normalize_email(email).encode(), hashlib.sha256).hexdigest()


class Company(models.Model):
    """A firm, known by its mail domain, by an id the product gave it, or only by name."""

    name = models.CharField(max_length=200)
    domain = models.CharField(max_length=200, null=True, blank=True, unique=True, help_text="For example example.com.")
    external_id = models.CharField(
        max_length=200, null=True, blank=True, unique=True, help_text="The product's id of this account (groupId)."
    )
    traits = models.JSONField(default=dict, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="companies")
    value = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True, help_text="What a contract would be worth a year.")
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217, for example EUR.")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "companies"
        constraints = [
            # Companies known only by name are found again by it, without case.
            models.UniqueConstraint(Lower("name"), condition=Q(domain=None, external_id=None), name="company_name_alone")
        ]

    def __str__(self) -> str:
        return self.name


class LeadQuerySet(models.QuerySet["Lead"]):
    """Words for choosing leads."""

    def current(self) -> Self:
        """Without the rows that were merged into another."""
        return self.filter(merged_into=None)

    def part_of(self, lead: "Lead") -> Self:
        """The lead and those that were merged into it: one person, as far as we know."""
        return self.filter(Q(pk=lead.pk) | Q(merged_into=lead))

    def known(self) -> Self:
        """People with a user id or a confirmed address."""
        return self.current().filter(is_known=True)

    def for_board(self) -> Self:
        """The cards of the board, hottest first."""
        return self.known().select_related("company", "owner", "stage").order_by("-score", "-pk")


class Lead(QuickRow):
    """A person or a visitor: what they told us, how warm they are (`score`), where they stand (`stage`).

    `engagement` and `fit` are the sums of the ledger, `stage` is the last transition's; only
    `leads.scoring` and `leads.gates` write them. Names and traits come from events, last writer wins.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(max_length=254, blank=True)
    unconfirmed_email = models.EmailField(max_length=254, blank=True, help_text="Given in a browser, not confirmed by its owner yet.")
    phone = models.CharField(max_length=50, blank=True)
    title = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=100, blank=True)
    timezone = models.CharField(max_length=64, blank=True, validators=[validate_timezone])
    traits = models.JSONField(default=dict, blank=True)
    company = models.ForeignKey(Company, null=True, blank=True, on_delete=models.SET_NULL, related_name="leads")
    value = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True, help_text="Only for a lead without a company.")
    currency = models.CharField(max_length=3, blank=True)
    first_source = models.ForeignKey("leads.Source", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    is_known = models.BooleanField(default=False)
    excluded = models.BooleanField(default=False)
    engagement = models.IntegerField(default=0)
    fit = models.IntegerField(default=0)
    score = models.GeneratedField(expression=F("engagement") + F("fit"), output_field=models.IntegerField(), db_persist=True)
    stage = models.ForeignKey(Stage, to_field="key", default="cold", on_delete=models.PROTECT, related_name="leads")
    stage_seq = models.PositiveIntegerField(default=0, help_text="Number of transitions; the next one gets this + 1.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="leads")
    former_owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    conversation_until = models.DateTimeField(
        null=True, blank=True, help_text="Sales is talking with this person; marketing waits until then."
    )
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="absorbed")

    stage_since = models.DateTimeField(default=now)
    first_seen_at = models.DateTimeField(default=now)
    last_event_at = models.DateTimeField(null=True, blank=True)
    last_event_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    objects: ClassVar[LeadQuerySet] = LeadQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(merged_into=F("id")), name="lead_not_merged_into_itself")]
        indexes = [
            # The board: the warmest cards of one column.
            models.Index("stage", F("score").desc(), F("id").desc(), condition=Q(merged_into=None, is_known=True), name="lead_board"),
            # The board of one rep.
            models.Index(
                "owner",
                "stage",
                F("score").desc(),
                F("id").desc(),
                condition=Q(merged_into=None, is_known=True),
                name="lead_board_of_owner",
            ),
            # GET /api/leads?email=, and the mail address of a person.
            models.Index(fields=["email"], condition=~Q(email=""), name="lead_email"),
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.unconfirmed_email or f"Visitor {str(self.uid)[:8]}"

    def get_absolute_url(self) -> str:
        """Return the address of the lead's page."""
        return reverse("leads:lead", args=[self.uid])


class LeadSearch(models.Model):
    """What a lead is found by, apart from the lead: its index must not be rewritten whenever a score changes."""

    lead = models.OneToOneField(Lead, primary_key=True, on_delete=models.CASCADE, related_name="search")
    text = models.TextField(help_text="Name, addresses, phone and company, lower case.")

    class Meta:
        verbose_name_plural = "lead search texts"

    def __str__(self) -> str:
        return self.text


class Identity(models.Model):
    """One key by which a lead is known. Unique for ever: a merge moves it, nothing copies it."""

    class Kind(models.TextChoices):
        USER_ID = "user_id", "User id"
        EMAIL = "email", "Email"
        ANONYMOUS_ID = "anonymous_id", "Anonymous id"

    kind = models.CharField(max_length=12, choices=Kind)
    value = models.CharField(max_length=254)
    lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="identities")
    first_lead = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=["kind", "value"], name="identity_names_one_lead")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


# Who the two leads of a pair are today: one that was merged since stands for its survivor.
ONE, OTHER = (Coalesce(f"{name}__merged_into", name) for name in ("low", "high"))


class MergeReviewQuerySet(models.QuerySet["MergeReview"]):
    """Words for pairs of leads. A lead that was merged since stands for its survivor."""

    def open(self) -> Self:
        """Nobody has decided yet."""
        return self.filter(state=MergeReview.State.OPEN)

    def of_one(self) -> Self:
        """Both are one person by now."""
        return self.filter(Exact(ONE, OTHER))

    def of_two(self) -> Self:
        """They are two."""
        return self.exclude(Exact(ONE, OTHER))

    def about(self, leads: Iterable[int]) -> Self:
        """Pairs that name one of these leads, or one that was merged into it."""
        pks = list(leads)
        return self.filter(Q(low__in=pks) | Q(high__in=pks) | Q(low__merged_into__in=pks) | Q(high__merged_into__in=pks))

    def between(self, one: Lead, other: Lead) -> Self:
        """Pairs that are these two today."""
        pks = [one.pk, other.pk]
        return self.filter(In(ONE, pks), In(OTHER, pks)).of_two()

    def kept_apart(self, leads: Iterable[int]) -> set[frozenset[int]]:
        """Pairs of ids: who of these leads are two people, as colleagues said."""
        kept = self.filter(state=MergeReview.State.KEPT).about(leads).select_related("low", "high")
        return {review.pair for review in kept}


class MergeReview(models.Model):
    """Two known leads that one message named together: staff decide whether they are one person."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        MERGED = "merged", "Merged"
        KEPT = "kept", "Kept apart"

    low = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+", help_text="The lead with the lower id.")
    high = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+")
    why = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(default=now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects: ClassVar[MergeReviewQuerySet] = MergeReviewQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["low", "high"], name="merge_review_once"),
            models.CheckConstraint(condition=Q(low__lt=F("high")), name="merge_review_ordered"),
        ]

    def __str__(self) -> str:
        return f"{self.low} / {self.high}"

    @property
    def pair(self) -> frozenset[int]:
        """Ids of who the two are today."""
        return frozenset(lead.merged_into_id or lead.pk for lead in (self.low, self.high))


class MergeQuerySet(models.QuerySet["Merge"]):
    """Words for merges."""

    def standing(self) -> Self:
        """Not taken apart."""
        return self.filter(undone_at=None)

    def within(self, lead: Lead) -> Self:
        """Everything that was ever merged into `lead` or into one that is part of it, the newest first."""
        return self.filter(Q(survivor=lead) | Q(survivor__merged_into=lead)).order_by("-at", "-pk")


class Merge(models.Model):
    """The trace of one merge, so that it can be taken apart again.

    Standing ones form trees: `survivor` may have been merged into another lead since, and its `merged_into` tells
    the lead at the end.
    """

    absorbed = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="+")
    survivor = models.ForeignKey(Lead, on_delete=models.CASCADE, related_name="merges")
    why = models.CharField(max_length=200)
    by_user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="Empty: a message did."
    )
    at = models.DateTimeField(default=now)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects: ClassVar[MergeQuerySet] = MergeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["absorbed"], condition=Q(undone_at=None), name="merge_once"),
        ]

    def __str__(self) -> str:
        return f"{self.absorbed} into {self.survivor}"


class Topic(models.Model):
    """Something people can agree to hear about."""

    key = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120, help_text="As people read it on the unsubscribe page, for example Best practices.")
    description = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name


class ContactPoint(models.Model):
    """One mail address, by its hash. Suppression and consent live here: they survive merges and erasure."""

    class Suppression(models.TextChoices):
        NONE = "", "Not suppressed"
        HARD_BOUNCE = "hard_bounce", "Hard bounce"
        COMPLAINT = "complaint", "Complaint"
        ERASED = "erased", "Erased on request"
        MANUAL = "manual", "By hand"

    address_hash = models.CharField(max_length=64, unique=True)
    suppressed = models.CharField(max_length=12, choices=Suppression, blank=True, default="")
    suppressed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.address_hash[:12]


class Consent(models.Model):
    """What somebody said about one topic, append-only. The newest row of a topic counts; no topic means all marketing."""

    class Status(models.TextChoices):
        GRANTED = "granted", "Granted"
        DENIED = "denied", "Denied"

    contact_point = models.ForeignKey(ContactPoint, on_delete=models.CASCADE, related_name="consents")
    topic = models.ForeignKey(Topic, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: all marketing.")
    status = models.CharField(max_length=8, choices=Status)
    source = models.CharField(max_length=80, help_text="Where it was said: a source's name, unsubscribe link, by hand.")
    proof = models.TextField(blank=True, help_text="What shows it: the form's text, a link, an id.")
    at = models.DateTimeField(default=now)

    class Meta:
        indexes = [
            # The newest word on each topic, asked before every marketing mail.
            models.Index(fields=["contact_point", "topic", "-at", "-id"], name="consent_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.status}: {self.topic or 'all marketing'}"
