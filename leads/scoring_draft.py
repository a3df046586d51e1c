"""The scoring model as marketers see it: what is live, what is draft, what differs and who changed it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.contrib.admin.models import DELETION, LogEntry
from django.db import transaction
from django.urls import reverse

from leads.changes import Author, Change, DraftMoved, DraftState, Unit, author_of, compare, fingerprint, reordered, sign
from leads.documents import Conditions, DeriveDoc, FitDoc, GateDoc, IdleDoc, LimitsDoc, ModelDoc, RuleDoc
from leads.fuse import Forecast, forecast
from leads.model_words import (
    Stages,
    derive_sentence,
    exclude_sentence,
    fit_sentence,
    gate_sentence,
    idle_sentence,
    limits_sentence,
    rule_sentence,
)
from leads.models import DerivedType, Draft, Exclusion, FitRule, Gate, IdleRule, ScoringLimits, ScoringRule, ScoringVersion, Stage, User
from leads.publishing import check_model, draft_document, lock_workspace, publish, replace_draft
from leads.replay import draft_to_try
from leads.shape import Path, Problem, PublishError, canonical, read
from leads.templatetags.words import event_words
from leads.type_warnings import type_warnings

Document = dict[str, Any]
NOTHING: Document = {"scoring": {}, "gates": []}
# A part of the model: its word in a document and on the page, its model, its type.
PARTS: dict[str, tuple[type[Draft], Any]] = {
    "rules": (ScoringRule, RuleDoc),
    "fit": (FitRule, FitDoc),
    "idle": (IdleRule, IdleDoc),
    "derive": (DerivedType, DeriveDoc),
    "limits": (ScoringLimits, LimitsDoc),
    "exclude": (Exclusion, Conditions),
    "gates": (Gate, GateDoc),
}
# Parts of which there is only one, and what they are called.
SINGLE = {"limits": "Limits", "exclude": "Not counted"}
SENTENCES: dict[str, Callable[[Any, Stages], str]] = {
    "rules": rule_sentence,
    "fit": fit_sentence,
    "idle": idle_sentence,
    "derive": derive_sentence,
    "limits": limits_sentence,
    "exclude": exclude_sentence,
    "gates": gate_sentence,
}


@dataclass(slots=True)
class Line:
    """One part of the model on the page. `unit` is the draft's, or the live one of what the draft has removed."""

    unit: Unit
    tag: str = ""
    edit: str = ""
    change: Change | None = None
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Model:
    """The whole model for the page: lines by part, and the draft's state."""

    version: ScoringVersion | None
    lines: dict[str, list[Line]]
    draft: DraftState


def stage_names() -> dict[str, str]:
    """The stages as people call them."""
    return dict(Stage.objects.values_list("key", "name"))


def look() -> Model:
    """The model as it is now: the same number of statements however big it is."""
    version, document, stages = ScoringVersion.objects.select_related("published_by").first(), draft_document(), stage_names()
    state = state_of(document, version, stages)
    live = version.document if version else NOTHING
    rows = {part: list(model._default_manager.select_related("edited_by")) for part, (model, _) in PARTS.items()}
    state.changes = sign(state.changes, authors(rows, state.changes))
    addresses = {anchor_of(part, row): edit_address(part, row) for part, found in rows.items() for row in found}
    lines = {part: list(lines_of(part, document, live, stages, state, addresses)) for part in PARTS}
    add_warnings(lines, document)
    return Model(version, lines, state)


def add_warnings(lines: dict[str, list[Line]], document: Document) -> None:
    """Say beside each line which event types it asks for that nobody has sent yet."""
    by_anchor = {line.unit.anchor: line for found in lines.values() for line in found}
    for path, text in type_warnings(document):
        anchor, _ = place_of(path, document)
        if line := by_anchor.get(anchor):
            line.warnings.append(text)


def state_of(document: Document, version: ScoringVersion | None, stages: Stages) -> DraftState:
    """How the draft differs from what is live, and what is wrong with it; without who changed it."""
    changes = differences(version.document if version else NOTHING, document, stages)
    problems = problems_of(document, stages)
    return DraftState(changes, mark_of(document, version), problems, is_live=version is not None)


