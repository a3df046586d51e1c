"""What the engine carries from one fact to the next: small, JSON-safe, the same for a short and a long history."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct, convert, field, to_builtins
from msgspec.json import Decoder
from msgspec.structs import replace

# Before every fact: the mark of a state to which nothing has happened.
EARLIEST = -(10**17)
# After everything that will ever be due.
LATEST = 10**18


class StageInfo(NamedTuple):
    """A stage as the engine sees it."""

    key: str
    position: int
    kind: str


class Published(NamedTuple):
    """From when on a version was in force (µs); `EARLIEST` for one published for the past too."""

    at: int
    version: int


class Expiry(NamedTuple):
    """Points to be taken back. Ordered by due time, then by the fact (its number in fact order), then by rule."""

    due: int
    number: int
    rule: str
    cause: str
    points: int
    version: int


class Restart(Struct, array_like=True, gc=False):
    """Evidence restarts: after the move backwards at `at`, until the stage at `position` is reached again."""

    at: int
    position: int
    earned: int = 0


class State(Struct, omit_defaults=True, gc=False):
    """One lead between two facts. Times are µs since 1970, UTC. As JSON: everything that differs from a new state."""

    stage: str
    stage_at: int | None = None
    seq: int = 0  # transitions so far
    moves: int = 0  # transitions that stand at stage_at: the brake on gates that open each other
    engagement: int = 0
    fit: int = 0
    known: bool = False
    excluded: bool = False  # nothing counts
    version: int | None = None  # the version in force
    events: int = 0  # facts folded
    marked: int = 0  # how many there were when the state was noted last
    first: int | None = None  # when the first fact happened
    active: int | None = None  # when the person last did something
    last: tuple[int, int, str] | None = None  # the last fact: (at, source, key)
    watermark: int = EARLIEST  # the last thing that time or people did; a fact before it calls for a refold
    clock: int = EARLIEST
    wake: int | None = None  # when a gate may open by the passing of time
    idle_due: int | None = None  # when an idle rule gives next
    fit_version: int | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    company: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)  # what colleagues told about the company later than the person
    held: dict[str, int] = field(default_factory=dict)  # fit rule that holds → the points it gives within the limits
    idle: dict[str, int] = field(default_factory=dict)  # idle rule → how often it has given since the person was active
    grants: dict[str, list[int]] = field(default_factory=dict)  # limited rule → times of its last grants
    counters: dict[str, list[int]] = field(default_factory=dict)  # event condition → times of the last events
    expiries: list[Expiry] = field(default_factory=list)  # a heap
    restart: Restart | None = None

    @property
    def score(self) -> int:
        """Both axes together."""
        return self.engagement + self.fit

    @property
    def next_due(self) -> int | None:
        """When something changes by the passing of time alone, None when nothing will."""
        due = min(self.expiries[0].due if self.expiries else LATEST, LATEST if self.wake is None else self.wake)
        due = due if self.idle_due is None else min(due, self.idle_due)
        return None if due == LATEST else due

    @property
    def idle_since(self) -> int | None:
        """Since when the person has done nothing: the last thing they did, else the first fact about them."""
        return self.first if self.active is None else self.active

    def copy(self) -> "State":
        """A copy that can be folded on without touching this one."""
        return replace(
            self,
            traits=dict(self.traits),
            company=dict(self.company),
            shared=dict(self.shared),
            held=dict(self.held),
            idle=dict(self.idle),
            grants={key: list(times) for key, times in self.grants.items()},
            counters={key: list(times) for key, times in self.counters.items()},
            expiries=list(self.expiries),
            restart=self.restart and replace(self.restart),
        )

    def to_json(self) -> dict[str, Any]:
        """For columns that Django writes."""
        data: dict[str, Any] = to_builtins(self)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "State":
        """From a column that Django read; shares nothing with `data` that folding changes."""
        return convert(data, cls)

    @classmethod
    def from_text(cls, text: str) -> "State":
        """From a column as the text that the database wrote, in a third of the time."""
        return DECODER.decode(text)


DECODER = Decoder(State)


def start(stages: Sequence[StageInfo]) -> State:
    """A lead about whom nothing is known, in the first stage."""
    return State(stage=min(stages, key=lambda stage: stage.position).key)
