"""The scoring model as a draft, stages, gates and moves."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from leads.admin.kinds import CheckedForm, DraftAdmin, EditedAdmin, HistoryAdmin, tell_problems
from leads.conditions import Place
from leads.models import (
    DerivedType,
    Draft,
    Exclusion,
    FitRule,
    Gate,
    IdleRule,
    Notification,
    Reason,
    Rescore,
    ScoringLimits,
    ScoringRule,
    ScoringVersion,
    Stage,
    Task,
    Transition,
    WhatIf,
)
from leads.publishing import publish
from leads.scoring_draft import foresee
from leads.shape import PublishError
from leads.stage_uses import why_it_stays

Rows = QuerySet[Any]


class PublishForm(BaseDialogForm):  # type: ignore[misc]
    """What is asked before publishing."""

    note = forms.CharField(
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text="What changed, for those who read the list of versions, for example: Pricing views count more.",
    )


class ModelPartAdmin(DraftAdmin):
    """A part of the scoring model. All parts are published together."""

    actions_list = ("publish_draft",)

    @action(  # type: ignore[untyped-decorator]
        description="Publish the draft",
        url_path="publish-draft",
        icon="publish",
        permissions=["change"],
        dialog={
            "title": "Publish rules, fit, limits, derived types and gates?",
            "description": "Events that arrive from now on are scored by the new version. Points already given stay; "
            "to score the past anew, publish on the Scoring page.",
            "form_class": PublishForm,
            "form_submit_text": "Publish",
        },
    )
    def publish_draft(self, request: HttpRequest, form: PublishForm) -> HttpResponse:
        """Publish the draft for the future, or name what is wrong with it; what moves very many leads is asked on /scoring/."""
        try:
            if foresee(history=False).asks:
                self.message_user(request, "Not published yet: very many leads would move. Look at it here.", messages.WARNING)
                return HttpResponse(headers={"HX-Redirect": f"{reverse('leads:scoring')}?review#draft"})
            version = publish(by_user=request.user, note=form.cleaned_data["note"])  # type: ignore[arg-type]
        except PublishError as error:
            tell_problems(self, request, error)
        else:
            self.message_user(request, f"{version} is live.")
        return HttpResponse(headers={"HX-Redirect": reverse(f"admin:leads_{self.opts.model_name}_changelist")})


class RuleForm(CheckedForm):
    """A scoring rule as typed."""

    conditions = {"when": Place.RULE}
    durations = ("expires_after",)
    event_types = ("event",)


@admin.register(ScoringRule)
class ScoringRuleAdmin(ModelPartAdmin):
    """Draft: what events are worth."""

    form = RuleForm
    list_display = ("name", "event", "points", "limit_times", "limit_per", "expires_after", "edited_by", "edited_at")
    search_fields = ("key", "name", "event")
    fieldsets = (
        (None, {"fields": ("name", "key", "event", "when", "points", "reset")}),
        ("Limits", {"fields": ("limit_times", "limit_per", "limit_days", "expires_after")}),
        ("Last edit", {"fields": ("edited_by", "edited_at")}),
    )


class FitForm(CheckedForm):
    """A fit rule as typed."""

    conditions = {"when": Place.FIT}


@admin.register(FitRule)
class FitRuleAdmin(ModelPartAdmin):
    """Draft: what it is worth who somebody is."""

    form = FitForm
    list_display = ("name", "points", "when", "edited_by", "edited_at")
    search_fields = ("key", "name")


class IdleForm(CheckedForm):
    """An idle rule as typed."""

    durations = ("after", "every")


@admin.register(IdleRule)
class IdleRuleAdmin(ModelPartAdmin):
    """Draft: what it is worth when somebody does nothing."""

    form = IdleForm
    list_display = ("name", "after", "every", "points", "edited_by", "edited_at")
    search_fields = ("key", "name")


class ExclusionForm(CheckedForm):
    """Whom nothing counts for, as typed."""

    conditions = {"conditions": Place.EXCLUDE}


class SingleRowAdmin(ModelPartAdmin):
    """A part of the model of which there is one row."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only as long as there is none."""
        return super().has_add_permission(request, obj) and not self.model._default_manager.exists()

    def save_model(self, request: HttpRequest, obj: Draft, form: Any, change: Any) -> None:
        """Keep it the one row."""
        obj.pk = 1
        super().save_model(request, obj, form, change)


@admin.register(Exclusion)
class ExclusionAdmin(SingleRowAdmin):
    """Draft: whom nothing counts for."""

    form = ExclusionForm
    list_display = ("__str__", "conditions", "edited_by", "edited_at")


class DerivedTypeForm(CheckedForm):
    """A derived type as typed."""

    conditions = {"when": Place.EVENT}
    event_types = ("source_type", "derived_type")


