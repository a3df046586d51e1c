"""What workers do for this app. A task only claims rows that are due, so running it twice or never loses nothing."""

from celery import shared_task
from celery.signals import worker_shutting_down

from campaigns import schedule, sending
from campaigns.stopping import stop_batches

worker_shutting_down.connect(stop_batches)


@shared_task(name="campaigns.tasks.advance")
def advance() -> None:
    """Let runs act on the steps that are due."""
    while schedule.advance_due():
        pass


@shared_task(name="campaigns.tasks.send")
def send() -> None:
    """Send the messages that are due."""
    sending.send_all_due()
