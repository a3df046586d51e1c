"""Being asked to stop while a batch is under way: finish the mail at hand, give back the rest."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Set for the rest of the process's life when the worker around it shuts down.
shutting_down = threading.Event()


@contextmanager
def until_asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM sets while the block runs.

    The signal is not lost: after the block it is raised again, for whoever handles it then. Only the main
    thread can listen to signals; worker threads see `shutting_down`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield shutting_down
        return
    asked = threading.Event()
    former = signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, former if former is not None else signal.SIG_DFL)
        if asked.is_set():
            os.kill(os.getpid(), signal.SIGTERM)


def stop_batches(**kwargs: Any) -> None:
    """Make running batches end after the mail at hand. Receiver of Celery's worker_shutting_down."""
    shutting_down.set()
