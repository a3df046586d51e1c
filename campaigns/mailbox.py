"""The local mailbox: mails that EMAIL_URL=mailbox:// keeps on this machine, as /mailbox/ shows them."""

import mailbox
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path

LONGEST_LIST = 200


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One mail of the local mailbox."""

    key: str
    subject: str
    sender: str
    to: str
    sent_at: datetime | None
    html: str = ""
    text: str = ""


def stored_mails(folder: Path) -> list[StoredMail]:
    """The newest mails, the latest first, without their bodies."""
    if not folder.is_dir():
        return []
    new = [path for part in ("new", "cur") for path in (folder / part).glob("*")]
    newest = sorted(new, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:LONGEST_LIST]
    parser = BytesParser(policy=policy.default)
    return [describe(path.name.split(":")[0], parser.parsebytes(path.read_bytes(), headersonly=True)) for path in newest]


def stored_mail(folder: Path, key: str) -> StoredMail | None:
    """One mail with both its parts, None when there is none of that key."""
    if not folder.is_dir():
        return None
    try:
        raw = mailbox.Maildir(folder, create=False).get_bytes(key)
    except KeyError:
        return None
    mail = BytesParser(policy=policy.default).parsebytes(raw)
    return describe(key, mail, html=part(mail, "html"), text=part(mail, "plain"))


def describe(key: str, mail: EmailMessage, *, html: str = "", text: str = "") -> StoredMail:
    """What the page shows of a mail."""
    date = str(mail["Date"] or "")
    return StoredMail(
        key=key,
        subject=str(mail["Subject"] or "(no subject)"),
        sender=str(mail["From"] or ""),
        to=str(mail["To"] or ""),
        sent_at=parsedate_to_datetime(date) if date else None,
        html=html,
        text=text,
    )


def part(mail: EmailMessage, subtype: str) -> str:
    """The HTML or the plain part; "" when the mail has none."""
    body = mail.get_body(preferencelist=(subtype,))
    return str(body.get_content()) if body is not None else ""
