"""A CSV file on its way in: uploaded, mapped, looked at, then recorded row by row."""

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.utils import timezone

from leads.models.claims import Claimable, ClaimableQuerySet


class CsvImportQuerySet(ClaimableQuerySet["CsvImport"]):
    """Words for files on their way in."""

    def due(self, at: datetime) -> Self:
        """Started and not finished, oldest first."""
        return self.filter(state=CsvImport.State.RUNNING, created_at__lte=at).order_by("pk")

    def of_same_file(self, csv_import: "CsvImport") -> Self:
        """Earlier imports of the same bytes."""
        return self.filter(digest=csv_import.digest).exclude(state=CsvImport.State.MAPPING).exclude(pk=csv_import.pk)

    def abandoned(self, before: datetime) -> Self:
        """Uploaded before that time and never started: their text is of no use to anybody."""
        return self.filter(state=CsvImport.State.MAPPING, created_at__lt=before)


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

    objects: ClassVar[CsvImportQuerySet] = CsvImportQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_running(self) -> bool:
        """Whether a worker is to record rows of it."""
        return self.state == self.State.RUNNING

    @property
    def is_done(self) -> bool:
        """Whether every row was looked at."""
        return self.state == self.State.DONE

    @property
    def left_out(self) -> int:
        """Rows that were looked at and not recorded."""
        return self.next_row - self.taken

    @property
    def known_before(self) -> int:
        """Rows that said nothing new: the same file had brought them already."""
        return int(self.mapping.get("again", 0))
