"""Rows that are read by the thousand."""

from collections.abc import Collection
from typing import Any, Self

from django.db import models
from django.db.models.base import ModelState


class QuickRow(models.Model):
    """A model whose rows become objects as cheaply as can be: half of what reading them costs else goes into `__init__`."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], *, fetch_mode: Any = None) -> Self:
        """Take over what was read, without the signals of `__init__`; what was not read is deferred."""
        row = cls.__new__(cls)
        row.__dict__.update(zip(field_names, values, strict=True))
        row._state = ModelState()
        row._state.adding, row._state.db = False, db
        if fetch_mode is not None:
            row._state.fetch_mode = fetch_mode
        return row
