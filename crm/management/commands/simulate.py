"""`manage.py simulate CAMPAIGN --lead UID [--event FILE]`: what a campaign would do for a lead. Nothing is written or sent."""

import json
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.models import Campaign
from crm.management.leads import lead_of
from crm.simulation import Line, Plan, SimulationError, simulate


class Command(BaseCommand):
    help = (
        "Play a campaign for one lead: each step with its local time, the mails as they would read, and what would skip or hold them. "
        "The production code decides; nothing is written, nothing is sent."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("campaign", metavar="CAMPAIGN", help="its key, for example API_DEEP_DIVE_SEQUENCE")
        parser.add_argument("--lead", metavar="UID", required=True, help="the lead's uid, as in the address of its page")
        parser.add_argument(
            "--event",
            metavar="FILE",
            help='JSON as for POST /api/events, for example {"eventType": "ABANDONED_CHECKOUT"}; without it: by hand',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        campaign, lead = campaign_of(options["campaign"]), lead_of(options["lead"])
        lead = lead.merged_into or lead
        event = event_of(options["event"]) if options["event"] else None
        try:
            plan = simulate(campaign, lead, event=event)
        except SimulationError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("\n".join(describe(plan)))


def campaign_of(key: str) -> Campaign:
    """The campaign with this key. Raises CommandError."""
    campaign = Campaign.objects.select_related("live").filter(key=key).first()
    if campaign is None:
        known = ", ".join(Campaign.objects.order_by("key").values_list("key", flat=True)) or "none yet; apply a playbook first"
        raise CommandError(f"There is no campaign {key!r}. Known: {known}.")
    return campaign


def event_of(path: str) -> dict[str, Any]:
    """Read the event from a file. Raises CommandError."""
    try:
        event = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(f'{path} is not JSON ({error}); write one event such as {{"eventType": "SIGNED_UP"}}.') from error
    if not isinstance(event, dict):
        raise CommandError(f'{path} must hold one event such as {{"eventType": "SIGNED_UP"}}, not {type(event).__name__}.')
    return event


def describe(plan: Plan) -> list[str]:
    """The plan as lines of text."""
    version = plan.campaign.live.number if plan.campaign.live else 0
    lines = [
        f"{plan.campaign.name} ({plan.campaign.key}, version {version}) for {plan.lead}",
        f"Started {plan.cause}; times are {plan.zone.key}.",
        "",
    ]
    for line in plan.lines:
        lines += entry(line, plan)
    return [*lines, f"The run is then {plan.outcome}." if plan.lines else f"Nothing happens; the run is {plan.outcome}."]


def entry(line: Line, plan: Plan) -> list[str]:
    """One line of the plan, with its mail."""
    head = f"{local(line.at, plan)}  {line.step}: {line.what}{f' ({line.why})' if line.why else ''}"
    if line.mail is None:
        return [head]
    body = textwrap.indent(line.mail.text.strip(), "    ")
    return [head, f"    Subject: {line.mail.subject}", "", body, ""]


def local(at: datetime, plan: Plan) -> str:
    """A time as the lead's clock shows it."""
    return f"{at.astimezone(plan.zone):%a %Y-%m-%d %H:%M}"
