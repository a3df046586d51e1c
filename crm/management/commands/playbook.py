"""Everything staff can edit as one file: check it, see what it would change, apply it, write it."""

import argparse
import sys
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crm import playbook
from leads.changes import DraftMoved
from leads.fuse import Forecast
from leads.shape import PublishError

# Counting who would move says how far it is every so many seconds.
TELL_EVERY = 2.0


class Command(BaseCommand):
    help = "Check, compare, apply or export a playbook: everything staff can edit, as one YAML or JSON file."

    def add_arguments(self, parser: CommandParser) -> None:
        # Django's own parser class asks for arguments of its own; the plain one does for the verbs.
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=argparse.ArgumentParser)
        for verb, text in [
            ("check", "name everything that is wrong with a file"),
            ("plan", "show what it would change, and how many leads publishing it would move"),
            ("apply", "apply it"),
        ]:
            each = verbs.add_parser(verb, help=text)
            each.add_argument("file", metavar="FILE", help="YAML or JSON; - reads from standard input")
            if verb == "apply":
                each.add_argument("--publish", action="store_true", help="publish the scoring model and the campaigns of the file")
                each.add_argument("--rescore", action="store_true", help="with --publish: score by it what happened before, too")
                each.add_argument("--overwrite", action="store_true", help="go over what people edited since the last apply or export")
                each.add_argument("--move-anyway", action="store_true", help="with --publish: however many leads it moves, don't ask")
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
        except DraftMoved as error:
            raise CommandError(f"{error} Nothing was changed.") from error

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
        self.stdout.write(self.foretell(text), ending="")

    def foretell(self, text: str) -> str:
        """What publishing the file would move, or what keeps it from being published; nothing where it publishes no model."""
        try:
            foreseen = playbook.foresee(text, overwrite=True)
        except PublishError as error:
            return f"\nPublishing this would be refused:\n{error}\n"
        if foreseen is None:
            return ""
        found = self.count(foreseen, rescore=False)
        asks = f" {found.reason} apply --publish asks first." if found.asks else ""
        return f"\nPublishing this would move {found.words}.{asks}\n"

    def tell_warnings(self, text: str) -> None:
        """Say what is odd, beside the answer: whoever reads that with a program is not disturbed."""
        for warning in playbook.warnings(text):
            self.stderr.write(f"Warning: {warning}")

    def run_apply(self, *, file: str, publish: bool, rescore: bool, overwrite: bool, move_anyway: bool, **options: Any) -> None:
        for flag, is_given, why in (("rescore", rescore, "scores nothing"), ("move-anyway", move_anyway, "moves nobody")):
            if is_given and not publish:
                raise CommandError(f"--{flag} goes with --publish: a draft {why}. Nothing was changed.")
        text = read_text(file)
        seen = self.ask(text, rescore=rescore, overwrite=overwrite) if publish and not move_anyway else ""
        applied = playbook.apply(text, publish=publish, rescore=rescore, overwrite=overwrite, seen=seen)
        for line in applied.changes or ["The draft says all of it already."]:
            self.stdout.write(line)
        if applied.version:
            past = " The past is scored by it too, in the background; /scoring/versions/ shows how far that is." if rescore else ""
            self.stdout.write(f"Scoring: {applied.version} is live.{past}")
        for version in applied.campaigns:
            self.stdout.write(f"Campaign: {version}, {version.campaign.status}.")
        if not publish:
            self.stdout.write("Applied to the draft. Publish it with --publish, or on the pages.")

    def ask(self, text: str, *, rescore: bool, overwrite: bool) -> str:
        """If very many leads would move, go on only when somebody says yes; returns what names the model they said it to."""
        foreseen = playbook.foresee(text, rescore=rescore, overwrite=overwrite)
        if foreseen is None:
            return ""
        found = self.count(foreseen, rescore=rescore)
        if found.asks:
            question = f"Publishing this would move {found.words}. {found.reason}"
            if not sys.stdin.isatty():
                raise CommandError(f"{question} Nothing was changed. If they are to move, add --move-anyway.")
            self.stdout.write(f"{question} Moves are not taken back by a later version.")
            self.stdout.write("Move them and publish? [y/N] ", ending="")
            self.stdout.flush()
            if sys.stdin.readline().strip().lower() not in ("y", "yes"):
                raise CommandError("Nothing was changed.")
        return foreseen.seen

    def count(self, foreseen: playbook.Foreseen, *, rescore: bool) -> Forecast:
        """Count everybody who would move, however long it takes, and say how far it is."""
        told = monotonic()
        for found in foreseen.count(rescore=rescore):
            if monotonic() - told > TELL_EVERY:
                told = monotonic()
                self.stderr.write(f"{found.looked_at:,} of {found.leads:,} leads looked at, {found.total:,} would move", str)  # not in red
        return found

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
