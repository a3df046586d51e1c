"""The playbook: everything staff can edit as one reviewable file. Check, plan, apply, export."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from django.db import transaction

from campaigns.models import Campaign, CampaignVersion
from campaigns.publishing import publish_campaign
from crm.playbook_checks import file_problems, located, removal_problems
from crm.playbook_diff import difference, edits
from crm.playbook_document import FRESH, SECTIONS, PlaybookDoc, as_written
from crm.playbook_rows import draft, live, write
from leads import fuse, yaml_lines
from leads.engine import StageInfo
from leads.fold_jobs import stage_infos
from leads.models import ScoringVersion, User, Workspace
from leads.publishing import draft_document, is_live, lock_workspace, publish
from leads.replay import draft_to_try
from leads.scoring_draft import check_seen, mark_of
from leads.shape import Problem, PublishError
from leads.type_warnings import type_warnings

SHIPPED = Path(__file__).parent / "playbooks" / "shipped.yaml"
PUBLISHED = ("scoring", "gates", "campaigns")


class DraftEditedError(Exception):
    """People have edited the draft since the last apply or export; `edits` names what would be lost, and by whom it was made."""

    def __init__(self, edits: list[str]) -> None:
        self.edits = edits
        super().__init__("The draft has been edited since the last apply or export:\n" + "\n".join(edits))


@dataclass
class Applied:
    """What an apply did: the lines that changed in the draft, and what was published (None: scoring was not asked for)."""

    changes: list[str]
    version: ScoringVersion | None = None
    campaigns: list[CampaignVersion] = field(default_factory=list)


@dataclass(frozen=True)
class Foreseen:
    """The model that publishing a file would make live, the stages there would be, and what names both for `apply`."""

    document: dict[str, Any]
    stages: Sequence[StageInfo]
    seen: str

    def count(self, *, rescore: bool) -> Iterator[fuse.Forecast]:
        """Count who would move, and tell on the way how far that is."""
        return fuse.count(self.document, history=rescore, stages=self.stages)


def check(text: str) -> list[Problem]:
    """Everything wrong with a playbook, with lines. Names it leaves to other sections are looked up in the database."""
    try:
        return file_problems(read_file(text))
    except PublishError as error:
        return error.problems


def warnings(text: str) -> list[Problem]:
    """What is odd in a good playbook but stops nothing: event types nobody has ever sent."""
    wanted, document = read_sections(text)
    return located([Problem(path, message) for path, message in type_warnings(wanted)], document)


def plan(text: str) -> str:
    """What apply would change in the draft, what publishing would change in what runs, and whose edits would be lost.

    Raises PublishError for a file that cannot be applied.
    """
    wanted, document = read_sections(text)
    workspace = Workspace.current()
    now, base = draft(workspace), remembered(workspace)
    refuse(located(removal_problems(wanted, now), document))
    published = [section for section in PUBLISHED if section in wanted]
    version = ScoringVersion.live()
    parts = [
        ("Against the draft", difference(now, wanted, wanted)),
        (f"Against live (scoring {version or 'not published yet'})", difference(live(), wanted, published)),
        ("Edited by people since the last apply or export; apply stops unless --overwrite", edits(base, now, wanted, wanted)),
    ]
    lines = [
        [f"{title}:", *(f"  {line}" for line in found or ["no difference"])] for title, found in parts if found or title[:7] == "Against"
    ]
    return "\n\n".join("\n".join(part) for part in lines)


def foresee(text: str, *, rescore: bool = False, overwrite: bool = False) -> Foreseen | None:
    """The model that publishing the file would make live, None when it would not publish any: it has none, or it is live.

    The file is applied and taken back at once, so that counting who would move holds nobody up. Raises what `apply` raises.
    """
    wanted, document = read_sections(text)
    if not has_model(wanted):
        return None
    with transaction.atomic():
        rewrite(wanted, document, overwrite=overwrite, by_user=None)
        model, version = draft_to_try(), ScoringVersion.live()
        foreseen = Foreseen(model, stage_infos(), mark_of(draft_document(), version))
        transaction.set_rollback(True)
    return None if version and is_live(model, version, rescore=rescore) else foreseen


def apply(
    text: str,
    *,
    publish: bool = False,
    rescore: bool = False,
    overwrite: bool = False,
    activate: bool = False,
    seen: str = "",
    by_user: User | None = None,
) -> Applied:
    """Make the draft say what the file says, all of it or nothing.

    `publish` also publishes the scoring model and the campaigns of the file, `rescore` for the past too; `overwrite` goes
    over what people have edited since the last apply or export; `activate` ignores `status: paused`. `seen` names what was
    foreseen, if somebody decided by that. Raises PublishError for a bad file, DraftEditedError for edits that would be lost,
    DraftMoved when something else would be published than was foreseen.
    """
    wanted, document = read_sections(text)
    if activate and "campaigns" in wanted:
        wanted["campaigns"] = [{word: value for word, value in entry.items() if word != "status"} for entry in wanted["campaigns"]]
    with transaction.atomic():
        workspace, changes = rewrite(wanted, document, overwrite=overwrite, by_user=by_user)
        applied = Applied(changes)
        if seen:
            check_seen(seen)
        if publish:
            publish_sections(wanted, applied, by_user, rescore=rescore)
        remember(workspace, as_written(draft(workspace), (workspace.playbook or {}) | wanted))
    return applied


def rewrite(wanted: dict[str, Any], document: yaml_lines.Document, *, overwrite: bool, by_user: User | None) -> tuple[Workspace, list[str]]:
    """Make the draft say what these sections say; returns the locked workspace, and the lines that changed. Raises as `apply` does."""
    workspace = lock_workspace()
    now, base = draft(workspace), remembered(workspace)
    refuse(located(removal_problems(wanted, now), document))
    if not overwrite and (lost := edits(base, now, wanted, wanted)):
        raise DraftEditedError(lost)
    write(msgspec.convert({"version": 1} | wanted, PlaybookDoc), workspace, by_user=by_user)
    return workspace, difference(now, wanted, wanted)


def export() -> str:
    """The draft as YAML, written as it was applied where it still says the same. Edits up to now count as known from here on."""
    with transaction.atomic():
        workspace = lock_workspace()
        document = as_written(draft(workspace), workspace.playbook or {})
        remember(workspace, document)
    return yaml_lines.write(document)


def apply_shipped(*, active: bool, by_user: User | None = None) -> Applied:
    """Apply and publish the playbook that comes with Leadstate; its campaigns are paused unless `active`."""
    return apply(SHIPPED.read_text(encoding="utf-8"), publish=True, activate=active, by_user=by_user)


def read_file(text: str) -> yaml_lines.Document:
    """The file as plain data with lines. Raises PublishError when it is neither YAML nor JSON."""
    try:
        return yaml_lines.read(text)
    except yaml_lines.ReadError as error:
        raise PublishError([Problem(path, message, line) for line, path, message in error.problems]) from error


def read_sections(text: str) -> tuple[dict[str, Any], yaml_lines.Document]:
    """The sections of a good file, and the file with its lines. Raises PublishError for a bad one."""
    document = read_file(text)
    refuse(file_problems(document))
    return {section: document.value[section] for section in SECTIONS if section in document.value}, document


def refuse(problems: list[Problem]) -> None:
    """Raise PublishError when there are any."""
    if problems:
        raise PublishError(problems)


def has_model(wanted: dict[str, Any]) -> bool:
    """Whether the file holds any of the scoring model."""
    return "scoring" in wanted or "gates" in wanted


def publish_sections(wanted: dict[str, Any], applied: Applied, by_user: User | None, *, rescore: bool) -> None:
    """Publish what the file holds: scoring and gates as one version, each campaign as its own."""
    if has_model(wanted):
        applied.version = publish(by_user=by_user, note="Applied from a playbook.", rescore=rescore)
    for entry in wanted.get("campaigns", []):
        applied.campaigns.append(publish_campaign(Campaign.objects.get(key=entry["key"]), by_user=by_user))


def remembered(workspace: Workspace) -> dict[str, Any]:
    """The playbook as last applied or exported, whole; before the first time, a fresh database."""
    return FRESH | (workspace.playbook or {})


def remember(workspace: Workspace, document: dict[str, Any]) -> None:
    """Keep the document: what differs from it later, people have edited."""
    workspace.playbook = document
    workspace.save(update_fields=["playbook"])