@admin.register(DerivedType)
class DerivedTypeAdmin(ModelPartAdmin):
    """Draft: second types of events."""

    form = DerivedTypeForm
    list_display = ("source_type", "derived_type", "when", "edited_by", "edited_at")
    search_fields = ("source_type", "derived_type")


@admin.register(ScoringLimits)
class ScoringLimitsAdmin(SingleRowAdmin):
    """Draft: the bounds of both axes."""

    list_display = ("__str__", "fit_min", "fit_max", "engagement_max", "stop_above", "floor", "edited_by", "edited_at")


@admin.register(ScoringVersion)
class ScoringVersionAdmin(HistoryAdmin):
    """Published models; the highest number is live."""

    list_display = ("__str__", "note", "published_by", "published_at")
    list_select_related = ("published_by",)


@admin.register(Rescore)
class RescoreAdmin(HistoryAdmin):
    """What publications left to do."""

    list_display = ("__str__", "history", "state", "changed", "moved", "created_at", "done_at")
    list_filter = ("state", "history")
    list_select_related = ("version",)
    exclude = ("claim_token", "lease_until")


@admin.register(WhatIf)
class WhatIfAdmin(HistoryAdmin):
    """Models tried out: compared with the live one, or who would pass their gates."""

    list_display = ("__str__", "state", "by_user", "created_at", "done_at")
    list_filter = ("kind", "state")
    list_select_related = ("by_user",)
    exclude = ("claim_token", "lease_until")


class StageForm(CheckedForm):
    """A stage as typed."""

    durations = ("sla",)


@admin.register(Stage)
class StageAdmin(EditedAdmin):
    """The states of the machine; names and SLA are live at once."""

    form = StageForm
    list_display = ("name", "key", "kind", "sla", "position")
    search_fields = ("name", "key")
    ordering_field = "position"
    hide_ordering_field = True

    def get_readonly_fields(self, request: HttpRequest, obj: Stage | None = None) -> tuple[str, ...]:
        """The key of a stage stays: gates, campaigns and past moves name it."""
        return ("key",) if obj else ()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """What would go along; a stage that is needed stays, and the page says why."""
        reasons = [reason for stage in objs if (reason := why_it_stays(stage))]
        return ([], {}, set(), reasons) if reasons else super().get_deleted_objects(objs, request)


class ReasonForm(CheckedForm):
    """A reason as typed."""

    durations = ("recycle_after",)


@admin.register(Reason)
class ReasonAdmin(EditedAdmin):
    """Coded reasons for moves by hand."""

    form = ReasonForm
    list_display = ("name", "key", "asked_for", "recycle_after", "recycle_to")
    list_filter = ("asked_for",)
    list_select_related = ("recycle_to",)
    search_fields = ("name", "key")
    autocomplete_fields = ("recycle_to",)


class GateForm(CheckedForm):
    """A gate as typed."""

    conditions = {"conditions": Place.GATE}


@admin.register(Gate)
class GateAdmin(ModelPartAdmin):
    """Draft: what moves a lead from stage to stage."""

    form = GateForm
    list_display = ("__str__", "key", "show_from", "to", "match", "edited_by", "edited_at")
    list_select_related = ("to", "edited_by")
    search_fields = ("key", "name")
    autocomplete_fields = ("from_stages", "to")

    def get_queryset(self, request: HttpRequest) -> Rows:
        """With the stages they lead out of."""
        rows: Rows = super().get_queryset(request)
        return rows.prefetch_related("from_stages")

    @display(description="From")  # type: ignore[untyped-decorator]
    def show_from(self, gate: Gate) -> str:
        """The stages it leads out of."""
        return ", ".join(stage.name for stage in gate.from_stages.all())


@admin.register(Transition)
class TransitionAdmin(HistoryAdmin):
    """Every move."""

    list_display = ("__str__", "lead", "gate", "actor", "reason", "at", "recorded_at")
    list_filter = ("to_stage", "historical")
    list_select_related = ("lead", "actor", "reason")
    search_fields = ("gate",)
    ordering = ("-pk",)


@admin.register(Task)
class TaskAdmin(EditedAdmin):
    """What sales has to do."""

    list_display = ("title", "lead", "kind", "owner", "due_at", "done_at")
    list_filter = ("kind", "owner", ("done_at", admin.EmptyFieldListFilter))
    list_select_related = ("lead", "owner")
    search_fields = ("title",)
    autocomplete_fields = ("lead", "company", "owner", "colleagues")
    readonly_fields = ("kind", "transition", "created_at")


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    """What colleagues were told."""

    list_display = ("title", "user", "channel", "state", "attempts", "created_at", "sent_at")
    list_filter = ("channel", "state")
    list_select_related = ("user",)
    exclude = ("claim_token", "lease_until")
    ordering = ("-pk",)
