"""What time alone will bring a lead: when an idle rule gives next, and when a gate may open."""

from leads.fold_state import State
from leads.scoring_model import IdleRule, Model


def idle_turn(state: State, rule: IdleRule, in_force_since: int) -> int:
    """Which turn of an idle rule is next, from 0; turns from before the version came in force have passed without points."""
    given, since = state.idle.get(rule.key, 0), state.idle_since
    if since is None or since + rule.after > in_force_since:
        return given
    missed = 1 if rule.every is None else (in_force_since - since - rule.after) // rule.every + 1
    return max(given, missed)


def idle_due(state: State, rule: IdleRule, in_force_since: int) -> int | None:
    """When an idle rule gives next, if nothing happens; None when it has given all it does."""
    since, turn = state.idle_since, idle_turn(state, rule, in_force_since)
    if since is None or (turn and rule.every is None):
        return None
    return since + rule.after + turn * (rule.every or 0)


def next_idle(state: State, model: Model | None, in_force_since: int) -> int | None:
    """When any idle rule of the version in force gives next."""
    dues = [idle_due(state, rule, in_force_since) for rule in model.idle] if model else []
    return min((due for due in dues if due is not None), default=None)


def next_wake(state: State, model: Model | None, at: int) -> int | None:
    """When, after `at`, a counted event leaves its window, or somebody has stayed or been idle for long enough.

    Only where a gate out of the lead's stage waits for that.
    """
    waits = None if model is None else model.waits.get(state.stage)
    if waits is None:
        return None
    dues = [time + within for key, within in waits.falling.items() for time in state.counters.get(key, ())]
    stood = state.first if state.stage_at is None else state.stage_at
    if stood is not None:
        dues += [stood + stay for stay in waits.stays]
    if (idle_since := state.idle_since) is not None:
        dues += [idle_since + idle for idle in waits.idles]
    return min((due for due in dues if due > at), default=None)
