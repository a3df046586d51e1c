"""CSV import: a file becomes deliveries of the door `import`, chunk by chunk, and can be killed at any point.

A chunk is one transaction: its rows are recorded, owners are set, and the import's `next_row` moves on,
or none of it happened. Whoever takes over after a kill goes on at `next_row`. The same file imported
again brings the same message ids, so it changes nothing.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched, islice
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.db.utils import OperationalError
from django.utils import timezone

from leads import identity, intake
from leads.bell import ring
from leads.csv_reading import File, data_rows, read_header
from leads.csv_rows import FIELDS, REPEATABLE, Row, RowReader, without_forgotten
from leads.lead_owners import give_imported
from leads.models import CsvImport, Delivery, Identity, Source, User

log = structlog.get_logger(__name__)

TASK = "leads.tasks.record_imports"
CHUNK = 100
# Longer than any chunk takes, and short, so that a killed import goes on soon.
LEASE = timedelta(minutes=2)
TRIES = 3
# So many rows are checked before anything is recorded; the rest is checked on the way.
CHECKED = 5_000
SHOWN = 5
ERRORS_KEPT = 10_000

GUESSES = {
    "email": "email e-mail mail emailaddress mailaddress workemail businessemail e-mail-adresse emailadresse",
    "userId": "userid externalid customerid",
    "name": "name fullname contact contactname person",
    "firstName": "firstname givenname vorname forename",
    "lastName": "lastname surname familyname nachname",
    "phone": "phone phonenumber telephone tel mobile mobilephone telefon",
    "title": "title jobtitle position role jobrole",
    "company": "company companyname organization organisation account accountname firma employer",
    "domain": "website companywebsite domain companydomain web url",
    "country": "country land countryregion",
    "timezone": "timezone tz zeitzone",
}
GUESS = {word.replace("-", ""): name for name, words in GUESSES.items() for word in words.split()}


class ClaimLost(Exception):
    """Another worker took the import over; this one's chunk is undone."""


# --- before: what the file is, and what it would do ----------------------------------------------


def take_in(file: File, *, name: str, by_user: User) -> CsvImport:
    """Keep an uploaded file, with a first guess at its mapping."""
    mapping = {"delimiter": file.delimiter, "encoding": file.encoding, "guessed": file.guessed, "columns": guess_columns(file.header)}
    return CsvImport.objects.create(name=name[:200], digest=file.digest, text=file.text, mapping=mapping, rows=file.rows, by_user=by_user)


def guess_columns(header: list[str]) -> list[dict[str, str]]:
    """What each column is by its name; a column we don't know is not imported unless somebody says as what."""
    taken: set[str] = set()
    columns = []
    for name in header:
        found = GUESS.get(re.sub(r"[^a-z]+", "", name.lower()), "")
        found = "" if found in taken else found
        taken.add(found)
        columns.append({"field": found, "trait": ""})
    return columns


@dataclass(slots=True)
class Preview:
    """What importing would do, as far as the first rows tell."""

    rows: int
    ready: int = 0
    known: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    checked: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every row was checked."""
        return self.checked >= self.rows

    @property
    def new(self) -> int:
        """How many people we have not heard of."""
        return self.ready - self.known


def preview(csv_import: CsvImport) -> Preview:
    """Check the first rows as they would be recorded, without recording anything."""
    seen = Preview(csv_import.rows)
    for chunk in batched(islice(RowReader(csv_import, now=timezone.now()).rows(), CHECKED), 500):
        rows = without_forgotten(list(chunk))
        ready = [row for row in rows if not row.problem]
        seen.checked += len(rows)
        seen.ready += len(ready)
        seen.known += count_known(ready)
        seen.errors += [row.error() for row in rows if row.problem]
    return seen


def count_known(rows: list[Row]) -> int:
    """How many of these people are leads already."""
    emails = Identity.objects.filter(kind=Identity.Kind.EMAIL, value__in=[row.email for row in rows if row.email])
    ids = Identity.objects.filter(kind=Identity.Kind.USER_ID, value__in=[row.user_id for row in rows if row.user_id])
    met = {("email", value) for value in emails.values_list("value", flat=True)}
    met |= {("userId", value) for value in ids.values_list("value", flat=True)}
    return sum(("email", row.email) in met or ("userId", row.user_id) in met for row in rows)


def samples(csv_import: CsvImport, *, delimiter: str = "") -> list[tuple[str, list[str]]]:
    """Each column's name with its first cells."""
    delimiter = delimiter or csv_import.mapping["delimiter"]
    first = [record.cells for record in islice(data_rows(csv_import.text, delimiter), SHOWN) if not record.problem]
    header = read_header(csv_import.text, delimiter)
    return [(name, [row[place] if place < len(row) else "" for row in first]) for place, name in enumerate(header)]


def mapping_problem(columns: list[dict[str, str]]) -> str:
    """Why these columns can't be imported; "" when they can."""
    fields = [column["field"] for column in columns]
    twice = next((name for name in fields if name not in REPEATABLE and fields.count(name) > 1), "")
    if twice:
        return f"Two columns are {FIELDS[twice]}. Choose one of them."
    if "email" not in fields and "userId" not in fields:
        return "Choose the column that tells people apart: Email or User id."
    if "consentDate" in fields and "consent" not in fields:
        return "A day of consent needs a column that says yes or no."
    return ""


def start(csv_import: CsvImport) -> bool:
    """Let the workers begin; False when it was started already."""
    waiting = CsvImport.objects.filter(pk=csv_import.pk, state=CsvImport.State.MAPPING)
    if not waiting.update(state=CsvImport.State.RUNNING):
        return False
    ring(TASK)
    return True


