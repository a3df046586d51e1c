"""HTTP doors for machines that read: a lead, and how it came to be where it stands."""

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Model as Row
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from msgspec import Struct

from leads.answers import EventRow, Identities, LeadRow, LedgerRow, Page, TransitionRow
from leads.doors import answer, machine_door, reader
from leads.messages import Refused, read_time
from leads.models import Event, Identity, Lead, ScoreEntry, Transition, normalize_email
from leads.parsing import BadRequest

PAGE = 50
MAX_PAGE = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_PK = 2**63 - 1
LOOK_UPS = {"email": Identity.Kind.EMAIL, "user_id": Identity.Kind.USER_ID, "anonymous_id": Identity.Kind.ANONYMOUS_ID}
# Columns that come from traits, and are read back as traits.
TRAIT_COLUMNS = ("phone", "title", "country", "timezone")


# --- one lead -----------------------------------------------------------------------------------


@machine_door("GET", "HEAD")
def leads(request: HttpRequest) -> HttpResponse:
    """The lead with this email, user_id or anonymous_id: a list of one, or of none."""
    reader(request)
    moment = as_of(request)
    given = [name for name in LOOK_UPS if request.GET.get(name)]
    if len(given) != 1:
        raise BadRequest(400, "required", f"name the lead by one of {', '.join(LOOK_UPS)}, for example ?email=jane@example.com")
    value = request.GET[given[0]]
    value = normalize_email(value) if given[0] == "email" else value.strip()
    if "\x00" in value:
        raise BadRequest(400, "invalid_character", f'"{given[0]}" has a NUL in it')
    rows = Lead.objects.filter(identities__kind=LOOK_UPS[given[0]], identities__value=value).select_related("owner")
    return answer(Page([lead_body(survivor(row), moment) for row in rows], None))


