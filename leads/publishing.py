"""The scoring model between its draft (rows that people edit) and its published versions (documents that never change)."""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from django.db import models, transaction
from django.utils import timezone

from leads import rescoring
from leads.conditions import All, AnyOf, ConditionError, Node, Place, parse
from leads.documents import GateDoc, IdleDoc, LimitDoc, LimitsDoc, ModelDoc, RuleDoc, ScoringDoc
from leads.gate_cycles import find_cycle
from leads.models import (
    DerivedType,
    Exclusion,
    FitRule,
    Gate,
    IdleRule,
    ScoringLimits,
    ScoringRule,
    ScoringVersion,
    Stage,
    User,
    Workspace,
)
from leads.shape import Path, Problem, PublishError, builtins, read, same, suggestion, without_blanks
from leads.vocabulary import is_reserved, parse_duration

STAGE_OPERATORS = {"is", "is_not", "in", "not_in"}
SHORTEST_IDLE = timedelta(hours=1)


# --- draft and versions -------------------------------------------------------------------------


def draft_document() -> dict[str, Any]:
    """The draft as the sections `scoring` and `gates` of a playbook, whatever people have typed into it."""
    rules = [rule_entry(rule) for rule in ScoringRule.objects.all()]
    fit = [{"key": rule.key, "points": rule.points, "when": rule.when, "name": rule.name} for rule in FitRule.objects.all()]
    idle = [
        {"key": rule.key, "after": rule.after, "points": rule.points} | without_blanks({"every": rule.every, "name": rule.name})
        for rule in IdleRule.objects.all()
    ]
    exclusion = Exclusion.objects.filter(pk=1).first()
    derive = [{"from": row.source_type, "as": row.derived_type, "when": row.when} for row in DerivedType.objects.all()]
    limits = ScoringLimits.objects.values(*LimitsDoc.__struct_fields__).filter(pk=1).first() or {}
    scoring = {
        "derive": [without_blanks(entry) for entry in derive],
        "limits": without_blanks(limits),
        "rules": rules,
        "fit": [{"when": []} | without_blanks(entry) for entry in fit],
        "idle": idle,
        "exclude": exclusion.conditions if exclusion else [],
    }
    gates = Gate.objects.prefetch_related("from_stages")
    return {"scoring": without_blanks(scoring), "gates": [gate_entry(gate) for gate in gates]}


def rule_entry(rule: ScoringRule) -> dict[str, Any]:
    """One rule as it stands in a playbook."""
    limit = without_blanks({"times": rule.limit_times, "per": rule.limit_per, "days": rule.limit_days})
    worth = {"reset": rule.reset} if rule.reset else {"points": rule.points}
    return {"key": rule.key, "event": rule.event, **worth} | without_blanks(
        {"name": rule.name, "when": rule.when, "limit": limit, "expires_after": rule.expires_after}
    )


def gate_entry(gate: Gate) -> dict[str, Any]:
    """One gate as it stands in a playbook."""
    origins = [stage.key for stage in gate.from_stages.all()]
    entry = {"key": gate.key, "from": origins[0] if len(origins) == 1 else origins, "to": gate.to_id, "conditions": gate.conditions}
    return entry | ({"name": gate.name} if gate.name else {}) | ({"match": gate.match} if gate.match != Gate.Match.ANY else {})


def export_draft() -> ModelDoc:
    """The draft as a document. Raises PublishError when people have typed something that cannot be read."""
    return read(draft_document(), ModelDoc)


def replace_draft(doc: ModelDoc, *, by_user: User | None = None) -> None:
    """Make the draft say what `doc` says. Rows that say it already keep their editor."""
    stamp = {"edited_at": timezone.now(), "edited_by": by_user}
    with transaction.atomic():
        replace_scoring(doc.scoring, stamp)
        replace_gates(doc.gates, stamp)


def publish(
    *, by_user: User | None = None, note: str = "", rescore: bool = False, tell: bool = False, restores: ScoringVersion | None = None
) -> ScoringVersion:
    """Publish the draft as the next version, which scores from now on, or (`rescore`) what happened before too.

    The workers then look at every lead anew; `tell` lets them mail the owners of those that move. `restores` is kept if
    the draft says what that version says. A draft like the live version publishes nothing, unless the past is to be
    scored by it and was not. Raises PublishError, naming everything that is wrong with the draft.
    """
    with transaction.atomic():
        lock_workspace()
        doc = export_draft()
        if problems := check_model(doc, stages=list(Stage.objects.values_list("key", flat=True))):
            raise PublishError(problems)
        document, live = builtins(doc), ScoringVersion.live()
        if live and is_live(document, live, rescore=rescore):
            return live
        version = ScoringVersion.objects.create(
            number=live.number + 1 if live else 1,
            document=document,
            rescored=rescore,
            restores=restores if restores and same(restores.document, document) else None,
            note=note,
            published_by=by_user,
        )
        rescoring.start(version, history=rescore, tell=tell, by_user=by_user)
        return version