def go_on(csv_import: CsvImport) -> None:
    """Free an import whose workers died too often, and let them try again."""
    CsvImport.objects.stuck().filter(pk=csv_import.pk, state=CsvImport.State.RUNNING).update(**CsvImport.released())
    ring(TASK)


def blank_in_files(blank: Callable[[str], str]) -> None:
    """Blank somebody who is being forgotten in the files that were not imported to their end; their rows will be left out."""
    for csv_import in CsvImport.objects.exclude(text="").select_for_update(no_key=True).order_by("pk"):
        text = blank(csv_import.text)
        if text != csv_import.text:
            csv_import.text = text
            csv_import.save(update_fields=["text"])


# --- the work ------------------------------------------------------------------------------------


def record_all_due() -> None:
    """Record every import that was started, to its end."""
    while True:
        token, pks = CsvImport.objects.due(timezone.now()).only("pk").claim(1, lease=LEASE)
        if not pks:
            return
        try:
            record_import(CsvImport.objects.select_related("by_user").get(pk=pks[0]), token)
        except ClaimLost:
            log.warning("claim_lost", csv_import=pks[0])


def record_import(csv_import: CsvImport, token: uuid.UUID) -> None:
    """Record the rows that are left, then let go of the file: what it said is in the facts now."""
    rows = RowReader(csv_import, now=timezone.now()).rows()
    # Rows that were recorded before the worker was killed are read again only to know whom the file has named.
    for chunk in batched(islice(rows, csv_import.next_row, None), CHUNK):
        try:
            with_retries(csv_import, list(chunk), token)
        except (ClaimLost, OperationalError):
            raise
        except Exception as error:
            log.exception("import_chunk_failed", csv_import=csv_import.pk, rows=len(chunk), error=type(error).__name__)
            for row in chunk:
                record_alone(csv_import, row, token)
    done = {"state": CsvImport.State.DONE, "text": "", "done_at": timezone.now(), **CsvImport.released()}
    CsvImport.objects.filter(pk=csv_import.pk, claim_token=token).update(**done)


def with_retries(csv_import: CsvImport, rows: list[Row], token: uuid.UUID) -> None:
    """Record one chunk; a deadlock, or a key another worker was quicker with, starts it over."""
    before = (csv_import.taken, list(csv_import.errors), dict(csv_import.mapping))
    for attempt in range(TRIES):
        try:
            record_chunk(csv_import, rows, token)
        except (identity.GroupChanged, OperationalError):
            csv_import.taken, csv_import.errors, csv_import.mapping = before[0], list(before[1]), dict(before[2])
            if attempt == TRIES - 1:
                raise
        except Exception:
            csv_import.taken, csv_import.errors, csv_import.mapping = before
            raise
        else:
            return


def record_alone(csv_import: CsvImport, row: Row, token: uuid.UUID) -> None:
    """One row of a chunk that failed: the bad one is named and left out, its neighbors are recorded."""
    try:
        with_retries(csv_import, [row], token)
    except (ClaimLost, OperationalError):
        raise
    except Exception as error:
        log.exception("import_row_failed", csv_import=csv_import.pk, row=row.number, error=type(error).__name__)
        record_chunk(csv_import, [Row(row.number, problem="It could not be recorded; the log says why.")], token)


@transaction.atomic
def record_chunk(csv_import: CsvImport, rows: list[Row], token: uuid.UUID) -> None:
    """Record some rows and move the import on, both or neither. Raises ClaimLost when another worker has it now."""
    now = timezone.now()
    rows = without_forgotten(rows)
    ready = [row for row in rows if not row.problem]
    csv_import.errors += [row.error() for row in rows if row.problem]
    if ready:
        delivery = post(ready, now=now)
        note_results(csv_import, ready, delivery)
        give_imported(delivery, {row.messages[0]["messageId"]: row.owner_id for row in ready if row.owner_id})
    csv_import.taken += len(ready)
    mine = CsvImport.objects.filter(pk=csv_import.pk, claim_token=token, state=CsvImport.State.RUNNING)
    moved = mine.update(
        next_row=F("next_row") + len(rows),
        taken=csv_import.taken,
        errors=csv_import.errors[:ERRORS_KEPT],
        mapping=csv_import.mapping,
        lease_until=Now() + LEASE,
        claim_count=1,
    )
    if not moved:
        raise ClaimLost


def post(rows: list[Row], *, now: datetime) -> Delivery:
    """Store the rows as one delivery of the built-in source and take it in at once, as history."""
    messages = [message for row in rows for message in row.messages]
    token = uuid.uuid4()
    delivery = Delivery.objects.create(
        source=Source.built_in(),
        door=Delivery.Door.IMPORT,
        historical=True,
        body=json.dumps(messages).encode(),
        message_count=len(messages),
        message_ids=[message["messageId"] for message in messages],
        claim_token=token,
        received_at=now,
        due_at=now,
    )
    intake.record(intake.load([delivery.pk]), token=token)
    delivery.refresh_from_db()
    return delivery


def note_results(csv_import: CsvImport, rows: list[Row], delivery: Delivery) -> None:
    """Add what the intake said about the rows: refusals, and rows that had been imported before."""
    of_message = {message["messageId"]: row for row in rows for message in row.messages}
    for line in delivery.rejected:
        row = of_message.get(line["messageId"])
        if row:
            csv_import.errors.append({"row": row.number, "column": "", "message": line["message"]})
    stored = set(delivery.events.values_list("message_id", flat=True))
    again = sum(1 for row in rows if all(message["messageId"] not in stored for message in row.messages))
    csv_import.mapping["again"] = csv_import.mapping.get("again", 0) + again
