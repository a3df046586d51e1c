"""What campaigns use event types for: triggers, conditions, goals."""

from collections.abc import Iterator

from campaigns.models import Campaign
from leads.type_uses import Use, events_in


def campaign_uses() -> Iterator[tuple[str, Use]]:
    """Each event type that a published campaign asks for; a paused one says so."""
    status = Campaign.Status
    rows = Campaign.objects.filter(status__in=[status.ACTIVE, status.PAUSED], live__isnull=False)
    for name, state, document in rows.values_list("name", "status", "live__document"):
        use = Use("campaign", f"{name} (paused)" if state == status.PAUSED else name)
        for event in events_in(document):
            yield event, use
