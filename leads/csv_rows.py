"""One row of a CSV file → the messages that record it, or the reason why it is left out."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from django.utils import timezone

from leads.csv_reading import Record, data_rows, read_header
from leads.messages import Letter, Refused, checked_email, read_message
from leads.models import Consent, ContactPoint, CsvImport, Delivery, Source, User, hash_address
from leads.parsing import MAX_MESSAGE_BYTES
from leads.zones import known as is_zone

type Message = dict[str, Any]

# What a column can become. The ones of TEXTS are traits of the person with a column of their own.
FIELDS = {
    "": "Don't import",
    "email": "Email",
    "userId": "User id",
    "name": "Name",
    "firstName": "First name",
    "lastName": "Last name",
    "phone": "Phone",
    "title": "Job title",
    "company": "Company",
    "domain": "Company website",
    "country": "Country",
    "timezone": "Time zone",
    "trait": "Other, as text",
    "number": "Other, as number",
    "consent": "Consent (yes or no)",
    "consentDate": "Consent: since when",
    "owner": "Owner",
}
REPEATABLE = {"", "trait", "number"}
TEXTS = {
    "name": 200,
    "phone": 50,
    "title": 200,
    "country": 100,
    "timezone": 64,
    "company": 200,
    "domain": 200,
    "firstName": 100,
    "lastName": 100,
}
# A column of these names is never a trait: they follow from facts, or name something else here.
RESERVED_TRAITS = {*FIELDS, "id", "uid", "leaduid", "score", "engagement", "fit", "stage", "state", "owner", "consent", "anonymousid"}
YES = {"yes", "y", "true", "1", "x", "granted", "opt-in", "opted in", "subscribed", "ja", "oui", "si", "sí"}
NO = {"no", "n", "false", "0", "denied", "opt-out", "opted out", "unsubscribed", "nein", "non"}
NO_TEXT = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,10})?")
CONSENT_TYPE = "CONSENT_IMPORTED"


class RowRefused(Exception):
    """A row is left out: the sentence says why, `column` where."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Row:
    """One row, read: what it will be recorded as, or its problem."""

    number: int
    email: str = ""
    user_id: str = ""
    owner_id: int | None = None
    messages: list[Message] = field(default_factory=list)
    problem: str = ""
    column: str = ""

    def error(self) -> dict[str, Any]:
        """As kept with the import, and shown."""
        return {"row": self.number, "column": self.column, "message": self.problem}


