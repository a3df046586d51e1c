"""Published versions of the scoring model: what each changed, what it says, and how far the work is that it left to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet

from leads.changes import Change, Unit
from leads.models import Rescore, ScoringVersion
from leads.scoring_draft import NOTHING, PARTS, Document, differences, stage_names, units


@dataclass(frozen=True, slots=True)
class Job:
    """The work a version has left to do. `is_stuck`: its workers died too often, it waits for staff."""

    row: Rescore
    is_stuck: bool

    @property
    def is_running(self) -> bool:
        """Whether its numbers will change by themselves."""
        return self.row.state == Rescore.State.RUNNING and not self.is_stuck

    @property
    def looked_at(self) -> int:
        """Leads done; people who came meanwhile are not counted among them."""
        return min(self.row.done, self.row.leads)


@dataclass(frozen=True, slots=True)
class Published:
    """One version, with what it changed."""

    version: ScoringVersion
    changes: list[Change]


def newest_versions(count: int, *, below: int | None = None) -> list[Published]:
    """The newest versions (with a number below `below`), each with what it changed."""
    rows = ScoringVersion.objects.select_related("published_by", "restores")
    rows = rows.filter(number__lt=below) if below else rows
    versions, stages = list(rows[: count + 1]), stage_names()
    before = [version.document for version in versions[1:]] + [NOTHING]
    shown = list(zip(versions, before, strict=False))[:count]
    return [Published(version, differences(was, version.document, stages)) for version, was in shown]


def published(version: ScoringVersion) -> Published:
    """One version, with what it changed against the one before."""
    before = ScoringVersion.objects.filter(number__lt=version.number).first()
    changes = differences(before.document if before else NOTHING, version.document, stage_names())
    return Published(version, changes)


def sentences_of(document: Document, titles: Mapping[str, str]) -> list[tuple[str, list[Unit]]]:
    """The whole model in sentences, part by part, without the empty ones."""
    stages = stage_names()
    parts = [(titles[part], units(part, document, stages)) for part in titles if part in PARTS]
    return [(title, found) for title, found in parts if found]


# --- the work they left to do -------------------------------------------------------------------


def jobs_of(versions: list[ScoringVersion]) -> dict[int, Job]:
    """The work of these versions, by version id."""
    return {row.version_id: job for row, job in found(Rescore.objects.filter(version__in=versions))}


def open_jobs() -> list[Job]:
    """What is not done yet, the oldest first; with the number of its version."""
    return [job for _, job in found(Rescore.objects.exclude(state=Rescore.State.DONE))]


def found(rows: QuerySet[Rescore]) -> list[tuple[Rescore, Job]]:
    """The rows, each with what can be told of it, in one query."""
    stuck = Rescore.objects.stuck().filter(pk=OuterRef("pk"), state=Rescore.State.RUNNING)
    rows = rows.select_related("version").defer("version__document").order_by("pk")
    return [(row, Job(row, row.is_stuck)) for row in rows.annotate(is_stuck=Exists(stuck))]
