"""Campaigns between their draft (rows that people edit) and their published versions (documents that never change)."""

from collections.abc import Collection, Iterator
from typing import Any

from django.db import transaction
from django.utils import timezone

from campaigns.documents import CampaignDoc, ReentryDoc, StepDoc, TriggerDoc
from campaigns.models import Campaign, CampaignVersion, Step
from campaigns.rendering import TemplateProblem, check_template
from campaigns.windows import ScheduleError, check_cron, read_window
from leads.conditions import Place
from leads.models import Stage, Topic, User
from leads.publishing import condition_problems, duplicate_problems, replace_rows, save_changes, unknown_stage
from leads.shape import Path, Problem, PublishError, builtins, canonical, read, same, suggestion, without_blanks
from leads.zones import known

# --- draft and versions -------------------------------------------------------------------------


def draft_document(campaign: Campaign) -> dict[str, Any]:
    """The draft as an entry of a playbook, whatever people have typed into it."""
    entry = {
        "key": campaign.key,
        "name": campaign.name,
        "class": campaign.message_class,
        "topic": campaign.topic.key if campaign.topic else None,
        "trigger": campaign.trigger,
        "audience": campaign.audience,
        "reentry": campaign.reentry,
        "goal": campaign.goal,
        "exits": campaign.exits,
        "exit_on_stage": campaign.exit_on_stage,
        "window": campaign.window,
        "cap": campaign.cap,
        "timezone": campaign.timezone,
        "tracking": campaign.tracking,
        "priority": campaign.priority,
        "status": "paused" if campaign.status == Campaign.Status.PAUSED else "active",
        "steps": [step_entry(step) for step in campaign.steps.all()],
    }
    entry = {"name": "", "trigger": {}} | without_blanks(entry)
    return dict(canonical(entry, CampaignDoc))


def step_entry(step: Step) -> dict[str, Any]:
    """One step of the draft as it stands in a playbook."""
    content = {
        Step.Kind.MESSAGE: {"subject": step.subject, "body": step.body},
        Step.Kind.NOTIFY: {"text": step.text},
        Step.Kind.EXIT: {"why": step.text} if step.text else {},
    }[Step.Kind(step.kind)]
    return without_blanks({"key": step.key, "after": step.after, "when": step.when, "not_after": step.not_after}) | {step.kind: content}


def export_campaign(campaign: Campaign) -> CampaignDoc:
    """The draft as a document. Raises PublishError when people have typed something that cannot be read."""
    return read(draft_document(campaign), CampaignDoc)


@transaction.atomic
def replace_campaign(doc: CampaignDoc, *, by_user: User | None = None) -> Campaign:
    """Make the draft of the campaign with this key say what `doc` says; create it when there is none.

    The status is live at once: what runs pauses or goes on. What was never published, or was archived, waits
    as a draft (or paused) until it is published.
    """
    stamp = {"edited_at": timezone.now(), "edited_by": by_user}
    campaign = Campaign.objects.filter(key=doc.key).first() or Campaign(key=doc.key, status=Campaign.Status.DRAFT)
    save_changes(campaign, {**campaign_values(doc), "status": status_of(campaign, doc)}, stamp)
    replace_rows(campaign.steps.all(), {step.key: step_values(campaign, step, index) for index, step in enumerate(doc.steps)}, stamp)
    return campaign


@transaction.atomic
def publish_campaign(campaign: Campaign, *, by_user: User | None = None) -> CampaignVersion:
    """Publish the draft; it runs from now on, unless the campaign is paused. A draft like the live version publishes nothing.

    Runs under way end on the version they started on. Raises PublishError, naming everything that is wrong with the draft.
    """
    campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    doc = export_campaign(campaign)
    if problems := draft_problems(doc):
        raise PublishError(problems)
    document = builtins(doc)
    document.pop("status", None)
    if campaign.live is None or not same(campaign.live.document, document):
        last = campaign.versions.first()
        number = last.number + 1 if last else 1
        campaign.live = CampaignVersion.objects.create(campaign=campaign, number=number, document=document, published_by=by_user)
    if campaign.status in {Campaign.Status.DRAFT, Campaign.Status.ARCHIVED}:
        campaign.status = Campaign.Status.ACTIVE
    campaign.save(update_fields=["live", "status"])
    return campaign.live


def archive_campaigns(keys: Collection[str]) -> None:
    """Take campaigns out of use. Their runs, messages and versions stay as they are."""
    Campaign.objects.filter(key__in=keys).update(status=Campaign.Status.ARCHIVED)


def status_of(campaign: Campaign, doc: CampaignDoc) -> str:
    """The status a campaign has once its draft says what `doc` says."""
    if doc.status == "paused":
        return Campaign.Status.PAUSED
    runs = campaign.live_id is not None and campaign.status in {Campaign.Status.ACTIVE, Campaign.Status.PAUSED}
    return Campaign.Status.ACTIVE if runs else Campaign.Status.DRAFT


def campaign_values(doc: CampaignDoc) -> dict[str, Any]:
    """The columns of a campaign."""
    return {
        "name": doc.name,
        "message_class": doc.class_,
        "topic_id": Topic.objects.values_list("pk", flat=True).get(key=doc.topic) if doc.topic else None,
        "trigger": builtins(doc.trigger),
        "audience": doc.audience,
        "reentry": builtins(doc.reentry),
        "goal": doc.goal,
        "exits": doc.exits,
        "exit_on_stage": doc.exit_on_stage,
        "window": builtins(doc.window) if doc.window else {},
        "cap": builtins(doc.cap) if doc.cap else {},
        "timezone": doc.timezone or "",
        "tracking": doc.tracking,
        "priority": doc.priority,
    }


