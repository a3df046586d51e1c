"""One timeline of a lead: what they did, how they moved, what we wrote and will write, what colleagues noted."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from leads.models import Activity, Event, Lead, Merge, ScoringVersion, Stage, Task, Transition
from leads.outlook import gate_names
from leads.recycling import describe
from leads.sentences import kind_of, ordinal, tell, why_one, why_words
from leads.templatetags.words import event_icon, event_words
from leads.vocabulary import parse_duration

# Entries of one page. Events are read further back, to tell how often something happened within a week.
PAGE = 40
LOOK_BACK = 200
# Entries at most when the newest are fetched anew.
MOST = 10 * PAGE
WEEK = timedelta(days=7)
KINDS = {"events": "What they did", "mails": "Mails", "moves": "Stages", "notes": "Notes and calls", "tasks": "Tasks"}
RANKS = {kind: rank for rank, kind in enumerate([*KINDS, "merges"])}
MAIL_ICONS = {"sent": "send", "skipped": "mail-minus", "canceled": "mail-x", "failed": "mail-x", "unknown": "mail-question-mark"}
MAIL_WORDS = {"sent": "Sent", "skipped": "Not sent", "canceled": "Canceled", "failed": "Failed to send", "unknown": "Perhaps sent"}
ACTIVITY_ICONS = {Activity.Kind.NOTE: "sticky-note", Activity.Kind.CALL: "phone", Activity.Kind.MEETING: "users"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, in words. `tags` are short remarks, `body` is what a colleague wrote, `origin` is shown on hover."""

    at: datetime
    kind: str
    pk: int
    icon: str
    text: str
    detail: str = ""
    tags: tuple[str, ...] = ()
    body: str = ""
    origin: str = ""
    stage: Stage | None = None

    @property
    def place(self) -> tuple[datetime, int, int]:
        """Newest first means: by time, then by kind, then by row, all descending but the kind."""
        return self.at, -RANKS[self.kind], self.pk

    @property
    def cursor(self) -> str:
        """The place of this entry, for the address of what comes after it."""
        return f"{self.at.astimezone(UTC):%Y%m%d%H%M%S%f}.{RANKS[self.kind]}.{self.pk}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of the past ended."""

    at: datetime
    rank: int
    pk: int

    @classmethod
    def read(cls, text: str) -> "Cursor | None":
        """Read what `Entry.cursor` wrote; None for anything else."""
        try:
            at, rank, pk = text.split(".")
            return cls(datetime.strptime(at, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC), int(rank), int(pk))
        except (ValueError, OverflowError):
            return None

    def older(self, kind: str, column: str) -> Q:
        """The rows of a kind that stand behind it."""
        rank = RANKS[kind]
        if rank == self.rank:
            return Q(**{f"{column}__lt": self.at}) | Q(**{column: self.at, "pk__lt": self.pk})
        return Q(**{f"{column}__lte" if rank > self.rank else f"{column}__lt": self.at})


def place_of(event: Event) -> str:
    """The place directly before an event: a page of the past from there begins with it."""
    return f"{event.at.astimezone(UTC):%Y%m%d%H%M%S%f}.{RANKS['events']}.{event.pk + 1}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of the past to show: behind `before`, or from now down to `down_to`; at most `limit` entries."""

    now: datetime
    before: Cursor | None = None
    down_to: Cursor | None = None
    limit: int = PAGE

    def cut(self, rows: QuerySet[Any], kind: str, column: str, *, more: int = 0) -> QuerySet[Any]:
        """The rows of a kind in it, newest first: one more than fits, and `more` behind that (of a week) to look back on."""
        rows = rows.filter(self.before.older(kind, column) if self.before else Q(**{f"{column}__lte": self.now}))
        if self.down_to and more:
            rows = rows.filter(**{f"{column}__gte": self.down_to.at - WEEK})
        elif self.down_to:
            rows = rows.exclude(self.down_to.older(kind, column))
        return rows.order_by(f"-{column}", "-pk")[: self.limit + 1 + more]

    def is_behind(self, event: Event) -> bool:
        """Whether an event, read to look back on, stands behind the part to show."""
        end = self.down_to
        return end is not None and (event.at, -RANKS["events"], event.pk) < (end.at, -end.rank, end.pk)


