"""One part of the scoring model's draft: saved, removed, put in another place. What could not be published is refused with the cure."""

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.utils import timezone

from leads.documents import ModelDoc
from leads.models import DerivedType, Draft, Gate, Stage, User
from leads.publishing import check_model, draft_document, lock_workspace
from leads.scoring_draft import PARTS, SINGLE, Document, anchor_of, place_of
from leads.shape import PublishError, read, same

ORDERED = ("gates", "derive")

type Found = tuple[str, str, str]


class Refused(Exception):
    """An entry that could not be published: `problems` holds (the field it is about or "", what is wrong)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))


def find_entry(part: str, key: str) -> Any:
    """The row of the draft that an address names; None when there is none. Derived types have no key, they go by number."""
    model: Any = PARTS[part][0]
    if part in SINGLE:
        return (model.objects.filter(pk=1).first() or model(pk=1)) if key == "edit" else None
    if part == "derive":
        return model.objects.filter(pk=int(key)).first() if key.isascii() and key.isdigit() and len(key) < 18 else None
    return model.objects.filter(key=key).first()


def save_entry(part: str, row: Any, *, by_user: User, origins: Iterable[Stage] | None = None) -> None:
    """Save a row of the draft, signed, if anything changed. Raises Refused, and saves nothing, when it could not be published so."""
    with transaction.atomic():
        lock_workspace()
        before = set(problems_in(draft_document()))
        if not write(part, row, by_user=by_user, origins=origins):
            return
        own = anchor_of(part, row)
        wrong = [each for each in problems_in(draft_document()) if each[0] == own or each not in before]
        if wrong:
            raise Refused([(word if anchor == own else "", message) for anchor, word, message in wrong])


def write(part: str, row: Any, *, by_user: User, origins: Iterable[Stage] | None) -> bool:
    """Save the row and its stages if anything differs from what is stored; tells whether it did."""
    stored = type(row)._default_manager.filter(pk=row.pk).first()
    moved = isinstance(row, Gate) and origins is not None and (stored is None or set(stored.from_stages.all()) != set(origins))
    if stored is not None and not moved and all(same(values_of(stored)[name], value) for name, value in values_of(row).items()):
        return False
    if stored is None and part in ORDERED:
        row.position = (type(row)._default_manager.aggregate(last=models.Max("position"))["last"] or 0) + 1
    row.edited_by, row.edited_at = by_user, timezone.now()
    row.save()
    if moved and origins is not None:
        row.from_stages.set(origins)
    return True


def values_of(row: Draft) -> dict[str, Any]:
    """What people edit of a row."""
    names = [each.attname for each in row._meta.concrete_fields if each.name not in ("id", "edited_by", "edited_at", "position")]
    return {name: getattr(row, name) for name in names}


def problems_in(document: Document) -> list[Found]:
    """What keeps a draft from being published: (anchor, field, what is wrong)."""
    try:
        problems = check_model(read(document, ModelDoc), stages=list(Stage.objects.values_list("key", flat=True)))
    except PublishError as error:
        problems = error.problems
    return [(*place_of(problem.path, document), problem.message) for problem in problems]


@transaction.atomic
def delete_entry(part: str, row: Any, *, by_user: User) -> None:
    """Remove a row from the draft. Who did it is noted where the admin notes it, and read from there."""
    lock_workspace()
    LogEntry.objects.create(
        user=by_user,
        content_type=ContentType.objects.get_for_model(row),
        object_id=str(row.pk),
        object_repr=anchor_of(part, row).partition("-")[2] or str(row),
        action_flag=DELETION,
    )
    row.delete()


@transaction.atomic
def move_entry(row: Gate | DerivedType, *, by: int, by_user: User) -> bool:
    """Move a gate or a derived type `by` places (−1: earlier, 1: later), signed. Tells whether it moved."""
    lock_workspace()
    return move_row(list(type(row)._default_manager.all()), row.pk, by=by, by_user=by_user)


def move_row(rows: list[Any], pk: int, *, by: int, by_user: User) -> bool:
    """Move one of these rows of a draft, given in their order, `by` places, and sign it. Tells whether it moved. Needs a lock on them."""
    place = next((index for index, row in enumerate(rows) if row.pk == pk), None)
    if place is None or not 0 <= place + by < len(rows):
        return False
    moved = rows.pop(place)
    rows.insert(place + by, moved)
    moved.edited_by, moved.edited_at = by_user, timezone.now()
    for position, row in enumerate(rows):
        row.position = position
    type(moved)._default_manager.bulk_update(rows, ["position", "edited_by", "edited_at"])
    return True