def step_values(campaign: Campaign, step: StepDoc, position: int) -> dict[str, Any]:
    """The columns of a step."""
    values = {"campaign": campaign, "after": step.after or "", "when": step.when, "not_after": step.not_after or "", "position": position}
    blank = {"subject": "", "body": "", "text": ""}
    if step.message:
        return values | blank | {"kind": Step.Kind.MESSAGE, "subject": step.message.subject, "body": step.message.body}
    if step.notify:
        return values | blank | {"kind": Step.Kind.NOTIFY, "text": step.notify.text}
    return values | blank | {"kind": Step.Kind.EXIT, "text": step.exit.why if step.exit else ""}


# --- checking -----------------------------------------------------------------------------------


def draft_problems(doc: CampaignDoc) -> list[Problem]:
    """Everything wrong with a draft among the stages, topics and campaigns there are."""
    stages = list(Stage.objects.values_list("key", flat=True))
    topics = list(Topic.objects.values_list("key", flat=True))
    campaigns = list(Campaign.objects.values_list("key", flat=True))
    return check_campaign(doc, stages=stages, topics=topics, campaigns=campaigns)


def check_campaign(doc: CampaignDoc, *, stages: Collection[str], topics: Collection[str], campaigns: Collection[str]) -> list[Problem]:
    """Everything wrong with a campaign that its types cannot see; paths begin inside the campaign."""
    problems = [
        *trigger_problems(doc.trigger, stages),
        *entry_problems(doc, topics),
        *sending_problems(doc),
        *duplicate_problems([step.key for step in doc.steps], ("steps",)),
    ]
    places = {"audience": Place.AUDIENCE, "goal": Place.RUN, "exits": Place.RUN}
    for word, place in places.items():
        problems += condition_problems(getattr(doc, word), place, (word,), stages=stages, campaigns=campaigns)
    for index, step in enumerate(doc.steps):
        path: Path = ("steps", index)
        problems += condition_problems(step.when, Place.RUN, (*path, "when"), stages=stages, campaigns=campaigns)
        problems += step_problems(step, path, marketing=doc.class_ == "marketing")
    return problems


def trigger_problems(trigger: TriggerDoc, stages: Collection[str]) -> Iterator[Problem]:
    """What is wrong with a trigger."""
    kinds = [kind for kind in ("event", "stage", "schedule", "manual") if getattr(trigger, kind)]
    if len(kinds) != 1:
        yield Problem(("trigger",), "a trigger is exactly one of event, stage, schedule, manual; for example {event: SIGNED_UP}")
    if trigger.stage and trigger.stage not in stages:
        yield Problem(("trigger", "stage"), unknown_stage(trigger.stage, stages))
    if trigger.schedule:
        try:
            check_cron(trigger.schedule)
        except ScheduleError as error:
            yield Problem(("trigger", "schedule"), str(error))
    for word in ("when", "max_age"):
        if getattr(trigger, word) and not (trigger.event or trigger.stage):
            yield Problem(("trigger", word), f"{word} goes with event or stage only; for a schedule use the campaign's audience")
    if trigger.timezone and not trigger.schedule:
        yield Problem(("trigger", "timezone"), "timezone goes with schedule only; remove it")
    yield from zone_problems(trigger.timezone, ("trigger", "timezone"))
    yield from condition_problems(trigger.when, Place.TRIGGER, ("trigger", "when"), stages=stages)


def entry_problems(doc: CampaignDoc, topics: Collection[str]) -> Iterator[Problem]:
    """What is wrong with topic and re-entry."""
    if doc.class_ == "marketing" and not doc.topic:
        yield Problem((), "a marketing campaign needs a topic people can agree to; add topic:, or class: product")
    if doc.topic and doc.topic not in topics:
        yield Problem(("topic",), f"there is no topic {doc.topic!r}{suggestion(doc.topic, list(topics), known=True)}")
    if isinstance(doc.reentry, ReentryDoc):
        if (doc.reentry.after is None) == (doc.reentry.key is None):
            yield Problem(("reentry",), "needs exactly one of after and key; write {after: 30d} or {key: event.order_id}")
        if doc.reentry.key and not doc.trigger.event:
            yield Problem(("reentry", "key"), "only a campaign triggered by an event has event properties; use {after: 30d}")


def sending_problems(doc: CampaignDoc) -> Iterator[Problem]:
    """What is wrong with window and time zone."""
    if doc.window:
        try:
            read_window(doc.window)
        except ScheduleError as error:
            yield Problem(("window",), str(error))
    yield from zone_problems(doc.timezone, ("timezone",))


def zone_problems(name: str | None, path: Path) -> Iterator[Problem]:
    """A time zone nobody knows."""
    if name and not known(name):
        yield Problem(path, f"{name!r} is not a time zone; write one like Europe/Berlin or UTC")


def step_problems(step: StepDoc, path: Path, *, marketing: bool) -> Iterator[Problem]:
    """What is wrong with what a step does."""
    if sum(action is not None for action in (step.message, step.notify, step.exit)) != 1:
        yield Problem(path, "a step does exactly one of message, notify, exit")
    if not step.message:
        return
    for word in ("subject", "body"):
        try:
            check_template(getattr(step.message, word), marketing=marketing)
        except TemplateProblem as problem:
            yield Problem((*path, "message", word), f"on its {problem}" if problem.line else str(problem))
