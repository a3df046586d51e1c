"""The shape of a playbook, what of its language is not built yet, and how plain data becomes one and stays as it was written."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from campaigns.documents import CampaignDoc, SendingDoc, StepDoc, TriggerDoc
from leads.documents import Conditions, DeriveDoc, Duration, FitDoc, GateDoc, IdleDoc, LimitsDoc, RuleDoc, ScoringDoc, Strict
from leads.shape import NotBuilt, canonical, same

StageKey = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=40, description="lower case letters, digits, - and _")]
ShortKey = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60, description="lower case letters, digits, - and _")]

Title = Annotated[str, Meta(min_length=1, max_length=120)]


class StageDoc(Strict):
    """One stage; the list is in their order."""

    key: StageKey
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    kind: Literal["open", "won", "lost"] = "open"
    sla: Duration | None = None


class ReasonDoc(Strict, rename={"for_": "for"}):
    """One coded reason for a hand move."""

    key: ShortKey
    name: Title
    for_: Literal["lost", "reject", "reopen"] = "lost"
    recycle_after: Duration | None = None
    to: str | None = None


class TopicDoc(Strict):
    """Something people can agree to hear about."""

    key: ShortKey
    name: Title
    description: Annotated[str, Meta(max_length=300)] = ""


class PlaybookDoc(Strict):
    """A whole file. A section left out stays as it is."""

    version: Literal[1]
    timezone: str | None = None
    stages: list[StageDoc] | None = None
    reasons: list[ReasonDoc] | None = None
    topics: list[TopicDoc] | None = None
    sending: SendingDoc | None = None
    scoring: ScoringDoc | None = None
    gates: list[GateDoc] | None = None
    campaigns: list[CampaignDoc] | None = None


SECTIONS = ("timezone", "stages", "reasons", "topics", "sending", "scoring", "gates", "campaigns")

# What a fresh database says.
FRESH: dict[str, Any] = {
    "timezone": "UTC",
    "stages": [
        {"key": "cold", "name": "Cold"},
        {"key": "mql", "name": "Marketing qualified"},
        {"key": "sql", "name": "Sales qualified", "sla": "4h"},
        {"key": "won", "name": "Closed won", "kind": "won"},
        {"key": "lost", "name": "Closed lost", "kind": "lost"},
    ],
    "reasons": [],
    "topics": [],
    "sending": {},
    "scoring": {},
    "gates": [],
    "campaigns": [],
}

NOT_BUILT: NotBuilt = {
    (TriggerDoc, "audience"): "a trigger on beginning to match an audience; use event, stage or schedule with the campaign's audience",
    (TriggerDoc, "date"): "a trigger on a date; use event, stage or schedule",
    (TriggerDoc, "offset"): "a trigger on a date; use event, stage or schedule",
    (StepDoc, "wait_until"): "the step wait_until; use after, and when on the step that follows",
    (StepDoc, "timeout"): "the step wait_until; use after, and when on the step that follows",
    (StepDoc, "task"): "the step task; use notify",
    (StepDoc, "webhook"): "the step webhook; use notify",
    (StepDoc, "update"): "the step update; leave it out",
    (StepDoc, "enroll"): "the step enroll; let the other campaign have a trigger of its own",
}

# What one entry of a list, or a whole mapping, is read as.
KINDS: dict[str, Any] = {
    "timezone": str,
    "stages": StageDoc,
    "reasons": ReasonDoc,
    "topics": TopicDoc,
    "sending": SendingDoc,
    "derive": list[DeriveDoc],
    "limits": LimitsDoc,
    "rules": RuleDoc,
    "fit": FitDoc,
    "idle": IdleDoc,
    "exclude": Conditions,
    "gates": GateDoc,
    "campaigns": CampaignDoc,
}
MAPPINGS = {"timezone", "sending", "derive", "limits", "exclude"}
# Lists whose order means nothing: they keep the order of the file.
UNORDERED = {"reasons", "topics", "rules", "fit", "idle", "campaigns"}

# JSON columns lose the order of keys on PostgreSQL; this is the order people expect.
KEY_ORDER = [
    *["key", "name", "kind", "sla", "for", "recycle_after", "description", "class", "topic", "trigger", "audience", "field", "op", "value"],
    *["campaign", "status", "event", "stage", "schedule", "manual", "timezone", "times", "within", "every", "of", "since"],
    *[
        "at_least",
        "at_most",
        "exactly",
        "per",
        "days",
        "hours",
        "day",
        "week",
        "window",
        "cap",
        "reentry",
        "derive",
        "limits",
        "rules",
        "fit",
        "idle",
        "exclude",
    ],
    *[
        "fit_max",
        "fit_min",
        "engagement_max",
        "stop_above",
        "floor",
        "goal",
        "exits",
        "exit_on_stage",
        "tracking",
        "priority",
        "from",
        "to",
    ],
    *[
        "match",
        "after",
        "not_after",
        "when",
        "as",
        "points",
        "reset",
        "limit",
        "expires_after",
        "max_age",
        "conditions",
        "message",
        "notify",
        "exit",
    ],
    *["subject", "body", "text", "why", "steps"],
]
RANK = {key: rank for rank, key in enumerate(KEY_ORDER)}


def tidy(part: Any) -> Any:
    """The same data with the keys of every mapping in the order people expect."""
    if isinstance(part, list):
        return [tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {key: tidy(part[key]) for key in sorted(part, key=lambda key: (RANK.get(key, len(RANK)), key))}


def as_written(now: dict[str, Any], was: dict[str, Any]) -> dict[str, Any]:
    """The sections `now`, written as in the playbook `was` where they still say the same: order, and defaults spelled out.

    A section that says what a fresh database says appears only if it stood there before.
    """
    kept = [section for section in SECTIONS if section in was or now[section] != FRESH[section]]
    return {"version": 1} | {section: tidy(part_as_written(section, now[section], was.get(section))) for section in kept}


def part_as_written(name: str, now: Any, was: Any) -> Any:
    """One section, or one part of `scoring`, as it was written where it still says the same."""
    if was is None:
        return now
    if name == "scoring":
        parts = {word: part_as_written(word, part, was.get(word)) for word, part in now.items()}
        return parts | {word: part for word, part in was.items() if word not in parts and not part}
    if name in MAPPINGS:
        return was if alike(name, was, now) else now
    before = {entry["key"]: entry for entry in was}
    if name in UNORDERED:
        places = list(before)
        now = sorted(now, key=lambda entry: places.index(entry["key"]) if entry["key"] in before else len(places))
    return [before[entry["key"]] if alike(name, before.get(entry["key"]), entry) else entry for entry in now]


def alike(name: str, one: Any, other: Any) -> bool:
    """Whether two entries say the same, defaults and the order of a gate's origins aside."""
    return one is not None and other is not None and same(plain(name, one), plain(name, other))


def plain(name: str, entry: Any) -> Any:
    """An entry in the one form in which it is compared."""
    entry = canonical(entry, KINDS[name])
    if name == "gates" and isinstance(entry, dict) and isinstance(entry.get("from"), list):
        origins = sorted(entry["from"])
        entry = entry | {"from": origins[0] if len(origins) == 1 else origins}
    return entry


def read_section(name: str, raw: Any) -> Any:
    """A section of plain data that is known to fit, typed."""
    return getattr(msgspec.convert({"version": 1, name: raw}, PlaybookDoc), name)
