"""What a drained group hands on to those who listen: the arrivals before, and the record after storing."""

from dataclasses import dataclass, field
from datetime import datetime

from leads.models import Delivery, Event, Lead
from leads.parsing import Incoming


@dataclass(slots=True, eq=False)
class Arrival:
    """One message of a delivery on its way to become an event."""

    incoming: Incoming
    delivery: Delivery
    verdict: str = Event.Verdict.HUMAN
    lead: Lead = field(init=False)
    #: Whose key named it: the lead itself, or one that was merged into it.
    first_lead: Lead = field(init=False)
    event: Event | None = None
    #: Whether its word on who somebody is may be taken: a server key, or the product itself.
    trusted: bool = field(init=False)
    #: The address it names a person by; one that a browser key brings names nobody until confirmed.
    email: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.trusted = self.delivery.source.scope == "server"
        self.email = self.incoming.email if self.trusted else None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known about the events of one group besides the events themselves."""

    now: datetime
    #: Event id → its own type and the types derived from it.
    types: dict[int, tuple[str, ...]]
    #: Ids of events of anonymous history that joined a known lead just now: they count as triggers, not as new facts.
    joined: frozenset[int] = frozenset()
    #: Ids of leads to fold again from the beginning: history was merged into them.
    refold: set[int] = field(default_factory=set)