def is_live(document: Mapping[str, Any], live: ScoringVersion, *, rescore: bool) -> bool:
    """Whether publishing this document would publish nothing: it is live, and has scored the past if that is asked for."""
    return same(live.document, document) and (live.rescored or not rescore)


def lock_workspace() -> Workspace:
    """The workspace's row, locked until the transaction ends: one publishes or applies a playbook at a time."""
    return Workspace.objects.select_for_update().get_or_create(pk=1)[0]


# --- writing the draft --------------------------------------------------------------------------


def replace_scoring(doc: ScoringDoc, stamp: dict[str, Any]) -> None:
    """Rules, fit, idle rules, limits, exclusion and derived types."""
    replace_rows(ScoringRule.objects.all(), {rule.key: rule_values(rule) for rule in doc.rules}, stamp)
    fit = {rule.key: {"name": rule.name, "when": rule.when, "points": rule.points} for rule in doc.fit}
    replace_rows(FitRule.objects.all(), fit, stamp)
    idle = {rule.key: {"name": rule.name, "after": rule.after, "every": rule.every or "", "points": rule.points} for rule in doc.idle}
    replace_rows(IdleRule.objects.all(), idle, stamp)
    if doc.exclude or Exclusion.objects.exists():
        row_of = Exclusion.objects.filter(pk=1).first() or Exclusion(pk=1)
        save_changes(row_of, {"conditions": doc.exclude}, stamp)
    if doc.limits != LimitsDoc() or ScoringLimits.objects.exists():
        row = ScoringLimits.objects.filter(pk=1).first() or ScoringLimits(pk=1)
        save_changes(row, msgspec.structs.asdict(doc.limits), stamp)
    wanted = [
        {"source_type": each.from_, "derived_type": each.as_, "when": each.when, "position": position}
        for position, each in enumerate(doc.derive)
    ]
    rows = list(DerivedType.objects.all())
    for index, values in enumerate(wanted):
        save_changes(rows[index] if index < len(rows) else DerivedType(), values, stamp)
    DerivedType.objects.filter(pk__in=[row.pk for row in rows[len(wanted) :]]).delete()


def rule_values(rule: Any) -> dict[str, Any]:
    """The columns of a rule."""
    limit = rule.limit or LimitDoc(times=1)
    return {
        "name": rule.name,
        "event": rule.event,
        "points": rule.points,
        "reset": rule.reset or "",
        "when": rule.when,
        "limit_times": limit.times if rule.limit else None,
        "limit_per": limit.per or "",
        "limit_days": limit.days,
        "expires_after": rule.expires_after or "",
    }


def replace_gates(gates: list[GateDoc], stamp: dict[str, Any]) -> None:
    """The gates, in their order."""
    wanted = {
        gate.key: {"name": gate.name, "to_id": gate.to, "match": gate.match, "conditions": gate.conditions, "position": position}
        for position, gate in enumerate(gates)
    }
    replace_rows(Gate.objects.all(), wanted, stamp)
    rows = {row.key: row for row in Gate.objects.prefetch_related("from_stages")}
    for gate in gates:
        row = rows[gate.key]
        if {stage.key for stage in row.from_stages.all()} != set(gate.origins):
            row.from_stages.set(Stage.objects.filter(key__in=gate.origins))
            Gate.objects.filter(pk=row.pk).update(**stamp)


def replace_rows(rows: models.QuerySet[Any], wanted: Mapping[str, dict[str, Any]], stamp: Mapping[str, Any]) -> None:
    """Make rows with a `key` be exactly the wanted ones (key → columns); `stamp` goes onto those that change."""
    present = {row.key: row for row in rows}
    rows.exclude(key__in=wanted).delete()
    for key, values in wanted.items():
        save_changes(present.get(key) or rows.model(key=key), values, stamp)


def save_changes(row: models.Model, values: Mapping[str, Any], stamp: Mapping[str, Any]) -> None:
    """Save a row if it is new or one of the values differs."""
    if row.pk is not None and not row._state.adding and all(same(getattr(row, name), value) for name, value in values.items()):
        return
    for name, value in {**values, **stamp}.items():
        setattr(row, name, value)
    row.save()