class RowReader:
    """Reads the rows of one import in order; remembers whom it has met, so that nobody stands in a file twice."""

    def __init__(self, csv_import: CsvImport, *, now: datetime) -> None:
        self.csv_import = csv_import
        self.delimiter = str(csv_import.mapping["delimiter"])
        self.header = read_header(csv_import.text, self.delimiter)
        self.columns: list[dict[str, str]] = csv_import.mapping["columns"]
        self.names = {column["field"]: name for name, column in zip(self.header, self.columns, strict=True)}
        self.consent = csv_import.consent
        self.owners = owners_by_name() if "owner" in self.names else {}
        self.source = Source.built_in()
        self.now = now
        self.seen: dict[str, int] = {}

    def rows(self) -> Iterator[Row]:
        """Every row of the file, one at a time."""
        for record in data_rows(self.csv_import.text, self.delimiter):
            try:
                yield self.read(record)
            except RowRefused as refusal:
                yield Row(record.number, problem=str(refusal), column=refusal.column)

    def read(self, record: Record) -> Row:
        """One row. Raises RowRefused."""
        values, traits = self.cells(record)
        email, user_id = self.email(values), values.get("userId", "")
        if not email and not user_id:
            raise RowRefused("Nobody is named: both the email and the user id are empty, or not mapped.", self.names.get("email", ""))
        self.check_texts(values)
        person = {key: value for key, value in (("email", email), ("userId", user_id)) if value}
        owner_id = self.owner(values.get("owner", ""))
        messages = [{"type": "identify", **person, "traits": traits | traits_of(values)}]
        if owner_id:
            messages[0]["properties"] = {"owner": values["owner"]}
        messages += self.consents(values, person, record.number)
        for message in messages:
            message["messageId"] = self.message_id(message, record.number)
            self.check_message(message)
        self.note_seen(email, user_id, record.number)
        return Row(record.number, email, user_id, owner_id, messages)

    def cells(self, record: Record) -> tuple[dict[str, str], dict[str, Any]]:
        """The row's cells by field, and its other traits by name; empty cells say nothing."""
        if record.problem:
            raise RowRefused(record.problem)
        cells = record.cells
        if len(cells) < len(self.header) or any(cell.strip() for cell in cells[len(self.header) :]):
            raise RowRefused(f"It has {len(cells)} cells where the first row has {len(self.header)}. Is a quote or a delimiter missing?")
        values: dict[str, str] = {}
        traits: dict[str, Any] = {}
        for name, column, cell in zip(self.header, self.columns, cells, strict=False):
            if NO_TEXT.search(cell):
                raise RowRefused("It has a NUL or another character that is no text.", name)
            text = cell.strip()
            if text and column["field"] in {"trait", "number"}:
                traits[column["trait"]] = text if column["field"] == "trait" else number_of(text, name)
            elif text and column["field"]:
                values[column["field"]] = text
        return values, traits

    def email(self, values: dict[str, str]) -> str:
        """The address in the form we compare; plus tags are kept."""
        if "email" not in values:
            return ""
        try:
            return checked_email(values["email"])
        except Refused as refusal:
            raise RowRefused(str(refusal).replace('"email" is', "It is"), self.names["email"]) from None

    def check_texts(self, values: dict[str, str]) -> None:
        """Lengths, and a time zone that exists."""
        for name, limit in TEXTS.items():
            if len(values.get(name, "")) > limit:
                raise RowRefused(f"It is longer than {limit} characters.", self.names[name])
        if "timezone" in values and not is_zone(values["timezone"]):
            raise RowRefused("It is not a time zone; write one like Europe/Berlin or UTC.", self.names["timezone"])

    def owner(self, name: str) -> int | None:
        """The rep of that name. Whoever can't own leads and whoever does not exist are told alike."""
        if not name:
            return None
        if name.lower() not in self.owners:
            raise RowRefused("Nobody who can own leads is called so; write a rep's log-in name or address.", self.names["owner"])
        return self.owners[name.lower()]

    def consents(self, values: dict[str, str], person: Message, number: int) -> list[Message]:
        """What the row says about consent: a fact of its own, at the day it was given."""
        word = values.get("consent", "").lower()
        if not word:
            return []
        if word not in YES | NO:
            raise RowRefused("Write yes or no.", self.names["consent"])
        if "email" not in person:
            raise RowRefused("Consent belongs to an address, and this row has none.", self.names["consent"])
        status = Consent.Status.GRANTED if word in YES else Consent.Status.DENIED
        topic, source = self.consent["topic"], self.consent["source"]
        proof = f"{source} ({self.csv_import.name}, row {number})"
        properties = {"topic": topic, "status": str(status), "source": source}
        return [
            {
                "type": "track",
                "event": CONSENT_TYPE,
                **person,
                "timestamp": self.consent_date(values).isoformat(),
                "properties": properties,
                "consent": {topic: str(status)},
                "proof": proof,
            }
        ]

    def consent_date(self, values: dict[str, str]) -> datetime:
        """The first moment of the day the consent was given: whatever was said later that day counts more."""
        given = values.get("consentDate") or self.consent.get("at") or ""
        name = self.names.get("consentDate", self.names["consent"])
        try:
            day = date.fromisoformat(given[:10])
            at = timezone.make_aware(datetime.combine(day, time.min))
        except (ValueError, OverflowError):
            problem = "Write the day like 2026-01-31." if given else "Consent needs the day it was given; this row has none."
            raise RowRefused(problem, name) from None
        if at > self.now:
            raise RowRefused("Consent can't be given in the future.", name)
        return at

    def message_id(self, message: Message, number: int) -> str:
        """The same for the same row of the same file read the same way: imported twice it says nothing new."""
        content = json.dumps({key: value for key, value in message.items() if key != "proof"}, sort_keys=True)
        return f"csv:{self.csv_import.digest[:40]}:{number}:{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def check_message(self, message: Message) -> None:
        """Whatever the intake would refuse is told before anything is recorded."""
        if len(json.dumps(message).encode()) > MAX_MESSAGE_BYTES:
            raise RowRefused(f"It is longer than {MAX_MESSAGE_BYTES // 1024} KB altogether.")
        letter = Letter(0, Delivery.Door.IMPORT, self.source, self.csv_import.uid, self.now, None)
        try:
            read_message(message, letter)
        except Refused as refusal:
            column = self.names.get("userId", "") if "userId" in str(refusal) else ""
            raise RowRefused(f"{str(refusal)[:1].upper()}{str(refusal)[1:]}.", column) from None

    def note_seen(self, email: str, user_id: str, number: int) -> None:
        """Raises RowRefused when an earlier row brought the same person."""
        keys = [f"{kind}:{value}" for kind, value in (("email", email), ("userId", user_id)) if value]
        for key in keys:
            if key in self.seen:
                kind = key.partition(":")[0]
                raise RowRefused(f"duplicate_in_file: row {self.seen[key]} has the same {FIELDS[kind].lower()}.", self.names[kind])
        self.seen |= dict.fromkeys(keys, number)


def traits_of(values: dict[str, str]) -> dict[str, Any]:
    """The traits with columns of their own; first and last name make a name where there is none."""
    traits: dict[str, Any] = {name: values[name] for name in ("name", "phone", "title", "country", "timezone") if name in values}
    parts = [values[name] for name in ("firstName", "lastName") if name in values]
    if parts and "name" not in traits:
        traits["name"] = " ".join(parts)
    company = {key: values[name] for key, name in (("name", "company"), ("domain", "domain")) if name in values}
    return traits | ({"company": company} if company else {})


def number_of(text: str, column: str) -> int | float:
    """A number written plainly. Raises RowRefused."""
    if not NUMBER.fullmatch(text):
        raise RowRefused("It is not a number; write it like 1200 or 12.5.", column)
    return float(text) if "." in text else int(text)


def owners_by_name() -> dict[str, int]:
    """Reps by log-in name and by address, lower case."""
    reps = User.objects.reps().values_list("pk", "username", "email")
    return {name.lower(): pk for pk, username, email in reps for name in (email, username) if name}


def forgotten(emails: Iterable[str]) -> set[str]:
    """Those of these addresses whose owners asked to be erased."""
    hashes = {hash_address(email): email for email in emails if email}
    erased = ContactPoint.objects.filter(address_hash__in=hashes, suppressed=ContactPoint.Suppression.ERASED)
    return {hashes[value] for value in erased.values_list("address_hash", flat=True)}


def without_forgotten(rows: list[Row]) -> list[Row]:
    """The same rows; one about somebody who asked to be erased is left out, with the reason."""
    erased = forgotten(row.email for row in rows)
    return [
        Row(row.number, problem="This person asked to be forgotten; the row is left out.") if row.email and row.email in erased else row
        for row in rows
    ]
