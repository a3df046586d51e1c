"""`manage.py whatif FILE --days N [--json]`: a playbook's scoring against the live one over real events. Writes nothing."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import playbook
from crm.management.commands.playbook import read_text
from crm.playbook_checks import located
from leads.documents import ModelDoc
from leads.models import Lead, Stage, WhatIf
from leads.publishing import check_model, draft_document
from leads.shape import Problem, PublishError, builtins, read
from leads.simulator import Outdated
from leads.versions_in_force import from_micros
from leads.whatif import LONGEST, begin, compare
from leads.whatif_page import Result, WeekRow
from leads.whatif_result import Differing, Tally, dump


class Command(BaseCommand):
    help = (
        "Compare the scoring and gates of a playbook with the live ones over the last days of real events: scores before and after, "
        "stage changes per week, the leads that differ, who was won and lost. Nothing is written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="YAML or JSON; - reads from standard input")
        parser.add_argument("--days", metavar="N", type=int, default=30, help=f"1 to {LONGEST}; 30 if left out")
        parser.add_argument("--json", action="store_true", help="one JSON object, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        file, days = options["file"], options["days"]
        if not 1 <= days <= LONGEST:
            raise CommandError(f"--days {days} is out of reach; write a number from 1 to {LONGEST}.")
        try:
            document = document_of(read_text(file))
        except PublishError as error:
            count = len(error.problems)
            raise CommandError(f"{error}\n\n{count} problem{'s' if count > 1 else ''}. Nothing was compared.") from error
        what_if = WhatIf(document=document, days=days, result=dump(self.run(document, days)))
        result = Result(what_if, other="file")
        self.stdout.write(json.dumps(as_json(result), indent=2) if options["json"] else "\n".join(report(result)))

    def run(self, document: dict[str, Any], days: int) -> Tally:
        """Compare all leads, and say how far it is."""
        tally, done, total = begin(days), 0, Lead.objects.current().count()
        try:
            for leads in compare(document, tally):
                done += leads
                self.stderr.write(f"{done:,} of {max(total, done):,} leads, {tally.facts:,} events")
        except Outdated as error:
            raise CommandError(str(error)) from error
        return tally


def document_of(text: str) -> dict[str, Any]:
    """Scoring and gates as they would be after applying the file: what it leaves out stays as in the draft. Raises PublishError."""
    wanted, lines = playbook.read_sections(text)
    sections = {name: wanted[name] for name in ("scoring", "gates") if name in wanted}
    if not sections:
        raise PublishError([Problem((), "the file has neither scoring nor gates, so there is nothing to compare; add one of them")])
    doc = read(draft_document() | sections, ModelDoc)
    if problems := check_model(doc, stages=list(Stage.objects.values_list("key", flat=True))):
        raise PublishError(located(problems, lines))
    document: dict[str, Any] = builtins(doc)
    return document


def report(result: Result) -> Iterator[str]:
    """The result as plain text."""
    tally = result.tally
    yield from [result.headline, "", f"{result.scores.finding}.", f"{'Score':>14}{'live':>9}{'file':>9}"]
    yield from (f"{group.label:>14}{group.values[0]:>9,}{group.values[1]:>9,}" for group in result.scores.groups)
    yield from ["", f"{result.weeks.finding}. Week beginning, and moves by gates (live, file):"]
    for row in result.week_rows:
        moves = [f"{words} {live}, {tried}" for words, (live, tried) in zip(result.arrow_words, row.moves, strict=True) if live or tried]
        yield f"{row.label:>14}{row.total[0]:>9,}{row.total[1]:>9,}   {'; '.join(moves)}".rstrip()
    yield from ["", *result.outcomes, ""]
    yield f"{tally.differ:,} {'lead differs' if tally.differ == 1 else 'leads differ'}. The most:" if tally.differ else "No lead differs."
    for page in result.pages:
        for each in result.rows(page):
            stages = f"{each.stages[0]} → {each.stages[1]}" if each.has_moved else str(each.stages[0])
            yield f"  {each.lead.uid}  {each.differing.score[0]:>5} → {each.differing.score[1]:<5} {stages}"
            for line in each.lines:
                yield f"      {line.day}  {line.name}{f' {line.kind}' if line.kind else ''}: {line.before:+d} → {line.after:+d}"
            if each.differing.more:
                yield f"      and {each.differing.more} more lines: {each.differing.more_points[0]:+d} → {each.differing.more_points[1]:+d}"


def as_json(result: Result) -> dict[str, Any]:
    """The result for programs; moves are written from>to."""
    tally = result.tally
    leads = Lead.objects.in_bulk([each.lead for each in tally.shown])
    return {
        "headline": result.headline,
        "live_version": tally.number,
        "days": result.what_if.days,
        "events": tally.facts,
        "leads": tally.known,
        "scores_changed": tally.changed,
        "stages_changed": tally.moves,
        "scores": [{"score": group.label, "live": group.values[0], "file": group.values[1]} for group in result.scores.groups],
        "weeks": [week_json(row, result.arrows) for row in result.week_rows],
        "won": msgspec.to_builtins(tally.won),
        "lost": msgspec.to_builtins(tally.lost),
        "differing": tally.differ,
        "differing_leads": [lead_json(leads[each.lead], each) for each in tally.shown if each.lead in leads],
    }


def week_json(row: WeekRow, arrows: list[str]) -> dict[str, Any]:
    """The moves of one week."""
    live, tried = ({arrow: pair[side] for arrow, pair in zip(arrows, row.moves, strict=True)} for side in (0, 1))
    return {"beginning": row.label, "live": live, "file": tried}


def lead_json(lead: Lead, each: Differing) -> dict[str, Any]:
    """One lead that differs: live first, then the file."""
    lines = [
        {"rule": line.rule, "kind": line.kind, "at": from_micros(line.at).isoformat(), "before": line.before, "after": line.after}
        for line in each.lines
    ]
    return {"uid": str(lead.uid), "score": list(each.score), "stage": list(each.stage), "lines": lines, "more_lines": each.more}
