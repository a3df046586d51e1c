"""Everything that can be due, on one screen: what the timetable looks for and `manage.py tick` does."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from campaigns import schedule, sending
from campaigns.models import Enrollment, Message
from leads import bell, csv_import, escalation, intake, notifications, recycling, rescoring, scoring, whatif
from leads.models import CsvImport, Delivery, FoldState, Notification, Rescore, WhatIf


@dataclass(frozen=True, slots=True)
class Queue:
    """One kind of work that waits in rows: how to see whether some is due, and the task that does it."""

    due: Callable[[datetime], QuerySet[Any]]
    task: str


QUEUES = [
    Queue(lambda now: Delivery.objects.due(now).unclaimed(), "leads.tasks.drain_inbox"),
    Queue(lambda now: CsvImport.objects.due(now).unclaimed(), csv_import.TASK),
    Queue(lambda now: Rescore.objects.due(now).unclaimed(), rescoring.TASK),
    Queue(lambda now: FoldState.objects.due(now).unclaimed(), "leads.tasks.apply_due_scores"),
    Queue(recycling.due, recycling.TASK),
    Queue(escalation.due, escalation.TASK),
    Queue(lambda now: Enrollment.objects.due(now).unclaimed(), "campaigns.tasks.advance"),
    Queue(lambda now: Message.objects.due(now).unclaimed(), "campaigns.tasks.send"),
    Queue(lambda now: Notification.objects.due(now).unclaimed(), "leads.tasks.send_notifications"),
    Queue(lambda now: WhatIf.objects.due(now).unclaimed(), whatif.TASK),
]
BODY_KEPT = timedelta(days=7)
RECEIPT_KEPT = timedelta(days=90)
# A file that was uploaded and never imported.
UPLOAD_KEPT = timedelta(days=1)
WHAT_IF_KEPT = timedelta(days=90)


def ring_for_due_work() -> None:
    """Free what dead workers held, open due schedules, and ring once for every queue with work."""
    now = timezone.now()
    sending.reap(now)
    schedule.fire_schedules(now)
    for queue in QUEUES:
        if queue.due(now).exists():
            bell.publish(queue.task)


def run_everything_due() -> None:
    """Do one sweep of everything due in this process, without Celery."""
    now = timezone.now()
    sending.reap(now)
    intake.drain_all()
    csv_import.record_all_due()
    rescoring.advance_all_due()
    scoring.apply_all_due()
    recycling.recycle_all_due()
    escalation.escalate_all_due()
    schedule.fire_schedules(now)
    while schedule.advance_due(now) or sending.send_due(now):
        pass
    notifications.send_all_due()
    whatif.run_all_due()


def keep_house() -> None:
    """Empty raw bodies 7 days after they were processed; delete receipts and what-ifs after 90, files nobody imported after one."""
    now = timezone.now()
    processed = Delivery.objects.filter(state=Delivery.State.PROCESSED)
    processed.filter(processed_at__lt=now - BODY_KEPT).exclude(body=b"").update(body=b"")
    processed.filter(processed_at__lt=now - RECEIPT_KEPT).delete()
    CsvImport.objects.abandoned(now - UPLOAD_KEPT).delete()
    WhatIf.objects.filter(created_at__lt=now - WHAT_IF_KEPT).delete()
