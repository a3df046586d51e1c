"""What happened, said in plain words: one sentence for each kind of event, and the reasons behind ledger lines and mails."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from leads.models import Event
from leads.templatetags.words import event_words

ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
KEY = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|\b[A-Z]{5,}\b")
LIMIT = re.compile(r"limit: (\d+) (?:per |in )?(.+)")
BOUNDS = [
    (re.compile(r"stops above (-?\d+)"), "nothing is added above {} points"),
    (re.compile(r"at most (-?\d+)"), "counts at most {} points in all"),
    (re.compile(r"not below (-?\d+)"), "never takes the points below {}"),
    (re.compile(r"corrected by a late fact"), "corrected after an older event came in late"),
    (re.compile(r"excluded"), "excluded from scoring"),
    (re.compile(r"no longer follows from the facts"), "taken back, the facts behind it changed"),
]
# Why a mail waits, was not sent, or a run ended or never began.
WHY = {
    "window": "waits for the sending hours",
    "cap": "waits, enough mail for now",
    "in_conversation": "waits, sales is talking with them",
    "paused": "waits, the campaign is paused",
    "no_consent": "no consent to this topic",
    "opted_out": "said no to this topic",
    "no_user_id": "not a user of the product",
    "no_address": "no mail address",
    "not_after": "too late to be of use",
    "suppressed: hard_bounce": "the address does not exist any more",
    "suppressed: complaint": "complained about our mail",
    "suppressed: erased": "asked to be forgotten",
    "suppressed: manual": "the address is blocked by hand",
    "hard_bounce": "the address does not exist any more",
    "complaint": "complained about our mail",
    "unsubscribed": "unsubscribed",
    "goal": "goal reached",
    "exit": "an exit condition was met",
    "stage": "the lead was won or lost",
    "colleague": "somebody of the same company was won",
    "merged": "the same person is further in another run",
    "once": "was in it before",
    "active": "is in it already",
    "after": "was in it not long ago",
    "key": "was in it for the same thing before",
    "audience": "does not belong to the audience",
    "too_old": "what started it is too long ago",
    "historical": "what started it was imported",
    "excluded": "excluded from scoring and campaigns",
    "confirmed": "the address was confirmed",
    "address_changed": "the address changed",
}


class Sentence(NamedTuple):
    """A sentence, and what stands beside it in small print."""

    text: str
    detail: str = ""


def tell(event: Event) -> Sentence:
    """What somebody did, in words."""
    teller = TELLERS.get(event.type)
    return teller(event.properties, event.traits) if teller else Sentence(event_words(event.type), details(event.properties))


def text(value: object) -> str:
    """A short property as text; nothing for lists and objects."""
    return str(value).strip()[:120] if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def details(properties: dict[str, Any]) -> str:
    """The first properties that can be read at a glance."""
    told = [f"{name.replace('_', ' ')} {short}" for name, value in properties.items() if (short := text(value)) and len(short) <= 60]
    return ", ".join(told[:3])


def tell_page(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Opened pricing: by path where there is one, else by title."""
    path = text(properties.get("path"))
    words = path.strip("/").replace("/", ", ").replace("-", " ").replace("_", " ")
    name = words or ("the home page" if path else text(properties.get("title")) or text(properties.get("name")) or "a page")
    return Sentence(f"Opened {name}", path)


