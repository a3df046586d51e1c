"""The garbage collector, and when it may rest."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Let the garbage collector rest: what a group of leads or events is made of lives until its end, and goes without its help.

    To look through it again and again would take a tenth of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
