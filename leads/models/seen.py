"""What events have looked like so far: offered to whoever writes a condition."""

from django.db import models


class SeenProperty(models.Model):
    """A property that events of one type have had; with the path "" the type itself.

    Traits of people and companies belong to no type: theirs is "", and their path begins with `lead.` or `company.`.
    """

    class Kind(models.TextChoices):
        TEXT = "text", "text"
        NUMBER = "number", "number"
        FLAG = "flag", "yes or no"
        MIXED = "mixed", "several kinds"

    type = models.CharField(max_length=100, blank=True)
    path = models.CharField(max_length=200, blank=True, help_text="As conditions name it, for example event.plan.")
    kind = models.CharField(max_length=6, choices=Kind, blank=True)
    examples = models.JSONField(default=list, help_text="A few values, nothing private.")
    last_at = models.DateTimeField(help_text="When it happened last, give or take some minutes.")

    class Meta:
        verbose_name_plural = "seen properties"
        ordering = ["type", "path"]
        constraints = [models.UniqueConstraint(fields=["type", "path"], name="seen_once")]

    def __str__(self) -> str:
        return f"{self.type} {self.path}".strip()