# --- checking -----------------------------------------------------------------------------------


def check_model(doc: ModelDoc, *, stages: Collection[str]) -> list[Problem]:
    """Everything wrong with a scoring model that its types cannot see; paths begin with `scoring` or `gates`."""
    return [*scoring_problems(doc.scoring, stages), *gate_problems(doc.gates, stages)]


def scoring_problems(doc: ScoringDoc, stages: Collection[str]) -> Iterator[Problem]:
    """What is wrong with derived types, rules, fit rules and limits."""
    for index, derive in enumerate(doc.derive):
        path: Path = ("scoring", "derive", index)
        yield from condition_problems(derive.when, Place.EVENT, (*path, "when"), stages=stages)
        if derive.as_ == derive.from_ or is_reserved(derive.as_):
            yield Problem((*path, "as"), f"{derive.as_} cannot be a derived type; choose a name of your own, for example VIEWED_PRICING")
    yield from duplicate_problems([rule.key for rule in doc.rules], ("scoring", "rules"))
    for index, rule in enumerate(doc.rules):
        path = ("scoring", "rules", index)
        yield from condition_problems(rule.when, Place.RULE, (*path, "when"), stages=stages)
        yield from worth_problems(rule, path)
        if rule.limit and (rule.limit.per is None) == (rule.limit.days is None):
            yield Problem((*path, "limit"), "a limit needs exactly one of per and days; write {times: 3, per: day} or {times: 3, days: 10}")
    yield from duplicate_problems([rule.key for rule in doc.fit], ("scoring", "fit"))
    for index, fit in enumerate(doc.fit):
        path = ("scoring", "fit", index, "when")
        yield from condition_problems(fit.when, Place.FIT, path, stages=stages)
        if not fit.when:
            yield Problem(path, "a fit rule without conditions gives everyone its points; add one")
    yield from duplicate_problems([rule.key for rule in doc.idle], ("scoring", "idle"))
    for index, idle in enumerate(doc.idle):
        yield from idle_problems(idle, ("scoring", "idle", index))
    yield from condition_problems(doc.exclude, Place.EXCLUDE, ("scoring", "exclude"), stages=stages)
    yield from shared_keys(doc)
    yield from limit_problems(doc.limits)


def worth_problems(rule: RuleDoc, path: Path) -> Iterator[Problem]:
    """A rule that neither gives points nor resets, or both; a reset with what belongs to points."""
    if (rule.points is None) == (rule.reset is None):
        yield Problem((*path, "points"), "a rule either gives points or resets; write points: 10, or reset: engagement")
    for word in ("limit", "expires_after"):
        if rule.reset and getattr(rule, word):
            yield Problem((*path, word), f"a reset has no {word}; leave it out")
    if rule.expires_after and not parse_duration(rule.expires_after):
        yield Problem((*path, "expires_after"), "the points would expire at once; write for example 90d")


def idle_problems(rule: IdleDoc, path: Path) -> Iterator[Problem]:
    """An idle rule that would give points all the time."""
    for word, duration in (("after", rule.after), ("every", rule.every)):
        if duration is not None and parse_duration(duration) < SHORTEST_IDLE:
            yield Problem((*path, word), f"{duration} is too short to be called idle; write at least 1h, for example 30d")


def shared_keys(doc: ScoringDoc) -> Iterator[Problem]:
    """Keys that stand in two lists: a line of the ledger names its rule by key alone."""
    seen: dict[str, str] = {}
    keys = {"rules": [rule.key for rule in doc.rules], "fit": [rule.key for rule in doc.fit], "idle": [rule.key for rule in doc.idle]}
    for part, names in keys.items():
        for index, key in enumerate(names):
            other = seen.setdefault(key, part)
            if other != part:
                yield Problem(("scoring", part, index, "key"), f"{key} is the key of one of the {other} too; choose another")


def limit_problems(limits: LimitsDoc) -> Iterator[Problem]:
    """Bounds that contradict each other."""
    for low, high in [("fit_min", "fit_max"), ("floor", "engagement_max"), ("floor", "stop_above")]:
        lowest, highest = getattr(limits, low), getattr(limits, high)
        if lowest is not None and highest is not None and lowest > highest:
            yield Problem(("scoring", "limits", low), f"{low} {lowest} lies above {high} {highest}; lower it")