@dataclass(frozen=True)
class Timeline:
    """The past by day, newest first, as far as one page goes; `older` is where the next one begins."""

    days: list[tuple[date, list[Entry]]]
    older: str = ""


def build_timeline(
    lead: Lead, version: ScoringVersion | None, *, show: str = "", before: str = "", down_to: str | None = None, now: datetime
) -> Timeline:
    """One page of what has happened, of all kinds or only of the kind `show`: one query for each kind however long it is.

    `before` is the cursor that the page before ended with. `down_to` asks for what is newest down to that cursor ("":
    down to the beginning), however many pages that has become meanwhile.
    """
    stretch = Stretch(now, Cursor.read(before)) if down_to is None else Stretch(now, None, Cursor.read(down_to), MOST)
    readers = {"events": past_events, "mails": past_mails, "notes": past_activities, "tasks": done_tasks}
    found: list[Entry] = []
    for kind, read in readers.items():
        if show in ("", kind):
            found += read(lead, stretch)
    if show in ("", "moves"):
        found += past_moves(lead, stretch, gate_names(version))
        found += past_merges(lead, stretch)
    found.sort(key=lambda entry: entry.place, reverse=True)
    page = found[: stretch.limit]
    days = [(day, list(group)) for day, group in groupby(page, key=lambda entry: timezone.localdate(entry.at))]
    return Timeline(days, page[-1].cursor if len(found) > stretch.limit else "")


def past_events(lead: Lead, stretch: Stretch) -> list[Entry]:
    """What they did, in words, with how often they did it within a week."""
    rows = list(stretch.cut(lead.events.select_related("source"), "events", "at", more=LOOK_BACK))
    shown = [event for event in rows[: stretch.limit + 1] if not stretch.is_behind(event)]
    whole = len(rows) <= stretch.limit + LOOK_BACK  # or else the oldest week seen may be cut off
    counted: set[tuple[str, str]] = set()
    entries = []
    for n, event in enumerate(shown):
        newest = kind_of(event) not in counted  # said once on a page, at the newest
        counted.add(kind_of(event))
        entries.append(entry_of_event(event, times_within_a_week(event, rows[n:], whole=whole) if newest else 0))
    return entries


def times_within_a_week(event: Event, older: Sequence[Event], *, whole: bool) -> int:
    """How often the same was done in the seven days up to the event, itself included; 0 when that is not known."""
    if not whole and older[-1].at > event.at - WEEK:
        return 0
    return sum(kind_of(other) == kind_of(event) and other.at > event.at - WEEK for other in older)


def entry_of_event(event: Event, times: int) -> Entry:
    """An event as a line."""
    said = tell(event)
    again = ordinal(times) if event.type not in {"LEAD_EDITED", "LEAD_CREATED"} else ""
    remarks = {"probably a mail scanner, not counted": bool(event.verdict), "imported": event.historical}
    tags = tuple(remark for remark, holds in remarks.items() if holds)
    sentence = f"{said.text}, {again}" if again else said.text
    origin = f"{event_words(event.type)}, from {event.source}"
    return Entry(event.at, "events", event.pk, event_icon(event.type), sentence, said.detail, tags, origin=origin)


def past_moves(lead: Lead, stretch: Stretch, gates: dict[str, str]) -> Iterator[Entry]:
    """Stage changes: to where, by whom or by which gate, and why."""
    rows = Transition.objects.filter(lead__in=Lead.objects.part_of(lead))
    rows = rows.select_related("lead", "from_stage", "to_stage", "actor", "reason", "event", "recycles__reason")
    for move in stretch.cut(rows, "moves", "at"):
        yield entry_of_move(move, gates, lead)


