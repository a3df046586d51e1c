"""Where events come from, the events, and what they were worth."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from leads.admin.kinds import AdminsOnly, HistoryAdmin, PartlyEditedAdmin
from leads.models import (
    BUILT_IN,
    Checkpoint,
    Delivery,
    Event,
    FoldState,
    ScoreEntry,
    SeenProperty,
    Source,
)
from leads.verdicts import judge

Rows = QuerySet[Any]


@admin.register(Source)
class SourceAdmin(AdminsOnly, PartlyEditedAdmin):
    """Keys of products and sites. A key is shown once, by `manage.py source add`; only its first letters are kept readable."""

    list_display = ("name", "scope", "key_prefix", "show_state", "last_seen_at", "created_at")
    list_filter = ("scope",)
    search_fields = ("name",)
    fields = ("name", "scope", "key_prefix", "allowed_origins", "allowed_types", "created_at", "last_seen_at", "revoked_at")
    readonly_fields = ("scope", "key_prefix", "created_at", "last_seen_at", "revoked_at")
    actions = ("revoke",)

    @display(description="State", label={"live": "success", "revoked": "danger"})  # type: ignore[untyped-decorator]
    def show_state(self, source: Source) -> str:
        """Whether its key still opens the door."""
        return "revoked" if source.revoked_at else "live"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """All but the built-in one."""
        return super().has_change_permission(request, obj) and not (isinstance(obj, Source) and obj.is_built_in)

    @admin.action(description="Revoke the keys for ever")
    def revoke(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        """Close the door for these keys; their events stay."""
        count = queryset.filter(revoked_at=None).exclude(name=BUILT_IN).update(revoked_at=timezone.now())
        self.message_user(request, f"{count} keys revoked. Requests with them are answered 401 from now on.")


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    """Accepted requests and what became of them."""

    list_display = ("receipt", "source", "door", "state", "stored", "duplicates", "attempts", "received_at")
    list_filter = ("state", "source", "door", "historical")
    list_select_related = ("source",)
    search_fields = ("receipt",)
    exclude = ("body", "claim_token", "lease_until")
    ordering = ("-pk",)
    actions = ("try_again",)

    @admin.action(description="Try again now")
    def try_again(self, request: HttpRequest, queryset: Rows) -> None:
        """Make waiting deliveries due, those that were given up as well; what a worker holds right now is left alone."""
        count = Delivery.objects.filter(pk__in=queryset.values("pk")).retry(timezone.now())
        self.message_user(request, f"{count} deliveries will be read again within seconds.")


@admin.register(Event)
class EventAdmin(HistoryAdmin):
    """Facts."""

    list_display = ("type", "lead", "source", "verdict", "at", "received_at")
    list_filter = ("verdict", "source", "historical")
    list_select_related = ("lead", "source")
    search_fields = ("type", "message_id")
    ordering = ("-pk",)
    actions = ("was_a_person", "was_a_scanner")

    @admin.action(description="A person did it: let it count")
    def was_a_person(self, request: HttpRequest, queryset: Rows) -> None:
        """Let suspect clicks count."""
        count = judge(queryset.values_list("pk", flat=True), Event.Verdict.HUMAN)
        self.message_user(request, f"{count} events count now.")

    @admin.action(description="A mail scanner did it: do not count it")
    def was_a_scanner(self, request: HttpRequest, queryset: Rows) -> None:
        """Take back what scanners brought."""
        count = judge(queryset.values_list("pk", flat=True), Event.Verdict.SUSPECT)
        self.message_user(request, f"{count} events do not count any more.")


@admin.register(ScoreEntry)
class ScoreEntryAdmin(HistoryAdmin):
    """The ledger."""

    list_display = ("__str__", "lead", "axis", "kind", "raw", "points", "reason", "version", "at")
    list_filter = ("axis", "kind")
    list_select_related = ("lead", "version")
    search_fields = ("rule",)
    ordering = ("-pk",)


@admin.register(FoldState)
class FoldStateAdmin(HistoryAdmin):
    """What the engine carries between facts; `manage.py rebuild` makes it anew. The traceback of a failed fold is here."""

    list_display = ("__str__", "lead", "version", "due_at", "error")
    list_filter = (("error", admin.EmptyFieldListFilter),)
    list_select_related = ("lead", "version")
    exclude = ("claim_token", "lease_until")


@admin.register(Checkpoint)
class CheckpointAdmin(HistoryAdmin):
    """States on the way through long histories."""

    list_display = ("__str__", "lead", "facts", "at", "version")
    list_select_related = ("lead", "version")


@admin.register(SeenProperty)
class SeenPropertyAdmin(HistoryAdmin):
    """Which properties events have had."""

    list_display = ("__str__", "kind", "examples", "last_at")
    list_filter = ("kind",)
    search_fields = ("type", "path")
