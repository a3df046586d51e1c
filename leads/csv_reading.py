"""From the bytes of an uploaded file to rows of cells: which encoding, which delimiter, and what is no CSV at all."""

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 50_000
MAX_COLUMNS = 200
SAMPLE = 64 * 1024
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252 (Western Europe)",
    "cp1250": "Windows-1250 (Central Europe)",
    "iso8859-15": "Latin-9 (ISO 8859-15)",
    "mac_roman": "Mac Roman",
}
# How files begin that are called .csv and are none.
NOT_CSV = [
    (b"PK\x03\x04", "an Excel or zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
]
MARKUP = re.compile(r"\s*<(?:!doctype|html|\?xml|table|head|body)", re.IGNORECASE)
ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Unreadable(Exception):
    """The file can't be taken; the sentence says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row as a spreadsheet numbers it (the header is row 1); with a problem instead of cells when it can't be read."""

    number: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file that can be read."""

    text: str
    encoding: str
    guessed: bool
    delimiter: str
    digest: str
    header: list[str]
    rows: int


def open_file(data: bytes, *, encoding: str = "") -> File:
    """Read an upload as far as it must be to tell whether it can be imported. Raises Unreadable."""
    refuse_large(len(data))
    refuse_other_kinds(data)
    text, used, guessed = decode(data, encoding)
    if MARKUP.match(text):
        raise Unreadable("Line 1 is HTML or XML, not CSV. Save the table as CSV (UTF-8) and choose that file.")
    # No database keeps a NUL in a text; the row it stands in is refused.
    text = text.replace("\x00", "\ufffd")
    delimiter = find_delimiter(text)
    return File(text, used, guessed, delimiter, hashlib.sha256(data).hexdigest(), read_header(text, delimiter), count_rows(text, delimiter))


def refuse_large(size: int) -> None:
    """Raises Unreadable when the file has more bytes than we take at a time."""
    if size > MAX_BYTES:
        raise Unreadable(f"The file has more than {MAX_BYTES // 1024 // 1024} MB. Split it into parts and import one after the other.")


def refuse_other_kinds(data: bytes) -> None:
    """Tell by its content what is no CSV; the name of a file proves nothing."""
    if not data.strip():
        raise Unreadable("Line 1 is missing: the file is empty.")
    for beginning, kind in NOT_CSV:
        if data.startswith(beginning):
            raise Unreadable(f"This is {kind}, whatever it is called. Save the table as CSV (UTF-8) and choose that file.")


def decode(data: bytes, encoding: str) -> tuple[str, str, bool]:
    """(text, encoding, whether it was guessed). Raises Unreadable rather than mangling a name."""
    if data.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise Unreadable("The file is encoded as UTF-32. Save it as CSV (UTF-8) and choose that file.")
    if encoding or (encoding := told_by_itself(data)):
        try:
            return data.decode("utf-8-sig" if encoding == "utf-8" else encoding).removeprefix("\ufeff"), encoding, False
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise Unreadable(
                f"Line {line} is not {ENCODINGS[encoding]}. Choose another encoding, or save the file as CSV (UTF-8)."
            ) from None
    try:
        return data.decode("utf-8"), "utf-8", False
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "cp1252", True
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable(f"Line {line} has letters in an unknown encoding. Save the file as CSV (UTF-8) and choose that file.") from None


def told_by_itself(data: bytes) -> str:
    """The encoding a byte order mark names, or the zeros of UTF-16 give away; "" for neither."""
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    head = data[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) * 0.3:
        raise Unreadable("The file looks like UTF-16 without its mark. Save it as CSV (UTF-8) and choose that file.")
    return ""


def find_delimiter(text: str) -> str:
    """The delimiter that makes the most columns of about the same number in every row; comma when none does."""
    return max(DELIMITERS, key=lambda delimiter: evenness(text, delimiter))


def evenness(text: str, delimiter: str) -> float:
    """How much this delimiter makes a table of the first rows."""
    widths = [len(record.cells) for record in islice(records(text[:SAMPLE], delimiter), 30) if record.cells]
    if not widths or widths[0] < 2:
        return 0.0
    return (widths[0] - 1) * sum(width == widths[0] for width in widths) / len(widths)


def records(text: str, delimiter: str) -> Iterator[Record]:
    """Every row, one at a time; blank ones too. A quote that is never closed ends the file there."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            swallowed = "field larger" in str(error) or "unexpected end" in str(error)
            yield Record(number, [], problem_of(error, swallowed=swallowed))
            if swallowed:
                return
        else:
            yield Record(number, cells)


def problem_of(error: csv.Error, *, swallowed: bool) -> str:
    """What is wrong with a row, in words."""
    if swallowed:
        return "A quote is opened here and not closed, or a cell is longer than 128 KB; nothing from here on can be read."
    return f"The quotes of this row don't fit together ({error})."


def read_header(text: str, delimiter: str) -> list[str]:
    """The names of the columns. Raises Unreadable, naming line 1, when there are none."""
    first = next(records(text, delimiter), Record(1, []))
    names = [name.strip() for name in first.cells]
    while names and not names[-1]:
        names.pop()
    if first.problem or not names:
        raise Unreadable(f"Line 1 can't be read as column names. {first.problem}".strip())
    if len(names) > MAX_COLUMNS:
        raise Unreadable(f"Line 1 has {len(names):,} columns; at most {MAX_COLUMNS}. Leave out those you don't need.")
    if any(ADDRESS.fullmatch(name) for name in names):
        raise Unreadable("Line 1 is already a person. Put the names of the columns there, for example: email,name,company")
    seen: set[str] = set()
    for place, name in enumerate(names):
        names[place] = name = name[:100] or f"Column {place + 1}"
        if name.lower() in seen:
            raise Unreadable(f"Line 1 names the column “{name}” twice. Give each column its own name.")
        seen.add(name.lower())
    return names


def data_rows(text: str, delimiter: str) -> Iterator[Record]:
    """The rows below the header, without blank ones."""
    for record in islice(records(text, delimiter), 1, None):
        if record.problem or any(cell.strip() for cell in record.cells):
            yield record


def count_rows(text: str, delimiter: str) -> int:
    """How many rows there are below the header. Raises Unreadable when there are none, or too many."""
    count = sum(1 for _ in islice(data_rows(text, delimiter), MAX_ROWS + 1))
    if not count:
        raise Unreadable("Line 1 is all there is: the file has column names and no rows below them.")
    if count > MAX_ROWS:
        raise Unreadable(f"The file has more than {MAX_ROWS:,} rows. Split it into parts.")
    return count
