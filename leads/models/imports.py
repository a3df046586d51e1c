"""A CSV file on its way in: uploaded, mapped, looked at, then recorded row by row."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from leads.models.claims import Claimable


class CsvImport(Claimable):
    """One uploaded file. Its rows become deliveries of the door `import`, so the import can be killed and goes on."""

    class State(models.TextChoices):
        MAPPING = "mapping", "To be mapped"
        RUNNING = "running", "Importing"
        DONE = "done", "Done"

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200, help_text="The file's name.")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file, to tell when it is uploaded again.")
    text = models.TextField(help_text="The file, as UTF-8; emptied when done.")
    mapping = models.JSONField(default=dict, help_text="Column → field.")
    consent = models.JSONField(default=dict, blank=True, help_text="{topic, source, at, column}: where the consent of the rows comes from.")
    rows = models.PositiveIntegerField(default=0)
    next_row = models.PositiveIntegerField(default=0)
    taken = models.PositiveIntegerField(default=0)
    errors = models.JSONField(default=list, help_text="[{row, message}]")
    state = models.CharField(max_length=8, choices=State, default=State.MAPPING)
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name
