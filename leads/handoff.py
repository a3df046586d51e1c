"""Handoff: a lead that becomes ready for sales gets an owner, a task with a deadline, and the news goes out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.db.models import Count, Exists, F, Max, OuterRef, Q, Sum

from leads.bell import ring
from leads.bulk import update_rows
from leads.models import Company, Lead, Notification, Reason, ScoreEntry, ScoringVersion, Stage, Task, Transition, User, Workspace
from leads.notifications import notification, tell
from leads.stays import SALES, LastTime, last_times
from leads.vocabulary import parse_duration
from leads.working_time import WorkingHours

log = structlog.get_logger(__name__)

STAGE = SALES
TITLE = "High intent lead ready for a demo!"
# An older cause still makes owner and task, but nobody is mailed about what is no longer news.
NEWS_FOR = timedelta(days=2)
# Sales is talking with this person now; marketing waits.
CONVERSATION = timedelta(days=7)
REASONS = 5


@dataclass(slots=True, eq=False)
class Handoff:
    """One lead's entry into the stage, on its way to an owner and a task.

    `joins` is the open task of a colleague (or the handoff of one in the same group, through `leader`).
    """

    transition: Transition
    company: Company | None = None
    joins: Task | None = None
    leader: "Handoff | None" = None
    owner: User | None = None
    task: Task | None = None
    last_time: LastTime | None = None

    @property
    def lead(self) -> Lead:
        """Who is handed over."""
        return self.transition.lead

    @property
    def joined(self) -> bool:
        """Whether a colleague's task takes this one in."""
        return self.joins is not None or self.leader is not None

    @property
    def own_act(self) -> bool:
        """Whether the owner moved the lead by hand: nobody is told of what they did themselves."""
        return self.owner is not None and self.owner.pk == self.transition.actor_id


def hand_over(*, transitions: Sequence[Transition], now: datetime, **kwargs: Any) -> None:
    """Hand the leads whose last transition entered the stage over to sales (receiver of leads_transitioned).

    1. Lock the companies, so that two colleagues who get ready at once meet in one task.
    2. Owner: the company's, else the lead's present or former one, else whose turn it is; who is away is passed over; perhaps nobody.
    3. Write owners, tasks and notifications; mail and chat follow from the notifications.
    Called again with the same transitions it changes nothing. The number of statements does not depend on how many there are.
    """
    take_back(transitions)
    close_finished(transitions, now=now)
    handoffs = entries(transitions)
    if not handoffs:
        return
    remembered = last_times(handoff.transition for handoff in handoffs)
    for handoff in handoffs:
        handoff.last_time = remembered.get(handoff.transition.pk)
    find_colleagues(handoffs, now=now)
    choose_owners(handoffs, now=now)
    write_leads(handoffs, now=now)
    write_tasks(handoffs, now=now)
    rows = news(handoffs, now=now)
    tell(rows)
    if any(row.state == Notification.State.PENDING for row in rows):
        ring("leads.tasks.send_notifications")


def take_back(transitions: Iterable[Transition]) -> None:
    """Where a move by hand was undone: the task it brought goes, what was not told yet is not told; a task it closed is open again."""
    undone = [transition.undoes for transition in transitions if transition.undoes]
    if not undone:
        return
    tasks = Task.objects.filter(transition__in=undone, touched_at=None)
    Notification.objects.filter(lead__tasks__in=tasks, state=Notification.State.PENDING).delete()
    tasks.delete()
    # Who rejected a lead owns it again.
    rejected = Lead.objects.filter(transitions__in=undone, transitions__reason__asked_for=Reason.For.REJECT, owner=None)
    Lead.objects.filter(pk__in=rejected.values("pk")).update(owner=F("former_owner"))
    closed = Q()
    for move in undone:
        closed |= Q(lead=move.lead_id, done_at=move.recorded_at)
    Task.objects.filter(closed, kind=Task.Kind.HANDOFF).update(done_at=None, rejected_for=None)


def close_finished(transitions: Iterable[Transition], *, now: datetime) -> None:
    """Close the handoffs of leads that are won or lost, unless a colleague who joined is still with sales."""
    moved = [transition.lead_id for transition in transitions if transition.to_stage_id != STAGE]
    if moved:
        finished = Lead.objects.filter(pk__in=moved).exclude(stage__kind=Stage.Kind.OPEN)
        open_tasks = Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, lead__in=finished)
        with_sales = Lead.objects.current().filter(joined_tasks=OuterRef("pk"), stage__key=STAGE)
        open_tasks.filter(~Exists(with_sales)).update(done_at=now)


def entries(transitions: Iterable[Transition]) -> list[Handoff]:
    """The last transition of each lead, where it entered the stage and was not handed over before."""
    last = {transition.lead_id: transition for transition in sorted(transitions, key=lambda transition: transition.seq)}
    entered = {row.pk: row for row in last.values() if row.to_stage_id == STAGE and row.from_stage_id != STAGE and not row.undoes_id}
    if not entered:
        return []
    done = set(Task.objects.filter(transition__in=entered).values_list("transition_id", flat=True))
    return [Handoff(entered[pk]) for pk in sorted(entered.keys() - done)]


