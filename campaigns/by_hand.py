"""What colleagues do with one person's runs: skip the step that comes next."""

from django.db import transaction
from django.utils import timezone

from campaigns.facts import Program
from campaigns.models import Enrollment, Message
from campaigns.runs import cancel_messages, note, pass_on, save
from leads.models import Lead, User


class NotSkipped(Exception):
    """The step can't be skipped any more; the sentence says why."""


def skip_step(run: Enrollment, step: str, *, by_user: User) -> Enrollment:
    """Skip the step a run stands at, if it still is `step`: its mail is canceled, the next step counts its delay from now.

    Raises NotSkipped when the run went on, ended, or is being sent right now.
    """
    now = timezone.now()
    with transaction.atomic():
        Lead.objects.select_for_update(no_key=True).get(pk=run.lead_id)
        runs = Enrollment.objects.select_related("version", "campaign")
        locked = runs.select_for_update(of=("self",), no_key=True).get(pk=run.pk)
        if locked.state != Enrollment.State.ACTIVE or locked.next_step != step:
            raise NotSkipped(f"{locked.campaign} went on meanwhile; nothing was skipped.")
        mails = Message.objects.filter(enrollment=locked, step=step).select_for_update(no_key=True)
        if any(mail.state not in {Message.State.SCHEDULED, Message.State.CLAIMED, Message.State.CANCELED} for mail in mails):
            raise NotSkipped("This mail is being sent right now; nothing was skipped.")
        cancel_messages(Message.objects.filter(pk__in=[mail.pk for mail in mails]), f"skipped by {by_user}", now=now)
        note(locked, step, "skipped", f"by {by_user}", now=now)
        pass_on(locked, Program(locked.version), now=now)
        save(locked)
    return locked
