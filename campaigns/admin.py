"""The admin of campaigns: the drafts marketers edit, and the receipts of everything that was sent or not."""

import re
from typing import Any

import msgspec
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm

from campaigns.documents import CapDoc, ReentryDoc, TriggerDoc, WindowDoc
from campaigns.models import Campaign, CampaignVersion, Click, Enrollment, Link, Message, Slot, Step
from campaigns.publishing import publish_campaign
from leads.admin.kinds import CheckedForm, DraftAdmin, DraftInline, HistoryAdmin, HistoryInline, NeverChanged, tell_problems
from leads.conditions import Place
from leads.shape import PublishError

Rows = QuerySet[Any]
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class StepForm(CheckedForm):
    """A step as typed."""

    conditions = {"when": Place.RUN}
    durations = ("after", "not_after")


class StepInline(DraftInline):
    """The steps on one line each, in the order they are dragged into. Their words have a form of their own."""

    model = Step
    form = StepForm
    collapsible = True
    ordering_field = "position"
    hide_ordering_field = True
    # The handle is drawn in the first field's cell, so the hidden one comes last.
    fields = ("words", "key", "kind", "after", "when", "not_after", "position")
    readonly_fields = ("words",)

    @display(description="What it says")  # type: ignore[untyped-decorator]
    def words(self, step: Step) -> str:
        """Its words on one line, and the way to where they are written."""
        if step.pk is None:
            return "Save first; then write it on the campaign's page."
        address = reverse("campaigns:step", args=[step.campaign.key, step.key])
        return format_html('{} <a class="text-primary-600 dark:text-primary-500" href="{}">Write and preview</a>', step.summary, address)


class VersionInline(HistoryInline):
    """What was published, newest first."""

    model = CampaignVersion
    fields = ("number", "published_by", "published_at")


def check_key(key: str) -> None:
    """Raise ValueError for a key that could not be published."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key; write letters, digits, - and _, for example API_DEEP_DIVE_SEQUENCE")


class CampaignForm(CheckedForm):
    """A campaign as typed."""

    conditions = {"audience": Place.AUDIENCE, "goal": Place.RUN, "exits": Place.RUN}

    def clean(self) -> dict[str, Any]:
        """Check the small structures as a playbook would."""
        data = super().clean()
        for name, shape in (("trigger", TriggerDoc), ("window", WindowDoc), ("cap", CapDoc)):
            self.check(name, lambda value, shape=shape: msgspec.convert(value, shape))
        self.check("key", check_key)
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
    actions = ("publish", "pause", "resume")
    actions_detail = ("publish_this",)

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> tuple[str, ...]:
        """The key stays: runs, conditions and addresses name it."""
        return (*self.readonly_fields, "key") if obj else self.readonly_fields

    def page_after(self, request: HttpRequest, obj: Model | None) -> str:
        """A new campaign leads to its own page, a deleted one to the list."""
        page = super().page_after(request, obj)
        if not page:
            return ""
        return reverse("campaigns:campaign", args=[obj.key]) if isinstance(obj, Campaign) else reverse("campaigns:list")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only drafts: what was published has runs and receipts that must stay; archive it by playbook."""
        return super().has_delete_permission(request, obj) and not (isinstance(obj, Campaign) and obj.live_id)

    @admin.action(description="Publish the drafts")
    def publish(self, request: HttpRequest, queryset: Rows) -> None:
        """Publish them one by one; tell what keeps one from it."""
        for campaign in queryset:
            publish_and_tell(self, request, campaign)

    @action(  # type: ignore[untyped-decorator]
        description="Publish the draft",
        url_path="publish",
        icon="publish",
        permissions=["change"],
        dialog={
            "title": "Publish what is saved?",
            "description": "New runs start on the new version. Runs that have begun end on theirs.",
            "form_submit_text": "Publish",
        },
    )
    def publish_this(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Publish the saved draft, or tell what keeps it from it."""
        publish_and_tell(self, request, get_object_or_404(Campaign, pk=object_id))
        return HttpResponse(headers={"HX-Redirect": reverse("admin:campaigns_campaign_change", args=[object_id])})

    @admin.action(description="Pause: nobody enters, nothing is sent")
    def pause(self, request: HttpRequest, queryset: Rows) -> None:
        """Pause those that are active."""
        paused = sum(campaign.pause() for campaign in queryset)
        self.message_user(request, f"{paused} campaign{pluralize(paused)} paused.")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: Rows) -> None:
        """Resume those that are paused and were published."""
        resumed = sum(campaign.resume() for campaign in queryset)
        self.message_user(request, f"{resumed} campaign{pluralize(resumed, ' goes,s go')} on.")


def publish_and_tell(page: ModelAdmin, request: HttpRequest, campaign: Campaign) -> None:
    """Publish a campaign's draft and say so, or say what is wrong with it."""
    try:
        version = publish_campaign(campaign, by_user=request.user)  # type: ignore[arg-type]
    except PublishError as error:
        tell_problems(page, request, error)
    else:
        page.message_user(request, f"{version} is live.")


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
