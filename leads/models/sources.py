"""Where events come from, and the inbox they wait in."""

import hashlib
import secrets
import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from leads.models.claims import Claimable, ClaimableQuerySet

BUILT_IN = "leadstate"
# Public by nature, a browser key may be in anybody's hands: these types move money or contracts.
TRUSTED_PREFIXES = ("CONTRACT_SIGNED", "PAYMENT_", "SUBSCRIPTION_")


def digest_key(key: str) -> str:
    """The form in which a key is stored: its SHA-256 in hex (keys are random, so no salt is needed)."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Source(models.Model):
    """A key that may post events or read leads. The source `leadstate` is the product itself and has no key."""

    class Scope(models.TextChoices):
        SERVER = "server", "Server (posts events, trusted)"
        BROWSER = "browser", "Browser (posts events, public)"
        READ = "read", "Read (reads leads)"

    name = models.CharField(max_length=80, unique=True)
    scope = models.CharField(max_length=10, choices=Scope, default=Scope.SERVER)
    key_digest = models.CharField(max_length=64, unique=True, null=True, editable=False)
    key_prefix = models.CharField(max_length=12, blank=True, editable=False, help_text="The key's first characters, to tell keys apart.")
    allowed_origins = models.JSONField(
        default=list,
        blank=True,
        help_text='For browser keys: the sites that may post, for example ["https://www.example.com"]. Empty: any.',
    )
    allowed_types = models.JSONField(
        default=list,
        blank=True,
        help_text='For browser keys: trusted event types this key may send all the same, for example ["PAYMENT_SUCCEEDED"].',
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_built_in(self) -> bool:
        """Whether this is the product itself."""
        return self.name == BUILT_IN

    @classmethod
    def built_in(cls) -> "Source":
        """The source of facts the product records itself: clicks, staff edits, hand moves."""
        return cls.objects.get(name=BUILT_IN)

    @classmethod
    def create_with_key(cls, name: str, scope: str) -> tuple["Source", str]:
        """Make a source and its key. The key is returned once; only its digest is kept."""
        key = {"server": "lss_", "browser": "lsb_", "read": "lsr_"}[scope] + secrets.token_urlsafe(24)
        source = cls.objects.create(name=name, scope=scope, key_digest=digest_key(key), key_prefix=key[:8])
        return source, key

    def may_send(self, event_type: str) -> bool:
        """Whether this key may send events of `event_type` (already normalized)."""
        if self.scope == self.Scope.SERVER:
            return True
        return not event_type.startswith(TRUSTED_PREFIXES) or event_type in self.allowed_types


class DeliveryQuerySet(ClaimableQuerySet["Delivery"]):
    """Words for the inbox."""

    def waiting(self) -> Self:
        """Not yet processed, whether due or not."""
        return self.filter(state__in=[Delivery.State.PENDING, Delivery.State.FAILED])

    def due(self, at: datetime) -> Self:
        """Waiting, and due at `at`; oldest first."""
        return self.waiting().filter(due_at__lte=at).order_by("due_at", "pk")

    def retry(self, at: datetime) -> int:
        """Make waiting ones due at `at`, also those given up; what a worker holds right now is left alone. Returns how many."""
        waiting = self.waiting()
        free = waiting.filter(Q(claim_token=None) | Q(pk__in=waiting.stuck().values("pk")))
        return free.update(due_at=at, **Delivery.released())


class Delivery(Claimable):
    """One accepted request, stored raw before the answer goes out: the inbox row, and the sender's receipt."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        PROCESSED = "processed", "Processed"
        FAILED = "failed", "Failed, will be tried again"

    class Door(models.TextChoices):
        """The endpoint that took it: it decides how the body is read."""

        EVENTS = "events", "/api/events"
        NDJSON = "ndjson", "/api/events, a message each line"
        TRACK = "track", "/v1/track"
        IDENTIFY = "identify", "/v1/identify"
        PAGE = "page", "/v1/page"
        SCREEN = "screen", "/v1/screen"
        GROUP = "group", "/v1/group"
        ALIAS = "alias", "/v1/alias"
        BATCH = "batch", "/v1/batch"
        IMPORT = "import", "/v1/import"
        INTERNAL = "internal", "Leadstate itself"

    receipt = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="deliveries")
    door = models.CharField(max_length=10, choices=Door)
    historical = models.BooleanField(default=False, help_text="Points, owner and task, but no mail and no chat.")
    body = models.BinaryField(default=b"", help_text="As received, after gunzip; emptied 7 days after processing.")
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    body_digest = models.CharField(max_length=64, blank=True)
    message_count = models.PositiveIntegerField(default=1, help_text="Messages accepted; the drain sizes its groups by it.")
    message_ids = models.JSONField(default=list, help_text="Ids of the accepted messages, in order.")
    rejected = models.JSONField(default=list, help_text="[{index, messageId, code, message}], at accept and at drain.")
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    stored = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    received_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[DeliveryQuerySet] = DeliveryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "idempotency_key"], condition=Q(idempotency_key__isnull=False), name="delivery_idempotency_key"
            ),
        ]
        indexes = [
            # drain_inbox: the next due deliveries. Only the few waiting rows are in it.
            models.Index(fields=["due_at", "id"], condition=Q(state__in=["pending", "failed"]), name="delivery_waiting"),
            # The backlog limit, and a source's live tail.
            models.Index(fields=["source", "-id"], name="delivery_of_source"),
            # housekeeping: bodies to empty and receipts to delete.
            models.Index(fields=["processed_at"], condition=Q(state="processed"), name="delivery_processed"),
        ]

    def __str__(self) -> str:
        return str(self.receipt)