def tell_screen(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Opened a screen of the app."""
    return Sentence(f"Opened {text(properties.get('name')) or 'a screen'} in the app")


def tell_identified(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Told us who they are."""
    told = [name.replace("_", " ") for name, value in traits.items() if value not in (None, "")]
    return Sentence("Told us who they are" if told else "Logged in", ", ".join(told[:5]))


def tell_grouped(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Joined an account."""
    said = traits.get("company")
    company = said if isinstance(said, dict) else {}
    return Sentence(f"Belongs to {text(company.get('name')) or text(company.get('id')) or 'an account'}")


def tell_clicked(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Clicked a link in one of our mails."""
    url = urlsplit(text(properties.get("url")))
    return Sentence("Clicked a link in a mail", f"{url.netloc}{url.path}".rstrip("/"))


def tell_unsubscribed(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Said no by the link in a mail."""
    topic = text(properties.get("topic"))
    return Sentence("Unsubscribed", "from all marketing" if topic == "all" else f"from {topic}" if topic else "")


def tell_edited(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """A colleague corrected a fact."""
    who, fact = text(properties.get("name")) or text(properties.get("by")) or "A colleague", text(properties.get("fact"))
    new, old = text(properties.get("to")), text(properties.get("from"))
    if "owner" in properties:
        owner = text(properties["owner"])
        return Sentence(f"{who} gave the lead to {owner}" if owner else f"{who} gave the lead to nobody")
    if not fact:
        return Sentence(f"{who} edited {', '.join(traits) or 'the lead'}")
    return Sentence(f"{who} changed {fact} to {new}" if new else f"{who} removed {fact}", f"was {old}" if old else "")


def tell_created(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """Somebody entered the lead."""
    return Sentence(f"{text(properties.get('name')) or text(properties.get('by')) or 'A colleague'} entered this lead by hand")


def tell_accepted(properties: dict[str, Any], traits: dict[str, Any]) -> Sentence:
    """A colleague took it."""
    return Sentence(f"{text(properties.get('name')) or text(properties.get('by')) or 'A colleague'} accepted the lead")


TELLERS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Sentence]] = {
    "PAGE_VIEWED": tell_page,
    "SCREEN_VIEWED": tell_screen,
    "IDENTIFIED": tell_identified,
    "GROUPED": tell_grouped,
    "EMAIL_CLICKED": tell_clicked,
    "UNSUBSCRIBED": tell_unsubscribed,
    "EMAIL_CONFIRMED": lambda properties, traits: Sentence("Confirmed the mail address", text(traits.get("email"))),
    "LEAD_EDITED": tell_edited,
    "LEAD_CREATED": tell_created,
    "LEAD_ACCEPTED": tell_accepted,
}


def kind_of(event: Event) -> tuple[str, str]:
    """What counts as the same thing done again: the type, of pages also the path."""
    return event.type, text(event.properties.get("path"))


def ordinal(times: int) -> str:
    """`3` → "third time this week"; nothing for the first time."""
    if times < 2:
        return ""
    return f"{ORDINALS[times - 1] if times <= len(ORDINALS) else f'{times}th'} time this week"


def condition_words(phrase: str) -> str:
    """A condition as a person reads it: event types as words, the first letter large."""
    words = KEY.sub(lambda key: "“" + event_words(key[0]) + "”", phrase)
    return words[:1].upper() + words[1:]


def why_points(reason: str) -> str:
    """Why a ledger line has other points than its rule says, in words."""
    if found := LIMIT.fullmatch(reason):
        times = "once" if found[1] == "1" else f"{found[1]} times"
        return f"counts {times} {'a ' + found[2] if found[2][0].isalpha() and found[2] != 'ever' else 'in ' + found[2]}".replace(
            "in ever", "at all"
        )
    for pattern, words in BOUNDS:
        if match := pattern.fullmatch(reason):
            return words.format(*match.groups())
    return reason


def why_one(why: str) -> str:
    """Why two leads are, or may be, one person: "“Signed up” named both by user id"."""
    return KEY.sub(lambda found: f"“{event_words(found[0])}”", why).replace("_", " ")


def why_words(reason: str) -> str:
    """The reason of a mail or a run, in words; what a colleague or a guard said is kept."""
    if reason in WHY:
        return WHY[reason]
    if reason.startswith("when: "):
        return "only if " + condition_words(reason.removeprefix("when: "))
    first, _, rest = reason.partition(", ")
    return f"{WHY[first]}, {WHY.get(rest, rest)}" if first in WHY and rest else reason.replace("_", " ")