def differences(was: Document, now: Document, stages: Stages) -> list[Change]:
    """What changes from one document to another, in words."""
    before, after = all_units(was, stages), all_units(now, stages)
    names = {unit.anchor: unit.title for unit in (*before, *after)}
    changes = compare(before, after)
    for part, title in (("gates", "Order of the gates"), ("derive", "Order of the derived types")):
        first, then = ([unit.anchor for unit in units(part, document, stages)] for document in (was, now))
        changes += reordered(part, title, first, then, names)
    return changes


def all_units(document: Document, stages: Stages) -> list[Unit]:
    """All units of a document."""
    return [unit for part in PARTS for unit in units(part, document, stages)]


def entries(part: str, document: Document) -> list[Document]:
    """The entries of one part, as they stand in the document."""
    value = document.get("gates", []) if part == "gates" else document.get("scoring", {}).get(part)
    return ([value] if value else []) if part in SINGLE else value or []


def units(part: str, document: Document, stages: Stages) -> list[Unit]:
    """One part of a document as units."""
    say = SENTENCES[part]
    found: dict[str, Unit] = {}
    for entry in entries(part, document):
        anchor = anchor_for(part, entry)
        while anchor in found:
            anchor += "-again"
        found[anchor] = Unit(anchor, title_of(part, entry, stages), comparable(part, entry), say(entry, stages))
    return list(found.values())


def comparable(part: str, entry: Document) -> Any:
    """An entry in the one form in which it is compared."""
    value = canonical(entry, PARTS[part][1])
    if part == "gates" and isinstance(value.get("from"), list):
        value = value | {"from": sorted(value["from"])}
    return value


def anchor_for(part: str, entry: Mapping[str, Any]) -> str:
    """Where an entry stands on the page."""
    if part == "derive":
        return f"derive-{entry['from']}-{entry['as']}"
    return part if part in SINGLE else f"{part}-{entry['key']}"


def anchor_of(part: str, row: Any) -> str:
    """Where a row stands on the page."""
    if part == "derive":
        return f"derive-{row.source_type}-{row.derived_type}"
    return part if part in SINGLE else f"{part}-{row.key}"


def title_of(part: str, entry: Document, stages: Stages) -> str:
    """What people call it."""
    if part in SINGLE:
        return SINGLE[part]
    if part == "derive":
        return event_words(entry["as"])
    return str(entry.get("name") or (event_words(entry["event"]) if part == "rules" else entry["key"]))


def lines_of(
    part: str, document: Document, live: Document, stages: Stages, state: DraftState, addresses: Mapping[str, str]
) -> Iterator[Line]:
    """The lines of one part: the draft's, then what the draft has removed."""
    shown = (*entries(part, live), *entries(part, document)) if part == "rules" else ()
    tags = {anchor_for(part, entry): entry.get("event", "") for entry in shown}
    present = units(part, document, stages)
    removed = [unit for unit in units(part, live, stages) if unit.anchor not in {each.anchor for each in present}]
    for unit in (*present, *removed):
        change, problems = state.change_of(unit.anchor), state.problems.get(unit.anchor, [])
        yield Line(unit, tags.get(unit.anchor, ""), addresses.get(unit.anchor.removesuffix("-again"), ""), change, problems)


def key_of(part: str, row: Any) -> str:
    """What names a row in the address of its form; derived types have no key, they go by number."""
    return "edit" if part in SINGLE else str(row.pk) if part == "derive" else str(row.key)


def edit_address(part: str, row: Any) -> str:
    """The form of a row."""
    return reverse("leads:scoring-entry", args=[part, key_of(part, row)])


# --- who, and what is wrong ---------------------------------------------------------------------


