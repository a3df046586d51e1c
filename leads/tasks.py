"""What workers do for this app. A task only claims rows that are due, so running it twice or never loses nothing."""

import threading
import time

from celery import shared_task
from django.db import connection

from leads import csv_import, escalation, intake, notifications, recycling, rescoring, scoring, whatif
from leads.bell import DEBOUNCE_SECONDS, ring

__all__ = [
    "advance_rescores",
    "apply_due_scores",
    "drain_inbox",
    "escalate_handoffs",
    "record_imports",
    "recycle_leads",
    "ring",
    "run_what_ifs",
    "send_notifications",
]


# SQLite has one writer: two drains in one process would only wait for each other.
_one_drain = threading.Lock()


@shared_task(name="leads.tasks.drain_inbox")
def drain_inbox() -> None:
    """Drain the inbox until it stayed empty for longer than a ring can have been dropped."""
    if connection.vendor != "sqlite":
        drain_until_quiet()
    elif _one_drain.acquire(blocking=False):
        try:
            drain_until_quiet()
        finally:
            _one_drain.release()


def drain_until_quiet() -> None:
    """Drain; look a second time after the debounce; end after two empty looks."""
    while True:
        intake.drain_all()
        time.sleep(DEBOUNCE_SECONDS * 1.25)
        if not intake.drain():
            return


@shared_task(name="leads.tasks.apply_due_scores")
def apply_due_scores() -> None:
    """Apply score changes that are due by the passing of time."""
    scoring.apply_all_due()


@shared_task(name="leads.tasks.advance_rescores")
def advance_rescores() -> None:
    """Look at every lead anew after a publication."""
    rescoring.advance_all_due()


@shared_task(name="leads.tasks.send_notifications")
def send_notifications() -> None:
    """Tell staff what is still to be told."""
    notifications.send_all_due()


@shared_task(name="leads.tasks.record_imports")
def record_imports() -> None:
    """Record the CSV files that staff have started to import."""
    csv_import.record_all_due()


@shared_task(name="leads.tasks.recycle_leads")
def recycle_leads() -> None:
    """Bring leads back whose time has come."""
    recycling.recycle_all_due()


@shared_task(name="leads.tasks.escalate_handoffs")
def escalate_handoffs() -> None:
    """Tell the team of handed-over leads whose time has run out."""
    escalation.escalate_all_due()


@shared_task(name="leads.tasks.run_what_ifs")
def run_what_ifs() -> None:
    """Compare the models that staff have asked about."""
    whatif.run_all_due()