def entry_of_move(move: Transition, gates: dict[str, str], lead: Lead) -> Entry:
    """A stage change as a line; one of somebody who was merged into the lead since says so."""
    who = str(move.actor) if move.actor else "a colleague"
    if move.gate:
        text, why = f"Moved from {move.from_stage} to {move.to_stage}", [gates.get(move.gate, move.gate)]
        why += [f"after “{tell(move.event).text}”"] if move.event else []
    elif move.recycles:
        text, why = f"Back {describe(move.recycles, move.at)}", [f"moved from {move.from_stage} to {move.to_stage}"]
    elif move.undoes_id:
        text, why = f"{who[:1].upper() + who[1:]} took the move back to {move.to_stage}", []
    else:
        text, why = f"Moved from {move.from_stage} to {move.to_stage} by {who}", [str(move.reason)] if move.reason else []
    why += [move.note] if move.note and not move.undoes_id else []
    imported = ("imported",) if move.historical and not move.note else ()
    tags = (*imported, *((f"as {move.lead}",) if move.lead_id != lead.pk else ()))
    origin = f"{move.engagement + move.fit} points at that moment"
    return Entry(move.at, "moves", move.pk, "", text, " · ".join(why), tags, origin=origin, stage=move.to_stage)


def past_merges(lead: Lead, stretch: Stretch) -> Iterator[Entry]:
    """Who turned out to be the same person, also where that was taken back."""
    rows = Merge.objects.filter(Q(pk__in=Merge.objects.within(lead).values("pk")) | Q(absorbed=lead))
    for merge in stretch.cut(rows.select_related("absorbed", "survivor", "by_user", "undone_by"), "merges", "at"):
        text = f"The same person as {merge.survivor if merge.absorbed_id == lead.pk else merge.absorbed}"
        apart = (f"taken apart by {merge.undone_by or 'a colleague'}",) if merge.undone_at else ()
        yield Entry(merge.at, "merges", merge.pk, "merge", text, f"said {merge.by_user}" if merge.by_user else why_one(merge.why), apart)


def past_mails(lead: Lead, stretch: Stretch) -> Iterator[Entry]:
    """Mails that came to an end, sent or not, and why not."""
    rows = lead.messages.filter(ended_at__isnull=False).select_related("enrollment__campaign").defer("text", "html")
    for mail in stretch.cut(rows, "mails", "ended_at"):
        text = f"{MAIL_WORDS.get(mail.state, mail.get_state_display())}: {subject_of(mail)}"
        detail = " · ".join(filter(None, [campaign_of(mail), why_words(mail.reason) if mail.state != "sent" else ""]))
        icon = MAIL_ICONS.get(mail.state, "mail")
        yield Entry(mail.ended_at, "mails", mail.pk, icon, text, detail, origin=f"Mail to {mail.to}" if mail.to else "")


def subject_of(mail: Any) -> str:
    """How a mail is called: its subject, before it is written its step."""
    return f"“{mail.subject}”" if mail.subject else mail.step.replace("-", " ") or mail.get_kind_display().lower()


def campaign_of(mail: Any) -> str:
    """The campaign a mail belongs to."""
    return str(mail.enrollment.campaign) if mail.enrollment else ""


def past_activities(lead: Lead, stretch: Stretch) -> Iterator[Entry]:
    """Notes, calls and meetings."""
    rows = Activity.objects.filter(lead__in=Lead.objects.part_of(lead)).select_related("by_user")
    for row in stretch.cut(rows, "notes", "at"):
        who = str(row.by_user) if row.by_user else "A colleague"
        verb = {Activity.Kind.NOTE: "noted", Activity.Kind.CALL: "called", Activity.Kind.MEETING: "met them"}[row.kind]
        outcome = row.get_outcome_display().lower() if row.outcome else ""
        yield Entry(row.at, "notes", row.pk, ACTIVITY_ICONS[row.kind], f"{who} {verb}", outcome, body=row.text)


def done_tasks(lead: Lead, stretch: Stretch) -> Iterator[Entry]:
    """Tasks that are done."""
    rows = Task.objects.for_lead(lead).filter(done_at__isnull=False)
    for task in stretch.cut(rows.select_related("owner", "rejected_for"), "tasks", "done_at"):
        what = f"Rejected: {task.rejected_for.name}" if task.rejected_for else "Done"
        detail = " · ".join(filter(None, [str(task.owner) if task.owner else "", what if task.rejected_for else ""]))
        yield Entry(task.done_at, "tasks", task.pk, "circle-check-big", f"Task done: {task}", detail)


