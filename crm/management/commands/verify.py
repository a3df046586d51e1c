"""`manage.py verify`: ask for every row that breaks what must always hold."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from crm.verify import Finding, verify


class Command(BaseCommand):
    """Print the invariants and what breaks them."""

    help = "Check what must always hold (ledger, stages, merges, inbox, messages); exits with 1 and lists the rows that break it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object: {ok, invariants: [{name, sentence, broken, rows}]}")

    def handle(self, *args: Any, **options: Any) -> None:
        findings = []
        for finding in verify():
            findings.append(finding)
            if not options["json"]:
                self.report(finding)
        broken = [finding.invariant.name for finding in findings if finding.broken]
        if options["json"]:
            self.stdout.write(json.dumps(as_json(findings), cls=DjangoJSONEncoder, indent=2))
        if broken:
            raise CommandError(f"{len(broken)} of {len(findings)} invariants are broken: {', '.join(broken)}", returncode=1)
        if not options["json"]:
            self.stdout.write(f"All {len(findings)} invariants hold.")

    def report(self, finding: Finding) -> None:
        """Print one line for an invariant, and one for each row that breaks it."""
        if not finding.broken:
            self.stdout.write(f"ok      {finding.invariant.name}")
            return
        self.stdout.write(f"BROKEN  {finding.invariant.name}: {finding.invariant.sentence} ({finding.broken} rows)")
        for row in finding.rows:
            self.stdout.write("          " + "  ".join(f"{name}={value}" for name, value in row.items()))
        if finding.broken > len(finding.rows):
            self.stdout.write(f"          … and {finding.broken - len(finding.rows)} more")


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """The findings for programs."""
    return {
        "ok": not any(finding.broken for finding in findings),
        "invariants": [
            {"name": each.invariant.name, "sentence": each.invariant.sentence, "broken": each.broken, "rows": each.rows}
            for each in findings
        ],
    }
