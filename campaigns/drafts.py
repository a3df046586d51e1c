"""A campaign's draft beside what is live: what differs in words, who changed it, what is wrong with it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from django.db import transaction
from django.utils import timezone

from campaigns.documents import CampaignDoc
from campaigns.models import Campaign, CampaignVersion, Step
from campaigns.publishing import draft_document, draft_problems, publish_campaign, replace_campaign
from campaigns.sentences import ASPECTS, DEFAULTS, aspect_sentence, step_sentence
from leads.changes import Author, Change, DraftMoved, DraftState, Unit, author_of, compare, fingerprint, reordered, sign
from leads.draft_entries import move_row
from leads.model_words import Stages
from leads.models import Topic, User
from leads.shape import Path, Problem, PublishError, read

Document = dict[str, Any]
Topics = Mapping[str, str]
TOPIC_GONE = "the topic {} of the live version does not exist any more; publish the draft instead"


def state_of(campaign: Campaign, steps: list[Step], stages: Stages, topics: Topics, *, check: bool) -> DraftState:
    """How the draft differs from what is live, whose changes they are, and (with `check`) what is wrong with it."""
    document = draft_document(campaign)
    live = campaign.live.document if campaign.live else {}
    changes = sign(differences(live, document, stages, topics), authors(campaign, steps))
    problems = problems_of(document) if check and changes else {}
    return DraftState(changes, seen_of(campaign, document), problems, is_live=campaign.live is not None)


def seen_of(campaign: Campaign, document: Document) -> str:
    """The fingerprint of a draft and of what it is compared with."""
    return fingerprint({**document, "status": ""}, campaign.live_id)


def differences(was: Document, now: Document, stages: Stages, topics: Topics) -> list[Change]:
    """What changes from one document to another, in words."""
    before, after = (units(document, stages, topics) if document else [] for document in (was, now))
    order = {key: [f"step-{step['key']}" for step in document.get("steps", [])] for key, document in (("was", was), ("now", now))}
    names = {unit.anchor: unit.title for unit in (*before, *after)}
    return [*compare(before, after), *reordered("steps", "Order of the steps", order["was"], order["now"], names)]


def units(document: Document, stages: Stages, topics: Topics) -> list[Unit]:
    """The aspects of a campaign that say something, and its steps."""
    found = [
        Unit(aspect, title, document.get(aspect, DEFAULTS.get(aspect)), aspect_sentence(aspect, document, stages, topics) or "none")
        for aspect, title in ASPECTS.items()
    ]
    for step in document.get("steps", []):
        found.append(Unit(f"step-{step['key']}", f"Step {step['key']}", step, step_sentence(step, stages)))
    return found


def authors(campaign: Campaign, steps: list[Step]) -> dict[str, Author]:
    """Who touched what last; a step that is gone was taken out by whoever changed the campaign last."""
    own = author_of(campaign)
    known = dict.fromkeys(ASPECTS, own) | {f"step-{step.key}": author_of(step) for step in steps}
    if steps:
        known["steps"] = author_of(*steps)
    live = campaign.live.document.get("steps", []) if campaign.live else []
    return {f"step-{step['key']}": own for step in live} | known


def problems_of(document: Document) -> dict[str, list[str]]:
    """What keeps the draft from being published, by the place it concerns."""
    try:
        problems = draft_problems(read(document, CampaignDoc))
    except PublishError as error:
        problems = error.problems
    found: dict[str, list[str]] = {}
    for problem in problems:
        anchor, word = place_of(problem.path, document)
        found.setdefault(anchor, []).append(told(word, problem.message))
    return found


def told(word: str, message: str) -> str:
    """A problem with the field it concerns."""
    if word and message.startswith("''"):
        return f"The {word} is empty; write one"
    return f"{word}: {message}" if word else message


def place_of(path: Path, document: Document) -> tuple[str, str]:
    """The anchor a problem's path leads to, and the field inside it."""
    if len(path) > 1 and path[0] == "steps" and isinstance(path[1], int):
        inside = [str(step) for step in path[2:] if isinstance(step, str) and step not in {"message", "notify", "exit"}]
        return f"step-{document['steps'][path[1]].get('key', '')}", inside[0].replace("_", " ") if inside else ""
    return (str(path[0]), "") if path and path[0] in ASPECTS else ("", "")


# --- publish and discard ------------------------------------------------------------------------


def publish_draft(campaign: Campaign, seen: str, *, by_user: User) -> CampaignVersion:
    """Publish the draft somebody has looked at. Raises DraftMoved, PublishError."""
    with transaction.atomic():
        return publish_campaign(lock_seen(campaign, seen), by_user=by_user)


def discard_draft(campaign: Campaign, seen: str, *, by_user: User) -> None:
    """Make the draft say again what is live; the status stays. Raises DraftMoved, PublishError."""
    with transaction.atomic():
        locked = lock_seen(campaign, seen)
        if locked.live is None:
            raise PublishError([Problem((), "nothing was published yet, so there is nothing to go back to")])
        doc = msgspec.convert(locked.live.document, CampaignDoc)
        if doc.topic and not Topic.objects.filter(key=doc.topic).exists():
            raise PublishError([Problem((), TOPIC_GONE.format(doc.topic))])
        doc.status = "paused" if locked.status == Campaign.Status.PAUSED else "active"
        replace_campaign(doc, by_user=by_user)


def lock_seen(campaign: Campaign, seen: str) -> Campaign:
    """The campaign, locked, if its draft is still the one that was looked at. Raises DraftMoved."""
    locked = Campaign.objects.select_for_update(no_key=True, of=("self",)).select_related("live", "topic").get(pk=campaign.pk)
    if seen_of(locked, draft_document(locked)) != seen:
        raise DraftMoved
    return locked


@transaction.atomic
def move_step(campaign: Campaign, key: str, *, by: int, by_user: User) -> bool:
    """Move a step of the draft `by` places (−1: earlier, 1: later), signed. Tells whether it moved."""
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
    steps = list(campaign.steps.order_by("position", "pk"))
    moved = next((step for step in steps if step.key == key), None)
    return moved is not None and move_row(steps, moved.pk, by=by, by_user=by_user)


def save_content(step: Step, *, by_user: User, **content: str) -> None:
    """Write the words of a step into the draft, signed, if they changed."""
    if all(getattr(step, name) == value for name, value in content.items()):
        return
    for name, value in content.items():
        setattr(step, name, value)
    step.edited_by, step.edited_at = by_user, timezone.now()
    step.save(update_fields=[*content, "edited_by", "edited_at"])
