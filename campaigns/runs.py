"""How a run goes on and how it ends: exits, the step that follows a message, runs of people who were merged."""

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat, Replace
from django.utils import timezone

from campaigns.documents import CampaignDoc
from campaigns.facts import Program, RunView
from campaigns.models import Enrollment, Message
from campaigns.permission import word_on
from leads import conditions
from leads.bell import ring
from leads.merging import survivor_of
from leads.models import Consent, ContactPoint, Lead, Stage, Transition
from leads.vocabulary import parse_duration

# The task that lets runs act on their due steps.
ADVANCE = "campaigns.tasks.advance"
OF_LEAD = " of lead "
# Why a run ends when somebody else of the company was won.
COLLEAGUE_WON = "colleague"
# Suppressions that say that nobody is there any more, or wants nothing any more: they end a run.
ENDING = {ContactPoint.Suppression.HARD_BOUNCE, ContactPoint.Suppression.COMPLAINT, ContactPoint.Suppression.ERASED}


def exit_reason(view: RunView, contact_point: ContactPoint | None) -> str:
    """Why the run is to end now: `excluded`, `goal`, `exit`, `stage`, `colleague`, `unsubscribed`, `hard_bounce` …; "" when it goes on."""
    program, doc = view.program, view.program.doc
    if view.lead.excluded:
        return "excluded"
    if doc.goal and conditions.evaluate(program.goal, view):
        return "goal"
    if doc.exits and conditions.evaluate(program.exits, view):
        return "exit"
    if doc.exit_on_stage and has_ended(view.run, view.lead):
        return "stage"
    if ends_for_colleagues(doc) and is_colleague_won(view.run, view.lead):
        return COLLEAGUE_WON
    return lost_permission(view, contact_point)


def has_ended(run: Enrollment, lead: Lead) -> bool:
    """Whether the lead entered a won or lost stage during the run: after its cause, or found out after its start."""
    ends = Transition.objects.filter(lead=lead, to_stage__kind__in=[Stage.Kind.WON, Stage.Kind.LOST])
    return ends.filter(Q(at__gt=run.cause_at) | Q(recorded_at__gt=run.started_at)).exists()


def ends_for_colleagues(doc: CampaignDoc) -> bool:
    """Whether people leave the campaign when somebody of their company is won: marketing that winning ends."""
    return doc.class_ == "marketing" and doc.exit_on_stage


def is_colleague_won(run: Enrollment, lead: Lead) -> bool:
    """Whether somebody else of the company was won during the run, and still is. See also campaigns.colleagues."""
    if lead.company_id is None:
        return False
    won = Transition.objects.filter(to_stage__kind=Stage.Kind.WON, undone_by=None, lead__stage__kind=Stage.Kind.WON)
    others = won.filter(lead__company=lead.company_id, lead__merged_into=None).exclude(lead=lead)
    return others.filter(Q(at__gt=run.cause_at) | Q(recorded_at__gt=run.started_at)).exists()


def lost_permission(view: RunView, contact_point: ContactPoint | None) -> str:
    """`unsubscribed` or the suppression that came during the run. One from before only keeps its messages back."""
    if contact_point is None:
        return ""
    since = contact_point.suppressed_at
    if contact_point.suppressed in ENDING and since and since >= view.run.started_at:
        return contact_point.suppressed
    if view.program.doc.class_ == "transactional":
        return ""
    word = word_on(contact_point, view.program.doc.topic)
    denied = word is not None and word.status == Consent.Status.DENIED and word.at >= view.run.started_at
    return "unsubscribed" if denied else ""


def note(run: Enrollment, step: str, what: str, why: str, *, now: datetime) -> None:
    """Add a line to the run's log (not saved)."""
    run.log = [*run.log, {"step": step, "at": now.isoformat(), "what": what, "why": why}]


def pass_on(run: Enrollment, program: Program, *, now: datetime) -> None:
    """The step is done or skipped at `now`: the next one is due, or the run is complete (not saved)."""
    following = program.step_after(run.next_step)
    if following is None:
        end(run, Enrollment.State.COMPLETED, "", now=now)
        return
    run.next_step = following.key
    run.due_at = now + parse_duration(following.after) if following.after else now


def end(run: Enrollment, state: str, reason: str, *, now: datetime) -> None:
    """The run is over (not saved)."""
    run.state, run.reason = state, reason[:200]
    run.due_at, run.ended_at = None, now


def save(run: Enrollment) -> None:
    """Write what happened to a run, and let go of it."""
    for name, value in Enrollment.released().items():
        setattr(run, name, value)
    columns = ["state", "reason", "next_step", "due_at", "ended_at", "log"]
    run.save(update_fields=[*columns, "claim_token", "lease_until", "claim_count"])
    if run.due_at is not None and run.due_at <= timezone.now():
        ring(ADVANCE)


