"""What if this lead did X now, or nothing for a while? A copy of its state is folded onwards by the engine; nothing is written."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from leads import engine, scoring
from leads.fold_state import State
from leads.ledger import ITSELF, rule_names
from leads.models import Lead, ScoringVersion, Source, Stage
from leads.outlook import Way, gate_names, gates_ahead, stage_infos, state_of
from leads.sentences import why_points
from leads.templatetags.words import event_words
from leads.type_uses import events_in
from leads.versions_in_force import read_versions
from leads.vocabulary import STAFF_TYPES, event_key


@dataclass(frozen=True, slots=True)
class Supposition:
    """What is supposed: an event, so many times, so far apart; or, without a type, that nothing happens for some days."""

    type: str = ""
    times: int = 1
    apart: timedelta = timedelta(0)
    properties: dict[str, Any] = field(default_factory=dict)
    days: int = 0


@dataclass(slots=True)
class RuleSum:
    """What one rule would give or take, in how many lines, and why some of them differ from what the rule says."""

    name: str
    points: int = 0
    times: int = 0
    why: Counter[str] = field(default_factory=Counter)

    @property
    def reasons(self) -> list[str]:
        """The reasons in words, each with how often it holds when not always."""
        return [words if many == self.times else f"{many} of {self.times}: {words}" for words, many in self.why.items()]


@dataclass(frozen=True, slots=True)
class Step:
    """One move that would be made."""

    from_stage: Stage
    to_stage: Stage
    gate: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would come of it. `why_nothing` says why no rule gave anything."""

    before: int
    after: int
    rules: list[RuleSum]
    steps: list[Step]
    ways: list[Way]
    ends_at: datetime
    why_nothing: str = ""


def rehearse(lead: Lead, version: ScoringVersion, stages: Sequence[Stage], supposed: Supposition, *, now: datetime) -> Rehearsal:
    """Fold a copy of the lead's state onwards: first to this moment, then through what is supposed."""
    present = fold_on(state_of(lead, stages), [], version, stages, until=now).state
    facts = list(facts_of(supposed, present, version, now=now))
    ends_at = scoring.from_micros(facts[-1].at) if facts else now + timedelta(days=supposed.days)
    folded = fold_on(present, facts, version, stages, until=ends_at)
    by_key, names = {stage.key: stage for stage in stages}, gate_names(version)
    steps = [
        Step(by_key[move.from_stage], by_key[move.to_stage], names.get(move.gate, move.gate), scoring.from_micros(move.at))
        for move in folded.moves
    ]
    ways = gates_ahead(folded.state, version, stages, now=ends_at)[0] if folded.state.known else []
    why_nothing = "" if folded.lines else why_no_points(version, supposed)
    return Rehearsal(present.score, folded.state.score, sums_of(folded.lines, version), steps, ways, ends_at, why_nothing)


def fold_on(
    state: State, facts: Sequence[engine.Fact], version: ScoringVersion, stages: Sequence[Stage], *, until: datetime
) -> engine.Folded:
    """The engine's own fold, with the models that the state still needs."""
    versions = read_versions(up_to=version.pk)
    return engine.fold(
        state,
        facts,
        versions.models(expiry.version for expiry in state.expiries),
        stages=stage_infos(stages),
        until=scoring.to_micros(until),
        live=version.pk,
        published=versions.published,
        evidence_points=settings.EVIDENCE_POINTS,
    )


def facts_of(supposed: Supposition, state: State, version: ScoringVersion, *, now: datetime) -> Iterator[engine.Fact]:
    """The supposed events as facts, after everything the state has seen."""
    if not supposed.type:
        return
    first = max(scoring.to_micros(now), state.watermark, state.last[0] if state.last else 0) + 1
    source = Source.built_in().pk
    for n in range(supposed.times):
        yield engine.Fact(
            at=first + n * (supposed.apart // timedelta(microseconds=1)) + n,
            source=source,
            key=f"supposed-{n}",
            cause=f"supposed:{n}",
            type=supposed.type,
            properties=supposed.properties,
            traits={},
            version=version.pk,
            identifies=False,
            counts=True,
        )


def sums_of(lines: Sequence[engine.Line], version: ScoringVersion) -> list[RuleSum]:
    """The lines by rule, the strongest first."""
    names = rule_names(version)
    sums: dict[tuple[str, str, str], RuleSum] = {}
    for line in lines:
        key = (line.axis, line.rule, line.kind)
        name = names.get(line.rule, line.rule)
        total = sums.setdefault(key, RuleSum(f"{name}: {ITSELF[line.kind].lower()}" if line.kind in ITSELF else name))
        total.points, total.times = total.points + line.points, total.times + 1
        if line.reason:
            total.why[why_points(line.reason)] += 1
    return sorted(sums.values(), key=lambda total: (-abs(total.points), total.name))


def why_no_points(version: ScoringVersion, supposed: Supposition) -> str:
    """Why nothing would be given, in words."""
    if not supposed.type:
        return "No points expire by then, and no rule takes any."
    types = scoring.compiled(version.pk).types_of(supposed.type, supposed.properties)
    rules = [rule for rule in version.document.get("scoring", {}).get("rules", []) if rule["event"] in types]
    said = " and ".join(f"“{rule.get('name') or rule['key']}”" for rule in rules)
    if rules:
        return f"The conditions of {said} do not hold."
    return f"No rule gives points for “{event_words(supposed.type)}”."


def types_to_propose(version: ScoringVersion | None) -> list[str]:
    """The event types that rules, gates and derived types know: only they change anything."""
    document = version.document if version else {}
    derived = document.get("scoring", {}).get("derive", [])
    known = {*events_in(document), *(event_key(each[side]) for each in derived for side in ("from", "as"))}
    return sorted(known - STAFF_TYPES)
