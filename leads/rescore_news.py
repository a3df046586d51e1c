"""Who hears of a re-score: at its end each rep once, however many leads moved; the mails of single handoffs stay unsent."""

from datetime import datetime

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet

from leads.bell import ring
from leads.handoff import STAGE
from leads.models import Notification, Rescore, Transition, User
from leads.notifications import notification, tell

Channel = Notification.Channel


def trace_of(job: Rescore) -> str:
    """What stands beside every move the job makes; it also tells them from others."""
    return f"Re-score to {job.version}" if job.history else f"Publication of {job.version}"


def moves_of(job: Rescore) -> QuerySet[Transition]:
    """Every move the job has made: by gates of its version, or of one that was published meanwhile."""
    return Transition.objects.filter(version__number__gte=job.version.number, note=trace_of(job))


def tell_reps(job: Rescore, *, now: datetime) -> None:
    """Tell each rep how many of their leads are ready for sales now, and all reps how many nobody owns."""
    entered = moves_of(job).filter(to_stage__key=STAGE, lead__stage__key=STAGE, seq=F("lead__stage_seq"))
    counts = dict(entered.order_by().values_list("lead__owner").annotate(Count("pk")))
    unowned = counts.pop(None, 0)
    listeners = User.objects.filter(is_active=True).filter(Q(pk__in=counts) | Q(groups__name="Sales") if unowned else Q(pk__in=counts))
    rows = []
    for rep in listeners.distinct().order_by("pk"):
        title = f"{trace_of(job)}: {news(counts.get(rep.pk, 0), unowned)}"
        for channel in (Channel.IN_APP, Channel.MAIL) if job.tell else (Channel.IN_APP,):
            rows.append(digest(job, channel, title=title, user=rep, now=now))
    if job.tell and rows and settings.CHAT_WEBHOOK_URL:
        total = sum(counts.values()) + unowned
        title = f"{trace_of(job)}: {ready(total, 'lead')} ready for sales"
        rows.append(digest(job, Channel.CHAT, title=title, user=None, now=now))
    tell(rows)
    if any(row.state == Notification.State.PENDING for row in rows):
        ring("leads.tasks.send_notifications")


def digest(job: Rescore, channel: str, *, title: str, user: User | None, now: datetime) -> Notification:
    """One telling. No names in it: it belongs to no lead, so forgetting somebody would not find it."""
    body = f"The rules changed, and gates that were closed are open now. See who it is: {settings.SITE_URL}/today/"
    return notification(channel, about=f"rescore:{job.pk}", title=title, body=body, lead=None, user=user, now=now)


def news(mine: int, unowned: int) -> str:
    """What is new for one rep: "4 leads of yours are ready for sales, 2 wait for an owner"."""
    told = [f"{ready(mine, 'lead of yours', 'leads of yours')} ready for sales"] if mine else []
    told += [f"{unowned} {'waits' if unowned == 1 else 'wait'} for an owner"] if unowned else []
    return ", ".join(told)


def ready(count: int, word: str, words: str = "leads") -> str:
    """So many leads as the subject of a sentence: "1 lead is", "4 leads are"."""
    return f"{count} {word if count == 1 else words} {'is' if count == 1 else 'are'}"
