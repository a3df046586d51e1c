"""When one of a company is won, marketing leaves their colleagues alone: the firm has become a customer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q

from campaigns.facts import Program
from campaigns.models import Enrollment
from campaigns.runs import COLLEAGUE_WON, ends_for_colleagues, exit_runs
from leads.models import Lead, Stage, Transition


def release_colleagues(*, transitions: Sequence[Transition], now: datetime, **kwargs: Any) -> None:
    """End the marketing runs of the colleagues of leads that were just won. Receiver of leads_transitioned.

    Somebody whom another worker holds right now is passed over: their run ends at its next step, which asks the same.
    A fixed number of statements, however many were won.
    """
    won = {stage.key for stage in Stage.objects.filter(kind=Stage.Kind.WON)}
    last = {transition.lead_id: transition for transition in transitions}
    winners = [move.lead for move in last.values() if move.to_stage_id in won and not move.undoes_id]
    companies = {lead.company_id for lead in winners if lead.company_id}
    if not companies:
        return
    active = Enrollment.objects.active()
    colleagues = Q(company__in=companies, merged_into=None, pk__in=active.values("lead")) & ~Q(pk__in=[lead.pk for lead in winners])
    skip = connection.features.has_select_for_update_skip_locked
    locked = Lead.objects.filter(colleagues).order_by("pk").select_for_update(no_key=True, skip_locked=skip)
    runs = active.filter(lead__in=[lead.pk for lead in locked]).select_related("version")
    ended = [run.pk for run in runs if ends_for_colleagues(Program(run.version).doc)]
    exit_runs(Enrollment.objects.filter(pk__in=ended), COLLEAGUE_WON, now)