@machine_door("GET", "HEAD")
def lead(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One lead."""
    reader(request)
    return answer(lead_body(find_lead(uid), as_of(request)))


def find_lead(uid: UUID) -> Lead:
    """The lead with this uid, or the one it was merged into. Raises BadRequest 404."""
    found = Lead.objects.filter(uid=uid).select_related("owner").first()
    if found is None:
        raise BadRequest(404, "not_found", f"there is no lead {uid}")
    return survivor(found)


def survivor(lead: Lead) -> Lead:
    """The lead itself, or the one it was merged into."""
    while lead.merged_into_id:
        lead = Lead.objects.select_related("owner").get(pk=lead.merged_into_id)
    return lead


def lead_body(lead: Lead, moment: datetime | None) -> LeadRow:
    """A lead as clients read it, with the scores and the stage of `moment` if one is given."""
    identities: dict[str, list[str]] = {"user_id": [], "anonymous_id": []}
    rows = Identity.objects.filter(lead=lead, kind__in=identities).order_by("pk")
    for kind, value in rows.values_list("kind", "value"):
        identities[kind].append(value)
    columns = {name: getattr(lead, name) for name in TRAIT_COLUMNS if getattr(lead, name)}
    return LeadRow(
        uid=lead.uid,
        email=lead.email or None,
        name=lead.name,
        **(standing_at(lead, moment) if moment else standing(lead)),
        owner=lead.owner.get_username() if lead.owner else None,
        excluded=lead.excluded,
        identities=Identities(**identities),
        traits=columns | lead.traits,
    )


def standing(lead: Lead) -> dict[str, Any]:
    """Stage and scores now."""
    return {
        "stage": lead.stage_id,
        "stage_since": lead.stage_since,
        "score": lead.score,
        "engagement": lead.engagement,
        "fit": lead.fit,
    }


def standing_at(lead: Lead, moment: datetime) -> dict[str, Any]:
    """Stage and scores at a moment, as known today: lines and transitions that stand at or before it."""
    lines = ScoreEntry.objects.filter(lead=lead, at__lte=moment)
    sums = lines.aggregate(
        engagement=Sum("points", filter=Q(axis=ScoreEntry.Axis.ENGAGEMENT), default=0),
        fit=Sum("points", filter=Q(axis=ScoreEntry.Axis.FIT), default=0),
    )
    moves = Transition.objects.filter(lead=lead)
    last = moves.filter(at__lte=moment).order_by("-seq").first()
    first = moves.order_by("seq").first()
    stage = last.to_stage_id if last else first.from_stage_id if first else lead.stage_id
    since = last.at if last else lead.first_seen_at if first else lead.stage_since
    return {"stage": stage, "stage_since": since, "score": sums["engagement"] + sums["fit"], **sums}


def as_of(request: HttpRequest) -> datetime | None:
    """The moment asked for. Raises BadRequest 400 when it is no time, or in the future."""
    text = request.GET.get("as_of")
    if not text:
        return None
    try:
        # An unescaped "+" of the offset arrives as a space.
        moment = read_time({"as_of": text[:19] + text[19:].replace(" ", "+")}, "as_of")
    except Refused as refusal:
        raise BadRequest(400, refusal.code, str(refusal)) from None
    if moment and moment > timezone.now():
        raise BadRequest(400, "as_of_in_future", '"as_of" is in the future; nothing is known about it')
    return moment


# --- lists, newest first ------------------------------------------------------------------------


def page_size(request: HttpRequest) -> int:
    """How many rows are asked for. Raises BadRequest 400."""
    text = request.GET.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE):
        raise BadRequest(400, "invalid_limit", f'"limit" is a number from 1 to {MAX_PAGE}')
    return int(text)


def read_cursor(request: HttpRequest) -> tuple[datetime, int] | None:
    """Where the page before ended: (at, id). Raises BadRequest 400 for anything but a cursor we gave."""
    text = request.GET.get("cursor")
    if not text:
        return None
    try:
        at, _, pk = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(":")
        cursor = EPOCH + timedelta(microseconds=int(at)), int(pk)
    except (binascii.Error, ValueError, OverflowError):
        raise invalid_cursor() from None
    if not 0 < cursor[1] <= MAX_PK:
        raise invalid_cursor()
    return cursor


def invalid_cursor() -> BadRequest:
    """A 400."""
    return BadRequest(400, "invalid_cursor", '"cursor" must be the "next" of an earlier answer, unchanged')


def write_cursor(at: datetime, pk: int) -> str:
    """Where a page ends, as text."""
    microseconds = (at - EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{microseconds}:{pk}".encode()).decode().rstrip("=")


def newest_first[R: Row](request: HttpRequest, rows: QuerySet[R], body: Callable[[R], Struct], *, by: str = "at") -> HttpResponse:
    """One page of rows by (`by`, id), newest first; `next` leads to the page after it, null at the end."""
    size = page_size(request)
    cursor = read_cursor(request)
    if cursor:
        rows = rows.filter(Q(**{f"{by}__lt": cursor[0]}) | Q(**{by: cursor[0], "pk__lt": cursor[1]}))
    found = list(rows.order_by(f"-{by}", "-pk")[: size + 1])
    page = found[:size]
    after = write_cursor(getattr(page[-1], by), page[-1].pk) if len(found) > size else None
    return answer(Page([body(row) for row in page], after))


@machine_door("GET", "HEAD")
def ledger(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Every point of a lead, and why."""
    reader(request)
    return newest_first(request, find_lead(uid).entries.select_related("version", "event"), line_body)


def line_body(entry: ScoreEntry) -> LedgerRow:
    """One line of the ledger."""
    return LedgerRow(
        at=entry.at,
        axis=entry.axis,
        points=entry.points,
        raw=entry.raw,
        rule=entry.rule,
        version=entry.version.number,
        event=entry.event.message_id if entry.event else None,
        kind=entry.kind,
        reason=entry.reason,
    )


@machine_door("GET", "HEAD")
def events(request: HttpRequest, uid: UUID) -> HttpResponse:
    """What a lead did."""
    reader(request)
    return newest_first(request, find_lead(uid).events.select_related("source"), event_body)


def event_body(event: Event) -> EventRow:
    """One event."""
    return EventRow(
        messageId=event.message_id,
        type=event.type,
        properties=event.properties,
        at=event.at,
        received_at=event.received_at,
        source=event.source.name,
    )


@machine_door("GET", "HEAD")
def transitions(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Every stage change of a lead."""
    reader(request)
    rows = find_lead(uid).transitions.select_related("event", "actor", "reason")
    return newest_first(request, rows, transition_body)


def transition_body(move: Transition) -> TransitionRow:
    """One stage change."""
    return TransitionRow(
        at=move.at,
        recorded_at=move.recorded_at,
        from_=move.from_stage_id,
        to=move.to_stage_id,
        gate=move.gate or None,
        event=move.event.message_id if move.event else None,
        actor=move.actor.get_username() if move.actor else None,
        reason=move.reason.key if move.reason else None,
    )
