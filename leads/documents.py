"""The shape of a published scoring model, the same as the sections `scoring` and `gates` of a playbook.

These types are the only definition of that shape: the playbook reads files with them, published versions
are stored as them, the engine is compiled from them. Conditions stay plain lists here; `leads.conditions`
reads those. Names that are Python keywords are renamed (`from` ↔ `from_`).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Key = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=80, description="lower case letters, digits, - and _")]
EventType = Annotated[str, Meta(pattern=r"^[A-Z0-9]+(_[A-Z0-9]+)*$", max_length=100, description="an event type such as VIEWED_PRICING")]
Duration = Annotated[str, Meta(pattern=r"^\d{1,5}[smhdw]$", description="a duration such as 30s, 10m, 2h, 7d or 2w")]
Name = Annotated[str, Meta(max_length=120, description="text of at most 120 characters")]
Points = Annotated[int, Meta(ge=-10_000, le=10_000, description="a whole number from -10000 to 10000")]
Bound = Annotated[int, Meta(ge=-1_000_000, le=1_000_000, description="a whole number from -1000000 to 1000000")]
Conditions = list[Any] | dict[str, Any]
Per = Literal["day", "week", "month", "quarter", "half-year", "year", "ever"]


class Strict(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A mapping with known keys only."""


class DeriveDoc(Strict, rename={"from_": "from", "as_": "as"}):
    """A second type for an event: {from: PAGE_VIEWED, when: […], as: VIEWED_PRICING}."""

    from_: EventType
    as_: EventType
    when: Conditions = []


class LimitDoc(Strict):
    """How often a rule grants: {times: 3, per: day} or {times: 3, days: 10}."""

    times: Annotated[int, Meta(ge=1, le=1000)]
    per: Per | None = None
    days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class RuleDoc(Strict):
    """What one kind of event is worth: points, or a `reset` of all engagement to nothing (or the floor)."""

    key: Key
    event: EventType
    points: Points | None = None
    reset: Literal["engagement"] | None = None
    name: Name = ""
    when: Conditions = []
    limit: LimitDoc | None = None
    expires_after: Duration | None = None


class FitDoc(Strict):
    """What it is worth who somebody is, while the conditions hold."""

    key: Key
    when: Conditions
    points: Points
    name: Name = ""


class IdleDoc(Strict):
    """What it is worth when somebody does nothing for `after`, and again for every further `every` (left out: once)."""

    key: Key
    after: Duration
    points: Points
    every: Duration | None = None
    name: Name = ""


class LimitsDoc(Strict):
    """The bounds of the two axes, in points."""

    fit_max: Bound | None = None
    fit_min: Bound | None = None
    engagement_max: Bound | None = None
    stop_above: Bound | None = None
    floor: Bound | None = None


class ScoringDoc(Strict):
    """The section `scoring`."""

    derive: list[DeriveDoc] = []
    limits: LimitsDoc = msgspec.field(default_factory=LimitsDoc)
    rules: list[RuleDoc] = []
    fit: list[FitDoc] = []
    idle: list[IdleDoc] = []
    exclude: Conditions = []


class GateDoc(Strict, rename={"from_": "from"}):
    """One gate: {key, from: stage or [stages], to: stage, match: any|all, conditions: […]}."""

    key: Key
    from_: str | list[str]
    to: str
    conditions: list[Any]
    match: Literal["any", "all"] = "any"
    name: Name = ""

    @property
    def origins(self) -> list[str]:
        """The stages it leads out of."""
        return [self.from_] if isinstance(self.from_, str) else self.from_


class ModelDoc(Strict):
    """What ScoringVersion.document holds."""

    scoring: ScoringDoc = msgspec.field(default_factory=ScoringDoc)
    gates: list[GateDoc] = []