def find_colleagues(handoffs: list[Handoff], *, now: datetime) -> None:
    """Find the open task of each company. A lead's own open task, from an earlier entry, is replaced."""
    ids = {handoff.lead.company_id for handoff in handoffs if handoff.lead.company_id}
    locked = Company.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    companies = {company.pk: company for company in locked}
    leads = {handoff.lead.pk for handoff in handoffs}
    handed_over = Task.objects.filter(kind=Task.Kind.HANDOFF, done_at=None, lead__merged_into=None)
    handed_over = handed_over.filter(Q(company__in=ids) | Q(lead__in=leads))
    tasks = list(handed_over.select_related("owner").order_by("-pk"))
    stale = [task.pk for task in tasks if task.lead_id in leads]
    if stale:
        Task.objects.filter(pk__in=stale).update(done_at=now)
    waiting = {task.company_id: task for task in tasks if task.pk not in stale and task.company_id}
    leaders: dict[int, Handoff] = {}
    for handoff in handoffs:
        handoff.company = companies.get(handoff.lead.company_id or 0)
        if handoff.company is None:
            continue
        handoff.joins = waiting.get(handoff.company.pk)
        if handoff.joins is None:
            leader = leaders.setdefault(handoff.company.pk, handoff)
            handoff.leader = None if leader is handoff else leader


def choose_owners(handoffs: list[Handoff], *, now: datetime) -> None:
    """Give each handoff its owner, or leave it to the group when nobody is available."""
    wanted = {handoff: candidates(handoff) for handoff in handoffs}
    here = Q(pk__in=User.objects.available(now.date())) | Q(pk__in=[handoff.transition.actor_id for handoff in handoffs])
    active = User.objects.filter(here, is_active=True).in_bulk({pk for pks in wanted.values() for pk in pks})
    for handoff, pks in wanted.items():
        handoff.owner = next((active[pk] for pk in pks if pk in active), None)
    orphans = [handoff for handoff in handoffs if handoff.owner is None and not handoff.joined]
    if orphans:
        take_turns(orphans, now=now)
    for handoff in handoffs:
        if handoff.joins is not None:
            handoff.owner = handoff.joins.owner
        elif handoff.leader is not None:
            handoff.owner = handoff.leader.owner


def candidates(handoff: Handoff) -> list[int]:
    """Ids of those it belongs to, the first one at work wins. Who moved their own lead by hand keeps it."""
    lead, company = handoff.lead, handoff.company
    if lead.owner_id is not None and lead.owner_id == handoff.transition.actor_id:
        return [lead.owner_id]
    return [pk for pk in (company.owner_id if company else None, lead.owner_id, lead.former_owner_id) if pk is not None]


def take_turns(handoffs: list[Handoff], *, now: datetime) -> None:
    """Round robin among the available reps: whoever was given a lead the longest ago comes first.

    The reps are locked and read under the lock, so parallel workers take turns too.
    """
    available = User.objects.reps().available(now.date()).order_by("pk")
    reps = list(available.select_for_update(no_key=True, of=("self",)))
    reps.sort(key=lambda rep: (rep.last_assigned_at is not None, rep.last_assigned_at, rep.pk))
    if not reps:
        return
    latest = max((rep.last_assigned_at for rep in reps if rep.last_assigned_at), default=now)
    for number, handoff in enumerate(handoffs, start=1):
        handoff.owner = reps[(number - 1) % len(reps)]
        # Later than any other turn, also within one group and by a slower clock.
        handoff.owner.last_assigned_at = max(now, latest) + timedelta(microseconds=number)
    update_rows(User, [(rep.pk, rep.last_assigned_at) for rep in reps[: len(handoffs)]], columns=["last_assigned_at"])


def write_leads(handoffs: list[Handoff], *, now: datetime) -> None:
    """Write the owners, and that sales is talking with these people now."""
    rows = []
    for handoff in handoffs:
        lead, owner = handoff.lead, handoff.owner
        if owner is not None and lead.owner_id != owner.pk:
            lead.former_owner_id, lead.owner = lead.owner_id or lead.former_owner_id, owner
        if not handoff.transition.historical:
            lead.conversation_until = now + CONVERSATION
        rows.append((lead.pk, lead.owner_id, lead.former_owner_id, lead.conversation_until))
    update_rows(Lead, rows, columns=["owner", "former_owner", "conversation_until"])


def write_tasks(handoffs: list[Handoff], *, now: datetime) -> None:
    """Write one task for each handoff that joins no other, and put the others on the task they join."""
    sla, zone = Stage.objects.get(key=STAGE).sla, Workspace.current().timezone
    for handoff in handoffs:
        if not handoff.joined:
            handoff.task = Task(
                lead=handoff.lead,
                company=handoff.company,
                kind=Task.Kind.HANDOFF,
                title=title_of(handoff),
                owner=handoff.owner,
                transition=handoff.transition,
                due_at=due_at(sla, zone=(handoff.owner.timezone if handoff.owner else "") or zone, now=now),
                created_at=now,
            )
    Task.objects.bulk_create([handoff.task for handoff in handoffs if handoff.task])
    through = Task.colleagues.through
    joined = [(handoff.joins or (handoff.leader.task if handoff.leader else None), handoff.lead) for handoff in handoffs if handoff.joined]
    through.objects.bulk_create([through(task=task, lead=lead) for task, lead in joined], ignore_conflicts=True)


