"""`manage.py rebuild`: fold leads again from their facts and append what differs to the ledger."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from crm.management.leads import lead_of
from crm.refolding import rebuild, rebuildable


class Command(BaseCommand):
    """Rebuild one lead or all, and say how much differed."""

    help = "Fold leads again from their facts. Lines are only appended, with the difference; running it twice appends nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--lead", metavar="UID", help="this lead only (an absorbed one stands for its survivor)")
        which.add_argument("--all", action="store_true", help="every lead")

    def handle(self, *args: Any, **options: Any) -> None:
        pks = rebuildable() if options["all"] else [self.survivor_of(options["lead"])]
        folded = appended = 0
        for leads, lines in rebuild(pks):
            folded, appended = folded + leads, appended + lines
            if len(pks) > leads:
                self.stdout.write(f"{folded} of {len(pks)} leads, {appended} lines appended")
        self.stdout.write(
            f"Rebuilt {folded} {'lead' if folded == 1 else 'leads'}: {appended} ledger {'line' if appended == 1 else 'lines'} appended."
        )

    def survivor_of(self, uid: str) -> int:
        """The id of the lead with this uid, or of the one it was merged into, and say so. Raises CommandError."""
        lead = lead_of(uid)
        if lead.merged_into is None:
            return lead.pk
        self.stdout.write(f"{lead.uid} was merged into {lead.merged_into.uid}, which is rebuilt in its place.")
        return lead.merged_into.pk