def message_ended(message: Message, *, happened: bool, now: datetime) -> None:
    """A message came to its end (sent, unknown, failed, skipped): its run goes on from now, or ends.

    Part of the sender's transaction, after `message.state` and `message.reason` were set. A message that
    was not sent because its run is to end (goal reached, unsubscribed) ends the run.
    """
    if message.enrollment_id is None:
        return
    waiting = Enrollment.objects.active().filter(pk=message.enrollment_id, next_step=message.step, due_at=None)
    run = waiting.select_related("version").select_for_update(of=("self",), no_key=True).first()
    if run is None:
        return
    lead = Lead.objects.select_related("company", "first_source").get(pk=run.lead_id)
    view = RunView(run, lead, now=now)
    reason = "" if happened else exit_reason(view, message.contact_point)
    note(run, message.step, message.state, message.reason, now=now)
    if reason:
        end(run, Enrollment.State.EXITED, reason, now=now)
    else:
        pass_on(run, view.program, now=now)
    save(run)


def exit_runs(enrollments: QuerySet[Enrollment], reason: str, now: datetime) -> int:
    """End these runs where they still go on, cancel what they had not begun to send; returns how many ended.

    The caller holds the locks of their leads.
    """
    pks = list(enrollments.filter(state=Enrollment.State.ACTIVE).order_by("pk").values_list("pk", flat=True))
    if not pks:
        return 0
    ended = Enrollment.objects.active().filter(pk__in=pks)
    count = ended.update(state=Enrollment.State.EXITED, reason=reason[:200], due_at=None, ended_at=now, **Enrollment.released())
    cancel_messages(Message.objects.filter(enrollment__in=pks), reason, now=now)
    return count


def cancel_messages(messages: QuerySet[Message], reason: str, *, now: datetime) -> None:
    """Cancel those of these messages that nobody began to send."""
    unsent = messages.filter(state__in=[Message.State.SCHEDULED, Message.State.CLAIMED])
    unsent.update(state=Message.State.CANCELED, reason=reason[:200], ended_at=now, **Message.released())


def merge_runs(*, merges: dict[int, int], **kwargs: Any) -> None:
    """Hand runs and messages of absorbed leads to their survivors.

    Of runs of one campaign (and key) the furthest goes on, the others exit `merged`. Receiver of
    leads_merged; both leads are locked, and `merged_into` is written.
    """
    exit_runs(Enrollment.objects.filter(pk__in=overtaken(merges)), "merged", timezone.now())
    runs = Enrollment.objects.filter(lead__in=merges)
    # Both may have been in the same slot of a schedule; a cause starts one run of a lead.
    from_slots = runs.filter(cause__startswith="slot:").exclude(cause__contains=OF_LEAD)
    from_slots.update(cause=Concat("cause", Value(OF_LEAD), Cast("lead_id", CharField())))
    runs.update(lead_id=survivor_of("lead_id"))
    confirmations = Message.objects.filter(kind=Message.Kind.CONFIRMATION, lead__in={*merges, *merges.values()})
    asked: set[tuple[int, str]] = set()
    twice = []
    for pk, lead_id, to in sorted(confirmations.values_list("pk", "lead", "to"), key=lambda row: row[1] in merges):
        person = (merges.get(lead_id, lead_id), to)
        twice += [pk] if person in asked else []
        asked.add(person)
    Message.objects.filter(lead__in=merges).exclude(pk__in=twice).update(lead_id=survivor_of("lead_id"))
    cancel_messages(Message.objects.filter(pk__in=twice), "merged", now=timezone.now())


def part_runs(*, parted: dict[int, int], survivors: set[int], **kwargs: Any) -> None:
    """Hand runs and messages back to leads that were taken apart. What has ended stays ended: nothing is sent twice.

    Receiver of leads_parted; both leads are locked.
    """
    back = Case(*(When(first_lead=first, then=Value(lead)) for first, lead in parted.items()), output_field=BigIntegerField())
    for rows in (Enrollment.objects.all(), Message.objects.all()):
        rows.filter(lead__in=survivors, first_lead__in=parted).update(lead_id=back)
    from_slots = Enrollment.objects.filter(lead__in=parted.values(), first_lead=F("lead"), cause__startswith="slot:")
    own: Any = Concat(Value(OF_LEAD), Cast("lead_id", CharField()))
    from_slots.update(cause=Replace("cause", own, Value("")))


def overtaken(merges: dict[int, int]) -> list[int]:
    """The active runs that end because the same person is further in the same campaign by another run."""
    rivals: dict[tuple[int, int, str], list[Enrollment]] = defaultdict(list)
    active = Enrollment.objects.active().filter(lead__in={*merges, *merges.values()})
    for run in active.select_related("version").order_by("started_at", "pk"):
        rivals[run.campaign_id, merges.get(run.lead_id, run.lead_id), run.run_key].append(run)
    losers = []
    for runs in rivals.values():
        if len(runs) > 1:
            furthest = max(runs, key=lambda run: Program(run.version).position(run.next_step))
            losers += [run.pk for run in runs if run is not furthest]
    return losers