def title_of(handoff: Handoff) -> str:
    """What the task is called."""
    again = f", {handoff.last_time.short}" if handoff.last_time else ""
    return f"Ready for a demo{again}: {handoff.lead}"[:200]


def due_at(sla: str, *, zone: str, now: datetime) -> datetime | None:
    """When `sla` (such as 4h) of working time has passed; None without one. An unreadable one is logged and counts as none."""
    if not sla:
        return None
    try:
        return WorkingHours.parse(settings.WORKING_HOURS).add(now, parse_duration(sla), ZoneInfo(zone))
    except ValueError as error:
        log.error("sla_not_readable", sla=sla, error=str(error))
        return None


def news(handoffs: list[Handoff], *, now: datetime) -> list[Notification]:
    """The notifications that tell of the handoffs; none of historical ones."""
    recent = [handoff for handoff in handoffs if not handoff.transition.historical]
    if not recent:
        return []
    reasons = strongest_reasons([handoff.lead.pk for handoff in recent])
    zone = ZoneInfo(Workspace.current().timezone)
    everybody = list(User.objects.reps().order_by("pk")) if any(handoff.owner is None for handoff in recent) else []
    rows = []
    for handoff in recent:
        listeners = everybody if handoff.owner is None else [] if handoff.own_act else [handoff.owner]
        rows += announcements(handoff, listeners, body=describe(handoff, reasons.get(handoff.lead.pk, []), zone), now=now)
    return rows


def announcements(handoff: Handoff, listeners: list[User], *, body: str, now: datetime) -> list[Notification]:
    """The rows of one handoff: in the app always, by mail and chat while it is news. Who joins is told in the app only."""
    fresh = now - handoff.transition.at <= NEWS_FOR and not handoff.joined
    title = f"{handoff.lead} is ready too: same company, same task" if handoff.joined else TITLE
    # The list in the app shows titles alone, mail and chat say it in their second line.
    in_app = f"{title} {body.splitlines()[1]}" if handoff.last_time else title
    told: list[tuple[str, User | None]] = [(Notification.Channel.IN_APP, user) for user in listeners]
    if fresh:
        told += [(Notification.Channel.MAIL, user) for user in listeners]
        if settings.CHAT_WEBHOOK_URL and not handoff.own_act:
            told.append((Notification.Channel.CHAT, None))
    about = f"handoff:{handoff.transition.pk}"
    return [
        notification(
            channel,
            about=about,
            title=in_app if channel == Notification.Channel.IN_APP else title,
            body=body,
            lead=handoff.lead,
            user=user,
            now=now,
        )
        for channel, user in told
    ]


def describe(handoff: Handoff, reasons: list[str], zone: ZoneInfo) -> str:
    """What mail and chat say about the lead: who, what came of it before, how warm, why, where."""
    lead = handoff.lead
    who = " · ".join(part for part in (str(lead), lead.title, handoff.company.name if handoff.company else "") if part)
    lines = [who, *([handoff.last_time.describe(zone)] if handoff.last_time else [])]
    lines += [f"Score {lead.engagement + lead.fit} (engagement {lead.engagement}, fit {lead.fit})"]
    if reasons:
        lines += ["", *reasons]
    if handoff.owner is None:
        lines += ["", "Nobody owns it yet: who opens it first can take it."]
    return "\n".join([*lines, "", settings.SITE_URL + lead.get_absolute_url()])


def strongest_reasons(lead_pks: list[int]) -> dict[int, list[str]]:
    """The rules that earned each lead most, as people read them: `+30 Viewed pricing (3×)`."""
    granted = Q(kind=ScoreEntry.Kind.POINTS, points__gt=0)
    rules = (
        ScoreEntry.objects.filter(lead__in=lead_pks)
        .order_by()
        .values_list("lead_id", "rule")
        .annotate(total=Sum("points"), times=Count("cause", distinct=True, filter=granted), newest=Max("version"))
        .filter(total__gt=0)
    )
    found = sorted(rules, key=lambda row: (row[0], -row[2], row[1]))
    names = {pk: names_of(version.document) for pk, version in ScoringVersion.objects.in_bulk({row[4] for row in found}).items()}
    reasons: dict[int, list[str]] = {}
    for lead_id, rule, points, times, version in found:
        lines = reasons.setdefault(lead_id, [])
        if len(lines) < REASONS:
            name = names[version].get(rule, rule)
            lines.append(f"{points:+d} {name}" + (f" ({times}×)" if times > 1 else ""))
    return reasons


def names_of(document: dict[str, Any]) -> dict[str, str]:
    """The names of the rules of a published model, by key."""
    scoring = document.get("scoring", {})
    return {rule["key"]: rule.get("name") or rule["key"] for rule in (*scoring.get("rules", []), *scoring.get("fit", []))}