def gate_problems(gates: list[GateDoc], stages: Collection[str]) -> Iterator[Problem]:
    """What is wrong with gates one by one, and with circles of them."""
    yield from duplicate_problems([gate.key for gate in gates], ("gates",))
    for index, gate in enumerate(gates):
        for word, keys in [("from", gate.origins), ("to", [gate.to])]:
            for key in keys:
                if key not in stages:
                    yield Problem(("gates", index, word), unknown_stage(key, stages))
        if gate.to in gate.origins:
            yield Problem(("gates", index, "to"), f"leads from {gate.to} to {gate.to}; a gate leads to another stage")
        if not gate.origins:
            yield Problem(("gates", index, "from"), "leads from nowhere; name a stage or a list of stages")
        if not gate.conditions:
            yield Problem(("gates", index, "conditions"), "a gate without conditions would be open for everyone; add one")
        yield from condition_problems(gate.conditions, Place.GATE, ("gates", index, "conditions"), stages=stages)
    yield from cycle_problems(gates, stages)


def cycle_problems(gates: list[GateDoc], stages: Collection[str]) -> Iterator[Problem]:
    """A circle of gates that can all be open at one instant. Gates that cannot be read are left out: they have problems of their own."""
    readable = [(gate, node) for gate in gates if gate.to not in gate.origins and (node := gate_node(gate)) is not None]
    if cycle := find_cycle(readable, list(stages)):
        route = " → ".join(f"{gate.key} (to {gate.to})" for gate in cycle)
        yield Problem(
            ("gates", gates.index(cycle[0])),
            f"these gates can all be open at one instant and would move a lead in a circle: {route}; "
            "let one need what another excludes, for example a score of at least 80 in one and below 40 in the other",
        )


def gate_node(gate: GateDoc) -> Node | None:
    """The gate's conditions as one node, None when they cannot be read."""
    try:
        nodes = tuple(parse([condition], place=Place.GATE) for condition in gate.conditions)
    except ConditionError:
        return None
    return AnyOf(nodes) if gate.match == "any" else All(nodes)


def condition_problems(
    conditions: list[Any] | dict[str, Any], place: Place, path: Path, *, stages: Collection[str], campaigns: Collection[str] | None = None
) -> Iterator[Problem]:
    """What is wrong with conditions, each item of a list looked at by itself; also stages and campaigns that do not exist."""
    for index, condition in enumerate(conditions) if isinstance(conditions, list) else [(None, conditions)]:
        here = path if index is None else (*path, index)
        try:
            parse([condition], place=place)
        except ConditionError as error:
            yield Problem((*here, *error.path[1:], *misspelt_key(condition, error)), str(error))
            continue
        yield from reference_problems(condition, here, stages, campaigns)


def misspelt_key(condition: Any, error: ConditionError) -> list[str]:
    """The key that the error is about, when it stands at a whole mapping because its first key is unknown."""
    part = condition
    for step in error.path[1:]:
        part = part[step] if step in steps_into(part) else None
    key = next(iter(part), None) if isinstance(part, dict) else None
    return [key] if isinstance(key, str) and str(error).startswith(f"{key!r} is no condition") else []


def steps_into(part: Any) -> Collection[Any]:
    """The steps that lead further into a list or mapping."""
    if isinstance(part, list):
        return range(len(part))
    return part if isinstance(part, dict) else ()


def reference_problems(part: Any, path: Path, stages: Collection[str], campaigns: Collection[str] | None) -> Iterator[Problem]:
    """Stages and campaigns that a (readable) condition names and nobody knows."""
    if isinstance(part, list):
        for index, item in enumerate(part):
            yield from reference_problems(item, (*path, index), stages, campaigns)
    if not isinstance(part, dict):
        return
    if part.get("field") == "lead.stage" and part.get("op") in STAGE_OPERATORS:
        value = part["value"]
        for key in value if isinstance(value, list) else [value]:
            if key not in stages:
                yield Problem((*path, "value"), unknown_stage(key, stages))
    campaign = part.get("campaign")
    if campaigns is not None and isinstance(campaign, str) and campaign not in campaigns:
        yield Problem((*path, "campaign"), f"there is no campaign {campaign!r}{suggestion(campaign, list(campaigns), known=True)}")
    for word in ("all", "any", "not"):
        if word in part:
            yield from reference_problems(part[word], (*path, word), stages, campaigns)


def unknown_stage(key: object, stages: Collection[str]) -> str:
    """The sentence about a stage that does not exist."""
    return f"there is no stage {key!r}{suggestion(key, list(stages), known=True)}"


def duplicate_problems(keys: list[str], path: Path) -> Iterator[Problem]:
    """Keys that stand in a list twice."""
    for index, key in enumerate(keys):
        if key and key in keys[:index]:
            yield Problem((*path, index, "key"), f"{key} is there already (entry {keys.index(key)}); keys are unique, choose another")
