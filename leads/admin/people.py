"""People, firms, and what they agreed to hear about."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from leads.admin.kinds import EditedAdmin, HistoryAdmin, HistoryInline, PartlyEditedAdmin
from leads.models import (
    Company,
    Consent,
    ContactPoint,
    Identity,
    Lead,
    LeadSearch,
    Merge,
    MergeReview,
    Topic,
    Transition,
    hash_address,
)

Rows = QuerySet[Any]


class IdentityInline(HistoryInline):
    """The keys a lead is known by."""

    model = Identity
    fk_name = "lead"
    fields = ("kind", "value", "created_at")


class TransitionInline(HistoryInline):
    """How a lead moved."""

    model = Transition
    fields = ("from_stage", "to_stage", "gate", "actor", "reason", "note", "at")
    ordering = ("-seq",)


@admin.register(Lead)
class LeadAdmin(PartlyEditedAdmin):
    """People and visitors. Facts come from events, points from the ledger, the stage from gates; staff set owner and value."""

    list_display = ("__str__", "company", "title", "stage", "score", "owner", "last_event_at")
    list_filter = ("stage", "is_known", "excluded", "owner")
    list_select_related = ("company", "stage", "owner")
    search_fields = ("search__text",)
    search_help_text = "Name, address, phone or company"
    autocomplete_fields = ("owner",)
    ordering = ("-score", "-pk")
    show_full_result_count = False
    inlines = (IdentityInline, TransitionInline)
    fieldsets = (
        ("For sales", {"fields": ("owner", "value", "currency", "conversation_until")}),
        ("Standing", {"fields": ("stage", "stage_since", "score", "engagement", "fit", "is_known", "excluded", "former_owner")}),
        (
            "Person",
            {"fields": ("name", "email", "unconfirmed_email", "phone", "title", "country", "timezone", "company", "traits")},
        ),
        ("Record", {"fields": ("uid", "first_source", "first_seen_at", "last_event_at", "last_event_type", "merged_into")}),
    )
    readonly_fields = (
        *("stage", "stage_since", "score", "engagement", "fit", "is_known", "excluded", "former_owner"),
        *("name", "email", "unconfirmed_email", "phone", "title", "country", "timezone", "company", "traits"),
        *("uid", "first_source", "first_seen_at", "last_event_at", "last_event_type", "merged_into"),
    )


@admin.register(LeadSearch)
class LeadSearchAdmin(HistoryAdmin):
    """What leads are found by."""

    list_display = ("lead", "text")
    list_select_related = ("lead",)


@admin.register(Company)
class CompanyAdmin(PartlyEditedAdmin):
    """Firms. Name, domain and traits come from events; staff set owner and value."""

    list_display = ("name", "domain", "owner", "value", "currency")
    list_filter = ("owner",)
    list_select_related = ("owner",)
    search_fields = ("name", "domain")
    autocomplete_fields = ("owner",)
    ordering = ("name",)
    fields = ("owner", "value", "currency", "name", "domain", "external_id", "traits", "created_at")
    readonly_fields = ("name", "domain", "external_id", "traits", "created_at")


@admin.register(Identity)
class IdentityAdmin(HistoryAdmin):
    """The keys people are known by."""

    list_display = ("value", "kind", "lead", "created_at")
    list_filter = ("kind",)
    list_select_related = ("lead",)
    search_fields = ("value",)


@admin.register(Merge)
class MergeAdmin(HistoryAdmin):
    """Leads that turned out to be one person."""

    list_display = ("__str__", "why", "by_user", "at", "undone_by", "undone_at")
    list_filter = (("undone_at", admin.EmptyFieldListFilter),)
    list_select_related = ("absorbed", "survivor", "by_user", "undone_by")
    ordering = ("-pk",)


@admin.register(MergeReview)
class MergeReviewAdmin(HistoryAdmin):
    """Pairs that may be one person."""

    list_display = ("__str__", "why", "state", "created_at", "decided_by", "decided_at")
    list_filter = ("state",)
    list_select_related = ("low", "high", "decided_by")


@admin.register(Topic)
class TopicAdmin(EditedAdmin):
    """What people can agree to hear about."""

    list_display = ("name", "key", "description")
    search_fields = ("name", "key")


class ConsentInline(HistoryInline):
    """What the owner of an address said, newest first."""

    model = Consent
    fields = ("status", "topic", "source", "proof", "at")
    ordering = ("-at", "-pk")


@admin.register(ContactPoint)
class ContactPointAdmin(HistoryAdmin):
    """Addresses by their hash, with suppression and consent. Found by the whole address, which is not kept here."""

    list_display = ("__str__", "suppressed", "suppressed_at")
    list_filter = ("suppressed",)
    search_fields = ("address_hash",)
    search_help_text = "A whole mail address"
    inlines = (ConsentInline,)

    def get_search_results(self, request: HttpRequest, queryset: Rows, search_term: str) -> tuple[Rows, bool]:
        """Look for the hash of what was typed."""
        term = hash_address(search_term) if "@" in search_term else search_term
        found: tuple[Rows, bool] = super().get_search_results(request, queryset, term)
        return found


@admin.register(Consent)
class ConsentAdmin(HistoryAdmin):
    """Every word on every topic."""

    list_display = ("contact_point", "status", "topic", "source", "at")
    list_filter = ("status", "topic")
    list_select_related = ("contact_point", "topic")
    ordering = ("-at", "-pk")
