"""What the ledgers of some leads say now: later lines correct earlier ones of the same cause, rule and kind."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import TextField
from django.db.models.functions import Cast

from leads.fold_state import EARLIEST
from leads.models import ScoreEntry
from leads.stored_facts import read_time
from leads.versions_in_force import from_micros

# A cause, a rule and a kind: one thing that gives, or takes, once.
LineKey = tuple[str, str, str]


class Standing(NamedTuple):
    """The points of all lines together, the number of the last one, and when it was, as the database writes it."""

    points: int
    n: int
    at: str

    @property
    def moment(self) -> int:
        """When it was, in microseconds since 1970."""
        return read_time(self.at)


def standing_lines(leads: Iterable[int], *, since: int = EARLIEST) -> dict[int, dict[LineKey, Standing]]:
    """By lead, and then by cause, rule and kind; only what was after `since` (µs).

    Lines are added up here: that costs half of letting the database group by texts.
    """
    found: dict[int, dict[LineKey, Standing]] = {pk: {} for pk in leads}
    if not found:
        return found
    rows = ScoreEntry.objects.filter(lead__in=found).order_by()
    rows = rows.filter(at__gt=from_micros(since)) if since > EARLIEST else rows
    columns = rows.values_list("lead_id", "cause", "rule", "kind", "points", "n", Cast("at", TextField()))
    for lead_id, cause, rule, kind, points, n, at in columns:
        mine, key = found[lead_id], (cause, rule, kind)
        before = mine.get(key)
        mine[key] = Standing(points, n, at) if before is None else Standing(before.points + points, max(before.n, n), at)
    return found
