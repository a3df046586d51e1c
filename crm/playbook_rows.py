"""The playbook and the rows of the database: what the draft says, what is live, and making the draft say something else."""

from typing import Any

from django.utils import timezone

from campaigns.models import Campaign
from campaigns.publishing import archive_campaigns, replace_campaign
from campaigns.publishing import draft_document as campaign_document
from crm.playbook_document import PlaybookDoc
from leads.models import Reason, ScoringVersion, Stage, Topic, User, Workspace
from leads.publishing import draft_document, replace_gates, replace_rows, replace_scoring, save_changes
from leads.shape import builtins, without_blanks


def draft(workspace: Workspace) -> dict[str, Any]:
    """Every section as the rows say it, whatever people have typed into them."""
    campaigns = Campaign.objects.exclude(status=Campaign.Status.ARCHIVED).select_related("topic").prefetch_related("steps").order_by("key")
    return {
        "timezone": workspace.timezone,
        "stages": [stage_entry(stage) for stage in Stage.objects.all()],
        "reasons": [reason_entry(reason) for reason in Reason.objects.order_by("key")],
        "topics": [
            without_blanks({"key": topic.key, "name": topic.name, "description": topic.description})
            for topic in Topic.objects.order_by("key")
        ],
        "sending": workspace.sending,
        **draft_document(),
        "campaigns": [campaign_document(campaign) for campaign in campaigns],
    }


def live() -> dict[str, Any]:
    """The sections that are published, as they run."""
    version = ScoringVersion.live()
    running = Campaign.objects.filter(status__in=[Campaign.Status.ACTIVE, Campaign.Status.PAUSED], live__isnull=False)
    return {
        **(version.document if version else {}),
        "campaigns": [
            campaign.live.document | ({"status": "paused"} if campaign.status == Campaign.Status.PAUSED else {})
            for campaign in running.select_related("live").order_by("key")
            if campaign.live
        ],
    }


def stage_entry(stage: Stage) -> dict[str, Any]:
    """One stage as it stands in a playbook."""
    kind = "" if stage.kind == Stage.Kind.OPEN else stage.kind
    return without_blanks({"key": stage.key, "name": stage.name, "kind": kind, "sla": stage.sla})


def reason_entry(reason: Reason) -> dict[str, Any]:
    """One reason as it stands in a playbook."""
    wanted = "" if reason.asked_for == Reason.For.LOST else reason.asked_for
    return without_blanks(
        {"key": reason.key, "name": reason.name, "for": wanted, "recycle_after": reason.recycle_after, "to": reason.recycle_to_id}
    )


# --- writing ------------------------------------------------------------------------------------


def write(doc: PlaybookDoc, workspace: Workspace, *, by_user: User | None) -> None:
    """Make the rows of every section in `doc` say what it says. Stages and topics go last: others still name them until then."""
    stamp = {"edited_at": timezone.now(), "edited_by": by_user}
    write_workspace(doc, workspace)
    for position, stage in enumerate(doc.stages or []):
        row = Stage.objects.filter(key=stage.key).first() or Stage(key=stage.key)
        save_changes(row, {"name": stage.name, "kind": stage.kind, "sla": stage.sla or "", "position": position}, {})
    for topic in doc.topics or []:
        row_of = Topic.objects.filter(key=topic.key).first() or Topic(key=topic.key)
        save_changes(row_of, {"name": topic.name, "description": topic.description}, {})
    write_reasons(doc)
    if doc.scoring is not None:
        replace_scoring(doc.scoring, stamp)
    if doc.gates is not None:
        replace_gates(doc.gates, stamp)
    write_campaigns(doc, by_user)
    if doc.topics is not None:
        Topic.objects.exclude(key__in=[topic.key for topic in doc.topics]).delete()
    if doc.stages is not None:
        Stage.objects.exclude(key__in=[stage.key for stage in doc.stages]).delete()


def write_workspace(doc: PlaybookDoc, workspace: Workspace) -> None:
    """Time zone and sending rules."""
    if doc.timezone is not None:
        workspace.timezone = doc.timezone
    if doc.sending is not None:
        workspace.sending = builtins(doc.sending)
    workspace.save(update_fields=["timezone", "sending"])


def write_reasons(doc: PlaybookDoc) -> None:
    """The coded reasons."""
    if doc.reasons is None:
        return
    wanted = {
        reason.key: {
            "name": reason.name,
            "asked_for": reason.for_,
            "recycle_after": reason.recycle_after or "",
            "recycle_to_id": reason.to,
        }
        for reason in doc.reasons
    }
    replace_rows(Reason.objects.all(), wanted, {})


def write_campaigns(doc: PlaybookDoc, by_user: User | None) -> None:
    """The campaigns of the file; the others are archived."""
    if doc.campaigns is None:
        return
    for campaign in doc.campaigns:
        replace_campaign(campaign, by_user=by_user)
    kept = [campaign.key for campaign in doc.campaigns]
    archive_campaigns(Campaign.objects.exclude(key__in=kept).values_list("key", flat=True))
