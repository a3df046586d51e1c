"""The admin of campaigns: the drafts marketers edit, and the receipts of everything that was sent or not."""

from typing import Any

import msgspec
from django.contrib import admin
from unfold.admin import TabularInline

from campaigns.documents import CapDoc, ReentryDoc, TriggerDoc, WindowDoc
from campaigns.models import Campaign, CampaignVersion, Click, Enrollment, Link, Message, Slot, Step
from leads.admin.kinds import CheckedForm, DraftAdmin, DraftInline, HistoryAdmin, HistoryInline, NeverChanged
from leads.conditions import Place


class StepForm(CheckedForm):
    """A step as typed."""

    conditions = {"when": Place.RUN}
    durations = ("after", "not_after")


class StepInline(DraftInline):
    """The steps, in the order they are dragged into."""

    model = Step
    form = StepForm
    ordering_field = "position"
    hide_ordering_field = True
    # The handle is drawn in the first field's cell, so the hidden one comes last.
    fields = ("key", "kind", "after", "when", "not_after", "subject", "body", "text", "position")


class VersionInline(HistoryInline):
    """What was published, newest first."""

    model = CampaignVersion
    fields = ("number", "published_by", "published_at")


class CampaignForm(CheckedForm):
    """A campaign as typed."""

    conditions = {"audience": Place.AUDIENCE, "goal": Place.RUN, "exits": Place.RUN}

    def clean(self) -> dict[str, Any]:
        """Check the small structures as a playbook would."""
        data = super().clean()
        for name, shape in (("trigger", TriggerDoc), ("window", WindowDoc), ("cap", CapDoc)):
            self.check(name, lambda value, shape=shape: msgspec.convert(value, shape))
        if data.get("reentry") not in ("once", "always"):
            self.check("reentry", lambda value: msgspec.convert(value, ReentryDoc))
        return data


@admin.register(Campaign)
class CampaignAdmin(DraftAdmin):
    """Campaigns. Editing changes the draft only; runs that have begun stay on the version they began with."""

    form = CampaignForm
    list_display = ("name", "key", "message_class", "topic", "status", "live", "edited_by", "edited_at")
    list_filter = ("status", "message_class", "topic")
    list_select_related = ("topic", "live__campaign", "edited_by")
    search_fields = ("name", "key")
    autocomplete_fields = ("topic",)
    inlines = (StepInline, VersionInline)
    fieldsets = (
        (None, {"fields": ("name", "key", "message_class", "topic", "status", "live")}),
        ("Who enters", {"fields": ("trigger", "audience", "reentry")}),
        ("Who leaves", {"fields": ("goal", "exits", "exit_on_stage")}),
        ("Sending", {"fields": ("window", "cap", "timezone", "tracking", "priority")}),
        ("Last edit", {"fields": ("edited_by", "edited_at")}),
    )
    readonly_fields = ("status", "live", "edited_by", "edited_at")


@admin.register(CampaignVersion)
class CampaignVersionAdmin(HistoryAdmin):
    """Published campaigns."""

    list_display = ("__str__", "published_by", "published_at")
    list_filter = ("campaign",)
    list_select_related = ("campaign", "published_by")


@admin.register(Slot)
class SlotAdmin(HistoryAdmin):
    """Firings of scheduled campaigns."""

    list_display = ("campaign", "at", "state", "enrolled", "refused")
    list_filter = ("state", "campaign")
    list_select_related = ("campaign",)
    exclude = ("claim_token", "lease_until")
    ordering = ("-at",)


class MessageInline(HistoryInline):
    """What was sent in a run."""

    model = Message
    fields = ("step", "state", "reason", "subject", "due_at", "sent_at")


@admin.register(Enrollment)
class EnrollmentAdmin(HistoryAdmin):
    """Runs of leads through campaigns, refused ones with their reason."""

    list_display = ("lead", "campaign", "state", "reason", "next_step", "due_at", "started_at")
    list_filter = ("state", "campaign")
    list_select_related = ("lead", "campaign")
    search_fields = ("lead__search__text",)
    exclude = ("claim_token", "lease_until")
    ordering = ("-pk",)
    inlines = (MessageInline,)


class LinkInline(NeverChanged, TabularInline):  # type: ignore[misc]
    """The links of a mail."""

    model = Link
    extra = 0


@admin.register(Message)
class MessageAdmin(HistoryAdmin):
    """Mail, and the receipt of mail that was not sent."""

    list_display = ("__str__", "lead", "state", "reason", "due_at", "sent_at")
    list_filter = ("state", "kind", "enrollment__campaign")
    list_select_related = ("lead",)
    search_fields = ("to", "subject")
    exclude = ("claim_token", "lease_until")
    ordering = ("-pk",)
    inlines = (LinkInline,)


@admin.register(Link)
class LinkAdmin(HistoryAdmin):
    """Links in mails."""

    list_display = ("url", "message", "position")
    list_select_related = ("message",)
    search_fields = ("url",)


@admin.register(Click)
class ClickAdmin(HistoryAdmin):
    """Fetches of links, by people and by mail scanners."""

    list_display = ("link", "message", "method", "at")
    list_select_related = ("link", "message")
    ordering = ("-pk",)
