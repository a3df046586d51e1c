"""Everything that can be wrong with a playbook: its shape, what its parts say about each other, and what it takes away."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import msgspec
from django.db.models import Q

from campaigns.documents import CampaignDoc
from campaigns.models import Campaign
from campaigns.publishing import check_campaign
from campaigns.windows import ScheduleError, read_window
from crm.playbook_document import NOT_BUILT, SECTIONS, PlaybookDoc, ReasonDoc, StageDoc, read_section
from leads import yaml_lines
from leads.documents import ModelDoc
from leads.models import Consent, Lead, Reason, Stage, Topic, Transition
from leads.publishing import check_model, duplicate_problems, unknown_stage
from leads.shape import Problem, misfits
from leads.zones import known

# New leads stand here from their first event; see Lead.stage.
FIRST_STAGE = "cold"


def file_problems(document: yaml_lines.Document) -> list[Problem]:
    """Everything wrong with a file, in the order of its lines. What does not have the right shape is not looked into further."""
    if document.value is None:
        return [Problem((), "the file is empty; begin with version: 1")]
    shape = [*misfits(document.value, PlaybookDoc, not_built=NOT_BUILT), *blank_sections(document.value)]
    if not isinstance(document.value, dict):
        return located(shape, document)
    broken = {problem.path[:2] if problem.path[:1] == ("campaigns",) else problem.path[:1] for problem in shape}
    fitting = {section: value for section, value in document.value.items() if section in SECTIONS and (section,) not in broken}
    campaigns = {index for index in range(len(fitting.get("campaigns", []))) if ("campaigns", index) not in broken}
    return located([*shape, *meaning_problems(fitting, campaigns)], document)


def blank_sections(value: Any) -> Iterator[Problem]:
    """Sections with nothing under them: nobody can tell whether they are meant to stay or to become empty."""
    for section in SECTIONS:
        if isinstance(value, dict) and section in value and value[section] is None:
            yield Problem((section,), "nothing stands here; leave the section out to keep what there is, or write [] (for a mapping {})")


def located(problems: list[Problem], document: yaml_lines.Document) -> list[Problem]:
    """The problems with their lines, in order; those of sections that are not in the file have none."""
    sections = document.value if isinstance(document.value, dict) else {}
    found = [
        replace(problem, line=document.line_of(problem.path) or 1) if not problem.path or problem.path[0] in sections else problem
        for problem in problems
    ]
    return sorted(found, key=lambda problem: problem.line or 0)


def meaning_problems(sections: dict[str, Any], campaigns: Collection[int] | None = None) -> Iterator[Problem]:
    """What is wrong with sections of the right shape; of the campaigns only those with these indexes are looked at."""
    stages, topics = stage_keys(sections), topic_keys(sections)
    if (zone := sections.get("timezone")) is not None and not known(zone):
        yield Problem(("timezone",), f"{zone!r} is not a time zone; write one like Europe/Berlin or UTC")
    if "stages" in sections:
        yield from stage_problems(read_section("stages", sections["stages"]))
    for name in ("reasons", "topics"):
        yield from duplicate_problems([entry["key"] for entry in sections.get(name) or []], (name,))
    yield from reason_problems(read_section("reasons", sections.get("reasons")) or [], stages)
    yield from window_problems(sections)
    model = msgspec.convert({name: sections[name] for name in ("scoring", "gates") if sections.get(name)}, ModelDoc)
    yield from check_model(model, stages=stages)
    yield from campaign_problems(sections.get("campaigns") or [], campaigns, stages, topics)


def stage_keys(sections: dict[str, Any]) -> list[str]:
    """The stages there will be."""
    return [stage["key"] for stage in sections["stages"]] if "stages" in sections else list(Stage.objects.values_list("key", flat=True))


def topic_keys(sections: dict[str, Any]) -> list[str]:
    """The topics there will be."""
    return [topic["key"] for topic in sections["topics"]] if "topics" in sections else list(Topic.objects.values_list("key", flat=True))


def stage_problems(stages: list[StageDoc]) -> Iterator[Problem]:
    """What is wrong with the stages."""
    yield from duplicate_problems([stage.key for stage in stages], ("stages",))
    if not stages or stages[0].key != FIRST_STAGE or stages[0].kind != "open":
        yield Problem(("stages",), f"the first stage must be {FIRST_STAGE}, and open: new leads begin there; it may have any name")


def reason_problems(reasons: list[ReasonDoc], stages: Collection[str]) -> Iterator[Problem]:
    """Reasons that lead to stages nobody knows."""
    for index, reason in enumerate(reasons):
        if reason.to is not None and reason.to not in stages:
            yield Problem(("reasons", index, "to"), unknown_stage(reason.to, stages))


def window_problems(sections: dict[str, Any]) -> Iterator[Problem]:
    """A send window nobody can follow."""
    sending = read_section("sending", sections.get("sending"))
    if sending and sending.window:
        try:
            read_window(sending.window)
        except ScheduleError as error:
            yield Problem(("sending", "window"), str(error))


def campaign_problems(
    entries: list[Any], fitting: Collection[int] | None, stages: Collection[str], topics: Collection[str]
) -> Iterator[Problem]:
    """What is wrong with the campaigns. Conditions may name those of the file and archived ones."""
    keys = [str(entry.get("key")) if isinstance(entry, dict) else "" for entry in entries]
    yield from duplicate_problems(keys, ("campaigns",))
    for index, entry in enumerate(entries):
        if fitting is None or index in fitting:
            doc = msgspec.convert(entry, CampaignDoc)
            for problem in check_campaign(doc, stages=stages, topics=topics, campaigns=keys):
                yield replace(problem, path=("campaigns", index, *problem.path))


# --- what a file takes away ---------------------------------------------------------------------


def removal_problems(sections: dict[str, Any], draft: dict[str, Any]) -> list[Problem]:
    """What the file removes although leads, past moves or consents, or sections it leaves out, still name it."""
    problems = [*stage_removals(sections), *topic_removals(sections), *reason_removals(sections)]
    return problems or list(outside_problems(sections, draft))


def stage_removals(sections: dict[str, Any]) -> Iterator[Problem]:
    """Stages that leads stand in or have passed."""
    for key in missing(sections, "stages", Stage):
        leads = Lead.objects.filter(stage_id=key).count()
        moves = Transition.objects.filter(Q(from_stage_id=key) | Q(to_stage_id=key)).count()
        if leads:
            yield Problem(("stages",), f"{key} is missing here, but leads stand in it ({leads}); move them to another stage, or keep it")
        elif moves:
            yield Problem(("stages",), f"{key} is missing here, but past moves tell of it ({moves}); keep it, its name may change")


def topic_removals(sections: dict[str, Any]) -> Iterator[Problem]:
    """Topics that people have answered to, or that campaigns belong to which are not in the file."""
    written = {entry["key"]: entry.get("topic") for entry in sections.get("campaigns") or []}
    for key in missing(sections, "topics", Topic):
        answers = Consent.objects.filter(topic__key=key).count()
        if answers:
            yield Problem(("topics",), f"{key} is missing here, but consents name it ({answers}); they are proof, keep the topic")
        for campaign in Campaign.objects.filter(topic__key=key).exclude(key__in=written).values_list("key", flat=True):
            yield Problem(("topics",), f"{key} is missing here, but the campaign {campaign} belongs to it; keep the topic")


def reason_removals(sections: dict[str, Any]) -> Iterator[Problem]:
    """Reasons that past moves carry."""
    for key in missing(sections, "reasons", Reason):
        if moves := Transition.objects.filter(reason__key=key).count():
            yield Problem(("reasons",), f"{key} is missing here, but past moves carry it ({moves}); keep it, its name may change")


def missing(sections: dict[str, Any], name: str, model: type[Stage] | type[Topic] | type[Reason]) -> list[str]:
    """The keys of rows that a section leaves out; none when the whole section is left out."""
    if name not in sections:
        return []
    return list(model.objects.exclude(key__in=[entry["key"] for entry in sections[name]]).values_list("key", flat=True))


def outside_problems(sections: dict[str, Any], draft: dict[str, Any]) -> Iterator[Problem]:
    """What the file breaks in sections it leaves out: they stay as they are, and name what it removes."""
    rest = {name: value for name, value in draft.items() if name not in sections and fits(name, value)}
    before = {problem.path for problem in meaning_problems({name: value for name, value in draft.items() if fits(name, value)})}
    for problem in meaning_problems(rest | sections):
        if problem.path[0] in rest and problem.path not in before:
            yield replace(
                problem, message=f"{problem.message}. This stands in the draft, not in the file: change it there, or add the section"
            )


def fits(name: str, value: Any) -> bool:
    """Whether a section of the draft has the right shape: people may be in the middle of typing it."""
    return not list(misfits({"version": 1, name: value}, PlaybookDoc, not_built=NOT_BUILT))
