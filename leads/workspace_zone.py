"""The workspace's time zone, asked for by every page and so remembered for a minute."""

import time
from functools import lru_cache

from leads.models import Workspace

# For how many seconds it is remembered.
KEPT = 60


@lru_cache(maxsize=1)
def zone_in(minute: int) -> str:
    """The zone as it was when first asked for in this minute."""
    return Workspace.current().timezone


def workspace_zone() -> str:
    """The name of the workspace's zone, at most a minute old."""
    return zone_in(int(time.time() // KEPT))
