"""The bell: tells the workers that rows are waiting. It may fail; the sweep finds the rows anyway."""

import threading
import time

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)

# A ring within this long after another is dropped: the drain that was rung for looks twice, further apart than this.
DEBOUNCE_SECONDS = 0.2
# After the broker could not be reached, requests don't wait for it again for this long.
PAUSE_SECONDS = 5.0

_silent_until: dict[str, float] = {}
_lock = threading.Lock()


def ring(task: str) -> None:
    """Ask a worker to run the task `task` (its full name) soon after the current transaction has committed."""
    transaction.on_commit(lambda: publish(task), robust=True)


def publish(task: str) -> None:
    """Send the bell's message now, unless it was just sent."""
    now = time.monotonic()
    with _lock:
        if now < _silent_until.get(task, 0.0):
            return
        _silent_until[task] = now + DEBOUNCE_SECONDS
    try:
        current_app.send_task(task, retry=False, ignore_result=True)
    except Exception as error:
        with _lock:
            _silent_until[task] = time.monotonic() + PAUSE_SECONDS
        log.warning("bell_not_heard", task=task, error=repr(error))
