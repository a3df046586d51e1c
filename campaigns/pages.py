"""The campaigns page and the page of one campaign: how it does, what is not live, why mails were not sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from campaigns import drafts, numbers
from campaigns.models import Campaign, Step
from campaigns.numbers import Numbers
from campaigns.pausing import pause as pause_campaign
from campaigns.pausing import waiting_mails
from campaigns.publishing import draft_document
from campaigns.receipts import receipts, told
from campaigns.sentences import ASPECTS, DEFAULTS, aspect_sentence, guard_sentence, step_kind, step_summary, wait_sentence
from leads.access import marketer_page, signed_in
from leads.changes import Change, DraftMoved, DraftState
from leads.draft_forms import SeenForm
from leads.models import Topic
from leads.scoring_draft import stage_names
from leads.shape import PublishError

QUESTIONS = ("review", "discard", "pause", "resume")
ALWAYS_SHOWN = {"class", "trigger", "reentry", "exit_on_stage"}
STEPS = Prefetch("steps", Step.objects.select_related("edited_by"))
ICONS = {"message": "mail", "notify": "bell", "exit": "flag"}


class PauseForm(forms.Form):
    """What becomes of the mails that wait."""

    waiting = forms.ChoiceField(choices=[("keep", "keep"), ("cancel", "cancel")])


@dataclass(slots=True)
class Row:
    """One campaign in the list."""

    campaign: Campaign
    numbers: Numbers
    trigger: str
    changes: int

    @property
    def held_why(self) -> str:
        """Why mails wait, in words."""
        return ", ".join(told(self.numbers.held))

    @property
    def unsent_why(self) -> str:
        """Why mails were not sent, in words."""
        return ", ".join(told(self.numbers.unsent))


@dataclass(slots=True)
class Node:
    """One step in the flow picture."""

    key: str
    kind: str
    icon: str
    wait: str
    guard: str
    summary: str
    numbers: Numbers
    change: Change | None = None
    problems: list[str] = field(default_factory=list)
    is_removed: bool = False
    is_last: bool = False

    @property
    def held_why(self) -> str:
        """Why its mails wait."""
        return ", ".join(told(self.numbers.held))

    @property
    def unsent_why(self) -> str:
        """Why its mails were not sent."""
        return ", ".join(told(self.numbers.unsent))


def topic_names() -> dict[str, str]:
    """The topics as people call them."""
    return dict(Topic.objects.values_list("key", "name"))


def admin_form(address: str, *args: Any, back: str) -> str:
    """A form of the admin that leads back to `back`."""
    return f"{reverse(f'admin:campaigns_campaign_{address}', args=args)}?{urlencode({'next': back})}"


# --- all of them --------------------------------------------------------------------------------


@require_safe
@marketer_page
def campaign_list(request: HttpRequest) -> HttpResponse:
    """Every campaign with its health; archived ones folded at the foot."""
    campaigns = Campaign.objects.select_related("topic", "live", "edited_by").prefetch_related(STEPS)
    health, stages, topics = numbers.of_campaigns(timezone.now()), stage_names(), topic_names()
    rows = []
    for campaign in campaigns:
        state = drafts.state_of(campaign, list(campaign.steps.all()), stages, topics, check=False)
        trigger = aspect_sentence("trigger", campaign.live.document if campaign.live else {"trigger": campaign.trigger}, stages, topics)
        rows.append(Row(campaign, health.get(campaign.pk, Numbers()), trigger, len(state.changes) if campaign.live else 0))
    archived = [row for row in rows if row.campaign.status == Campaign.Status.ARCHIVED]
    context = {
        "rows": [row for row in rows if row not in archived],
        "archived": archived,
        "add": admin_form("add", back=reverse("campaigns:list")),
    }
    return render(request, "campaigns/list.html", context)


# --- one of them --------------------------------------------------------------------------------


def find(key: str) -> Campaign:
    """The campaign of that key, with what its page needs."""
    rows = Campaign.objects.select_related("topic", "live__published_by", "edited_by").prefetch_related(STEPS)
    return get_object_or_404(rows, key=key)


@require_safe
@marketer_page
def campaign_page(request: HttpRequest, key: str) -> HttpResponse:
    """One campaign; `?review`, `?discard`, `?pause`, `?resume` ask the question first."""
    return answer(request, find(key), asks=next((word for word in QUESTIONS if word in request.GET), ""))


def answer(request: HttpRequest, campaign: Campaign, *, asks: str, problem: str = "", status: int = 200) -> HttpResponse:
    """The page, with the question `asks` open, and what went wrong."""
    steps, stages, topics = list(campaign.steps.all()), stage_names(), topic_names()
    state = drafts.state_of(campaign, steps, stages, topics, check=True)
    document = draft_document(campaign)
    whole, of_step = numbers.of_steps(campaign)
    context: dict[str, Any] = {
        "campaign": campaign,
        "draft": state,
        "mine": state.by(signed_in(request)),
        "asks": asks if state.changes or asks in {"pause", "resume"} else "",
        "problem": problem,
        "aspects": list(aspects(document, state, stages, topics)),
        "nodes": list(nodes(campaign, document, state, stages, of_step)),
        "numbers": whole,
        "goal_at_start": of_step.get("", Numbers()).goal,
        "waiting_mails": waiting_mails(campaign) if asks in {"pause", "resume"} else 0,
        "receipts": receipts(campaign, request.GET, held=whole.held, unsent=whole.unsent),
        "slots": campaign.slots.order_by("-at")[:5] if "schedule" in document.get("trigger", {}) else [],
        "edit": admin_form("change", campaign.pk, back=reverse("campaigns:campaign", args=[campaign.key])),
    }
    return render(request, "campaigns/campaign.html", context, status=status)


def aspects(document: drafts.Document, state: DraftState, stages: Any, topics: Any) -> Iterator[dict[str, Any]]:
    """What the draft says besides its steps: only what says something, or differs from what is live."""
    for aspect, title in ASPECTS.items():
        change = state.change_of(aspect) if state.is_live else None
        sentence = aspect_sentence(aspect, document, stages, topics)
        says_something = document.get(aspect, DEFAULTS.get(aspect)) != DEFAULTS.get(aspect) or aspect in ALWAYS_SHOWN
        if aspect != "name" and (says_something or change):
            yield {"key": aspect, "title": title, "sentence": sentence or "none", "change": change, "problems": state.problems.get(aspect)}


def nodes(campaign: Campaign, document: drafts.Document, state: DraftState, stages: Any, of_step: dict[str, Numbers]) -> Iterator[Node]:
    """The steps of the draft in their order, then what the draft has taken out."""
    present = document.get("steps", [])
    keys = {step["key"] for step in present}
    live = campaign.live.document.get("steps", []) if campaign.live else []
    gone = [step for step in live if step["key"] not in keys]
    for index, step in enumerate([*present, *gone]):
        anchor, kind = f"step-{step['key']}", step_kind(step)
        yield Node(
            step["key"],
            kind,
            ICONS[kind],
            wait_sentence(step, first=index == 0),
            guard_sentence(step, stages),
            step_summary(step),
            of_step.get(step["key"], Numbers()),
            state.change_of(anchor) if state.is_live else None,
            state.problems.get(anchor, []),
            is_removed=step in gone,
            is_last=index == len(present) - 1,
        )


@require_POST
@marketer_page
def publish(request: HttpRequest, key: str) -> HttpResponse:
    """Publish the draft that was looked at."""
    campaign, form = find(key), SeenForm(request.POST)
    try:
        version = drafts.publish_draft(campaign, form.cleaned_data["seen"] if form.is_valid() else "", by_user=signed_in(request))
    except DraftMoved as error:
        return answer(request, campaign, asks="review", problem=str(error), status=422)
    except PublishError:
        return answer(request, campaign, asks="review", problem="Not published; what is wrong stands below.", status=422)
    campaign.refresh_from_db()
    paused = " It is paused: nothing happens until you resume it." if campaign.status == Campaign.Status.PAUSED else ""
    messages.success(request, f"{version} is live. Runs under way end on the version they began with.{paused}")
    return redirect("campaigns:campaign", key=campaign.key)


@require_POST
@marketer_page
def discard(request: HttpRequest, key: str) -> HttpResponse:
    """Make the draft say again what is live."""
    campaign, form = find(key), SeenForm(request.POST)
    try:
        drafts.discard_draft(campaign, form.cleaned_data["seen"] if form.is_valid() else "", by_user=signed_in(request))
    except DraftMoved as error:
        return answer(request, campaign, asks="discard", problem=str(error), status=422)
    except PublishError as error:
        return answer(request, campaign, asks="discard", problem=f"Not discarded: {error.problems[0].message}.", status=422)
    messages.success(request, f"Discarded. The draft says again what is live: {campaign.live}.")
    return redirect("campaigns:campaign", key=campaign.key)


@require_POST
@marketer_page
def pause(request: HttpRequest, key: str) -> HttpResponse:
    """Stop entries and sending; mails that wait are kept or canceled, as chosen."""
    campaign, form = find(key), PauseForm(request.POST)
    if not form.is_valid():
        return answer(request, campaign, asks="pause", problem="Choose what becomes of the mails that wait.", status=422)
    cancel = f"canceled by {signed_in(request)} when pausing" if form.cleaned_data["waiting"] == "cancel" else ""
    if pause_campaign(campaign, cancel=cancel):
        messages.success(request, f"{campaign} is paused. Nobody enters and nothing is sent until somebody resumes it.")
    else:
        messages.info(request, f"{campaign} was not active, so there was nothing to pause.")
    return redirect("campaigns:campaign", key=campaign.key)


@require_POST
@marketer_page
def resume(request: HttpRequest, key: str) -> HttpResponse:
    """Go on."""
    campaign = find(key)
    if campaign.resume():
        messages.success(request, f"{campaign} goes on.")
    else:
        messages.info(request, f"{campaign} was not paused, or never published.")
    return redirect("campaigns:campaign", key=campaign.key)
