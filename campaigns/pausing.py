"""Pausing a campaign, and what becomes of the mails that wait meanwhile."""

from django.db import transaction
from django.utils import timezone

from campaigns.facts import Program
from campaigns.models import Campaign, Enrollment, Message
from campaigns.runs import cancel_messages, note, pass_on
from leads.models import Lead

# How many runs one transaction takes along.
CHUNK = 500
UNSENT = [Message.State.SCHEDULED, Message.State.CLAIMED]


def waiting_mails(campaign: Campaign) -> int:
    """How many mails of a campaign stand in the outbox and nobody has begun to send."""
    return Message.objects.filter(enrollment__campaign=campaign, state__in=UNSENT).count()


def pause(campaign: Campaign, *, cancel: str = "") -> bool:
    """Pause a campaign; with `cancel` (the reason that is kept) its waiting mails are canceled. Tells whether it was active."""
    paused = campaign.pause()
    if paused and cancel:
        while cancel_waiting(campaign, cancel):
            pass
    return paused


def cancel_waiting(campaign: Campaign, reason: str) -> int:
    """Cancel up to CHUNK waiting mails; their runs go on with the next step, once the campaign does. Returns how many.

    Locks as everywhere: leads, then runs, then messages.
    """
    now = timezone.now()
    waiting = Message.objects.filter(enrollment__campaign=campaign, state__in=UNSENT).order_by("pk")
    pairs = list(waiting.values_list("pk", "lead")[:CHUNK])
    with transaction.atomic():
        list(Lead.objects.filter(pk__in={lead for _, lead in pairs}).order_by("pk").select_for_update(no_key=True).only("pk"))
        runs = Enrollment.objects.filter(messages__in=[pk for pk, _ in pairs]).select_related("version").order_by("pk")
        locked = list(runs.select_for_update(no_key=True, of=("self",)))
        mails = Message.objects.filter(pk__in=[pk for pk, _ in pairs], state__in=UNSENT).select_for_update(no_key=True)
        steps = dict(mails.values_list("enrollment", "step"))
        cancel_messages(Message.objects.filter(pk__in=[pk for pk, _ in pairs]), reason, now=now)
        going = [run for run in locked if run.state == Enrollment.State.ACTIVE and steps.get(run.pk) == run.next_step]
        for run in going:
            note(run, run.next_step, Message.State.CANCELED, reason, now=now)
            pass_on(run, Program(run.version), now=now)
        Enrollment.objects.bulk_update(going, ["state", "reason", "next_step", "due_at", "ended_at", "log"])
    return len(pairs)
