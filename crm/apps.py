"""The project's own app: it wires the two others together when Django is ready."""

import gc

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Django's record of the app."""

    name = "crm"
    verbose_name = "Leadstate"

    def ready(self) -> None:
        """Connect the signals and register the checks (both need the models loaded)."""
        from crm import checks, wiring  # noqa: F401

        wiring.connect()
        gc.freeze()  # what is loaded by now stays: the garbage collector need not look through it while events are drained
