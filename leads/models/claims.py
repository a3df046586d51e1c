"""Work that waits in rows: how a worker takes some of it, so that no two workers hold the same row."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from django.db import connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from leads.bulk import among
from leads.models.rows import QuickRow

# The longest time a worker may hold a row before another may take it. Longer than the slowest SMTP dialogue.
LEASE = timedelta(minutes=15)
# A row whose workers died this often is left to staff: it is probably the row that kills them.
MAX_CLAIMS = 5


class ClaimableQuerySet[M: models.Model](models.QuerySet[M]):
    """Rows that can be claimed. Leases are measured by the database's clock, so frozen or wrong clocks don't matter."""

    def unclaimed(self) -> Self:
        """Rows nobody holds, or whose holder's lease has passed; without those that killed MAX_CLAIMS workers."""
        return self.filter(Q(claim_token=None) | Q(lease_until__lt=Now()), claim_count__lt=MAX_CLAIMS)

    def stuck(self) -> Self:
        """Rows whose every worker died: they wait for staff."""
        return self.filter(Q(claim_token=None) | Q(lease_until__lt=Now()), claim_count__gte=MAX_CLAIMS)

    def claim(
        self,
        limit: int,
        *,
        lease: timedelta = LEASE,
        choose: Callable[[list[M]], list[M]] | None = None,
        **changes: Any,
    ) -> tuple[uuid.UUID, list[int]]:
        """Claim up to `limit` rows of this (filtered, ordered) queryset in one short commit of its own.

        `choose` may pick fewer of them; `changes` are written by the same UPDATE (for example
        `state=State.CLAIMED`). Returns the token that proves the claim and the primary keys claimed, in the
        queryset's order. PostgreSQL skips rows that another worker is claiming right now; SQLite has one
        writer at a time (BEGIN IMMEDIATE).
        """
        token = uuid.uuid4()
        with transaction.atomic():
            rows = self.unclaimed()
            if connection.features.has_select_for_update_skip_locked:
                rows = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
            found = list(rows[:limit])
            pks = [row.pk for row in (choose(found) if choose else found)]
            if pks:
                self.model._base_manager.filter(pk__in=among(pks)).update(
                    claim_token=token,
                    lease_until=Now() + lease,
                    claim_count=F("claim_count") + 1,
                    **changes,
                )
        return token, pks


class Claimable(QuickRow):
    """A row of work that one worker at a time may hold, for a limited time."""

    claim_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    claim_count = models.PositiveSmallIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    @classmethod
    def released(cls) -> dict[str, Any]:
        """The column values of a row nobody holds and whose last worker came to an end."""
        return {"claim_token": None, "lease_until": None, "claim_count": 0}