def authors(rows: Mapping[str, list[Any]], changes: list[Change]) -> dict[str, Author]:
    """Who touched what last, by anchor; what was removed in the admin is looked up in its log."""
    found = {anchor_of(part, row): author_of(row) for part, part_rows in rows.items() for row in part_rows}
    for part in ("gates", "derive"):
        if rows[part]:
            found[part] = author_of(*rows[part])
    removed = {change.title: change.anchor for change in changes if change.kind == "removed"}
    if removed:
        models = [model._meta.model_name for model, _ in PARTS.values()]
        log = LogEntry.objects.filter(action_flag=DELETION, content_type__app_label="leads", content_type__model__in=models)
        for entry in log.select_related("user").order_by("action_time"):
            for title, anchor in removed.items():
                if entry.object_repr in {title, anchor.partition("-")[2]}:
                    found[anchor] = Author(entry.user, entry.action_time)
    return found


def problems_of(document: Document, stages: Stages) -> dict[str, list[str]]:
    """What keeps the draft from being published, by the place it concerns."""
    try:
        problems = check_model(read(document, ModelDoc), stages=list(stages))
    except PublishError as error:
        problems = error.problems
    return by_place(problems, document)


def by_place(problems: list[Problem], document: Document) -> dict[str, list[str]]:
    """Problems by anchor; "" for those of the whole."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        anchor, word = place_of(problem.path, document)
        found.setdefault(anchor, []).append(f"{word}: {problem.message}" if word else problem.message)
    return found


def place_of(path: Path, document: Document) -> tuple[str, str]:
    """The anchor a problem's path leads to, and the field inside it."""
    steps = list(path[1:] if path[:1] == ("scoring",) else path)
    part = str(steps[0]) if steps else ""
    if part in SINGLE:
        return part, " ".join(str(step) for step in steps[1:] if isinstance(step, str))
    if part not in PARTS or len(steps) < 2 or not isinstance(steps[1], int):
        return "", ""
    inside = next((str(step) for step in steps[2:] if isinstance(step, str)), "")
    return anchor_for(part, entries(part, document)[steps[1]]), inside.replace("_", " ")


# --- publish and discard ------------------------------------------------------------------------


def publish_draft(
    seen: str, *, by_user: User, note: str, rescore: bool = False, tell: bool = False, restores: int | None = None
) -> ScoringVersion:
    """Publish the draft somebody has looked at; `restores`: the number of the version it goes back to. Raises DraftMoved, PublishError."""
    with transaction.atomic():
        lock_workspace()
        check_seen(seen)
        earlier = ScoringVersion.objects.filter(number=restores).first() if restores else None
        return publish(by_user=by_user, note=note, rescore=rescore, tell=tell, restores=earlier)


def foresee(*, history: bool) -> Forecast:
    """What publishing the draft would move. Raises PublishError."""
    return forecast(draft_to_try(), history=history)


def discard_draft(seen: str, *, by_user: User) -> ScoringVersion:
    """Make the draft say again what is live. Raises DraftMoved, PublishError (a stage it names is gone)."""
    with transaction.atomic():
        lock_workspace()
        live = check_seen(seen)
        if live is None:
            raise PublishError([Problem((), "nothing was published yet, so there is nothing to go back to")])
        rewrite_draft(live, by_user=by_user)
        return live


def restore_version(version: ScoringVersion, seen: str, *, by_user: User) -> None:
    """Make the draft say what an earlier version says; publishing it is the next step. Raises DraftMoved, PublishError."""
    with transaction.atomic():
        lock_workspace()
        check_seen(seen)
        rewrite_draft(version, by_user=by_user)


def rewrite_draft(version: ScoringVersion, *, by_user: User) -> None:
    """Make the draft say what a version says. Raises PublishError when that names a stage that is gone."""
    doc = msgspec.convert(version.document, ModelDoc)
    if problems := check_model(doc, stages=list(stage_names())):
        raise PublishError(problems)
    replace_draft(doc, by_user=by_user)


def check_seen(seen: str) -> ScoringVersion | None:
    """The live version, if the draft is still the one that was looked at. Raises DraftMoved."""
    live = ScoringVersion.live()
    if mark_of(draft_document(), live) != seen:
        raise DraftMoved
    return live


def mark_of(document: Document, live: ScoringVersion | None) -> str:
    """What names a draft, and the version it is to replace, for whoever looks now and decides later."""
    return fingerprint(document, live and live.number)
