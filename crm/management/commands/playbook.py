"""Everything staff can edit as one file: check it, see what it would change, apply it, write it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import playbook
from leads.shape import PublishError


class Command(BaseCommand):
    help = "Check, compare, apply or export a playbook: everything staff can edit, as one YAML or JSON file."

    def add_arguments(self, parser: CommandParser) -> None:
        # Django's own parser class asks for arguments of its own; the plain one does for the verbs.
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=argparse.ArgumentParser)
        for verb, text in [
            ("check", "name everything that is wrong with a file"),
            ("plan", "show what it would change"),
            ("apply", "apply it"),
        ]:
            each = verbs.add_parser(verb, help=text)
            each.add_argument("file", metavar="FILE", help="YAML or JSON; - reads from standard input")
            if verb == "apply":
                each.add_argument("--publish", action="store_true", help="publish the scoring model and the campaigns of the file")
                each.add_argument("--rescore", action="store_true", help="with --publish: score by it what happened before, too")
                each.add_argument("--overwrite", action="store_true", help="go over what people edited since the last apply or export")
        export = verbs.add_parser("export", help="write the draft as a playbook")
        export.add_argument("file", metavar="FILE", nargs="?", help="where to; standard output if left out")

    def handle(self, *, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"run_{verb}")(**options)
        except PublishError as error:
            count = len(error.problems)
            nothing = "" if verb == "check" else " Nothing was changed."
            raise CommandError(f"{error}\n\n{count} problem{'s' if count > 1 else ''}.{nothing}") from error
        except playbook.DraftEditedError as error:
            raise CommandError(
                f"{error}\n\nNothing was changed. Export the draft to keep these edits, or apply with --overwrite."
            ) from error

    def run_check(self, *, file: str, **options: Any) -> None:
        text = read_text(file)
        if problems := playbook.check(text):
            raise PublishError(problems)
        self.tell_warnings(text)
        self.stdout.write(f"{file} is fine.")

    def run_plan(self, *, file: str, **options: Any) -> None:
        text = read_text(file)
        plan = playbook.plan(text)
        self.tell_warnings(text)
        self.stdout.write(plan)

    def tell_warnings(self, text: str) -> None:
        """Say what is odd, beside the answer: whoever reads that with a program is not disturbed."""
        for warning in playbook.warnings(text):
            self.stderr.write(f"Warning: {warning}")

    def run_apply(self, *, file: str, publish: bool, rescore: bool, overwrite: bool, **options: Any) -> None:
        if rescore and not publish:
            raise CommandError("--rescore goes with --publish: a draft scores nothing. Nothing was changed.")
        applied = playbook.apply(read_text(file), publish=publish, rescore=rescore, overwrite=overwrite)
        for line in applied.changes or ["The draft says all of it already."]:
            self.stdout.write(line)
        if applied.version:
            past = " The past is scored by it too, in the background; /scoring/versions/ shows how far that is." if rescore else ""
            self.stdout.write(f"Scoring: {applied.version} is live.{past}")
        for version in applied.campaigns:
            self.stdout.write(f"Campaign: {version}, {version.campaign.status}.")
        if not publish:
            self.stdout.write("Applied to the draft. Publish it with --publish, or on the pages.")

    def run_export(self, *, file: str | None, **options: Any) -> None:
        text = playbook.export()
        if file is None:
            self.stdout.write(text, ending="")
            return
        try:
            Path(file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file} can't be written ({error.strerror}); name a file in a folder that exists.") from error
        self.stdout.write(f"Written to {file}.")


def read_text(file: str) -> str:
    """The text of a file. Raises CommandError with the cure."""
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file} can't be read ({error.strerror}); name a playbook, for example crm/playbooks/shipped.yaml.") from error
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CommandError(f"{file}, line {line}: not UTF-8; save the file as UTF-8.") from error
