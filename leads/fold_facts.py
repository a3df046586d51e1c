"""What goes into a fold and what comes out: facts and recorded moves; lines, new moves, marks on the way."""

from typing import Any, NamedTuple

from leads.fold_state import State


class Fact(NamedTuple):
    """An event as the engine sees it. `version`: the model it is pinned to.

    `counts`: False for suspect engagement. `acts`: the person did it, so it ends idleness. `colleague`: somebody
    else of the company did it: conditions of the whole company count it, and its traits say nothing but what it told
    about the company.
    """

    at: int
    source: int
    key: str
    cause: str
    type: str
    properties: dict[str, Any]
    traits: dict[str, Any]
    version: int | None
    identifies: bool
    counts: bool
    acts: bool = True
    colleague: bool = False

    def pinned_to(self, version: int) -> "Fact":
        """The same fact under another version: `_replace`, at half the cost."""
        return tuple.__new__(Fact, (*self[:7], version, *self[8:]))

    def for_colleagues(self, traits: dict[str, Any]) -> "Fact":
        """The same fact as the person's colleagues see it, saying no more than these traits."""
        return tuple.__new__(Fact, (*self[:6], traits, *self[7:11], True))


class PastMove(NamedTuple):
    """A recorded transition: an input, never changed. `neutral`: taken back by hand, or the taking back; restarts nothing."""

    at: int
    seq: int
    from_stage: str
    to_stage: str
    neutral: bool = False


class Line(NamedTuple):
    """One line of the ledger: `raw` is what the rule says, `points` what was applied, `reason` why they differ."""

    at: int
    axis: str
    kind: str
    cause: str
    rule: str
    raw: int
    points: int
    reason: str
    version: int


class NewMove(NamedTuple):
    """A gate opened. `cause` is the fact or the expiry after which it did, `idle:<at>`, `time:<at>`, `version:<id>` or `move:<seq>`."""

    at: int
    from_stage: str
    to_stage: str
    gate: str
    cause: str
    version: int
    engagement: int
    fit: int


class Mark(NamedTuple):
    """A state on the way: everything up to and including `at` is in it, nothing later."""

    at: int
    state: State


class Folded(NamedTuple):
    """What a fold gives: the state after it, the ledger lines, the moves, and the marks on the way.

    `switched`: whether the person is excluded has changed, which concerns the whole history; nothing was folded then,
    fold everything again from the start.
    """

    state: State
    lines: list[Line]
    moves: list[NewMove]
    marks: list[Mark]
    switched: bool = False