# --- what is still to come ------------------------------------------------------------------------


def look_forward(lead: Lead, tasks: Iterable[Task], *, show: str = "", last: Transition | None, now: datetime) -> list[Entry]:
    """What is planned, the latest on top: campaign steps, mails on their way, open tasks with a due date, a second chance."""
    later = [(task.due_at, task) for task in tasks if task.due_at and task.due_at >= now]  # the overdue stand among the tasks, in red
    from_tasks = [Entry(due_at, "tasks", task.pk, "square-check", task.title, owner_of(task)) for due_at, task in later]
    entries = from_tasks if show in ("", "tasks") else []
    if show in ("", "mails"):
        entries += planned_mails(lead, now=now)
    if show in ("", "moves"):
        entries += planned_return(lead, last)
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def planned_return(lead: Lead, last: Transition | None) -> Iterator[Entry]:
    """The day on which a lost or rejected lead is offered again; `last` is its last move."""
    if last and last.recycle_at and not lead.excluded:
        yield Entry(last.recycle_at, "moves", last.pk, "calendar-sync", "Offered again", str(last.reason or ""))


def owner_of(task: Task) -> str:
    """Whose task it is."""
    return f"task of {task.owner}" if task.owner else "nobody’s task yet"


def planned_mails(lead: Lead, *, now: datetime) -> list[Entry]:
    """Mails that wait, with what holds them, and the steps that follow in each running campaign."""
    open_mails = lead.messages.filter(ended_at=None).select_related("enrollment__campaign").defer("text", "html")
    waiting = list(open_mails.order_by("due_at", "pk")[:PAGE])
    entries = [entry_of_waiting(mail) for mail in waiting]
    due = {mail.enrollment_id: mail.due_at for mail in waiting}
    for run in lead.enrollments.filter(state="active").select_related("campaign", "version").order_by("pk")[:PAGE]:
        entries += planned_steps(run, now=now, mail_due=due.get(run.pk))
    return entries


def entry_of_waiting(mail: Any) -> Entry:
    """A mail that waits, as a line."""
    held = why_words(mail.reason) if mail.reason else ""
    text = f"{'Being sent' if mail.state == 'sending' else 'Mail'}: {subject_of(mail)}"
    return Entry(mail.due_at, "mails", mail.pk, "mail", text, campaign_of(mail), (held,) if held else ())


def planned_steps(run: Any, *, now: datetime, mail_due: datetime | None) -> Iterator[Entry]:
    """The next step of a run when it is due, and those that follow it, not before their delays have passed."""
    steps = run.version.document.get("steps", [])
    first = next((n for n, step in enumerate(steps) if step["key"] == run.next_step), len(steps))
    at = run.due_at or mail_due or now
    for n, step in enumerate(steps[first:]):
        if n:
            at += delay_of(step)
        elif run.due_at is None:
            continue  # its mail is on its way and has a line of its own
        paused = ("waits, the campaign is paused",) if run.campaign.status == "paused" else ()
        tags = (*paused, *(("only if it still fits then",) if step.get("when") else ()))
        yield Entry(max(at, now), "mails", run.pk, icon_of(step), words_of(step), f"{run.campaign}, planned", tags)


def delay_of(step: dict[str, Any]) -> timedelta:
    """How long after the step before."""
    return parse_duration(step["after"]) if step.get("after") else timedelta(0)


def icon_of(step: dict[str, Any]) -> str:
    """The icon of a planned step."""
    return "mail" if "message" in step else "bell" if "notify" in step else "flag"


def words_of(step: dict[str, Any]) -> str:
    """A planned step in words."""
    if "message" in step:
        subject = step["message"]["subject"]
        return f"Mail: {step['key'].replace('-', ' ')}" if "{" in subject else f"Mail: “{subject}”"
    if "notify" in step:
        return f"Tell the owner: {step['notify']['text']}"
    return "The campaign ends"
