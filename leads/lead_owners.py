"""Owners of several leads at once: the column, the open handoffs that go with it, the fact in the timeline, and the news."""

import uuid
from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from leads import scoring
from leads.bulk import update_rows
from leads.editing import edit_message
from leads.intake import record_now
from leads.models import Delivery, Lead, Notification, Task, User
from leads.notifications import notification, tell


@transaction.atomic
def give(lead_pks: Iterable[int], owner: User | None, *, by_user: User) -> int:
    """Give these leads to `owner` (None: to nobody), who is told once; returns how many changed hands."""
    locked = scoring.lock_leads(lead_pks)
    changed = [lead for lead in locked.values() if lead.owner_id != (owner.pk if owner else None)]
    if not changed:
        return 0
    names = {user.pk: str(user) for user in User.objects.filter(pk__in={lead.owner_id for lead in changed})}
    new = str(owner) if owner else ""
    messages = [edit_message(lead, by_user, "the owner", names.get(lead.owner_id or 0, ""), new) for lead in changed]
    write_owners({lead: owner.pk if owner else None for lead in changed})
    record_now(messages)
    if owner is not None and owner != by_user:
        tell([news_of(changed, owner, by_user)])
    return len(changed)


def news_of(leads: list[Lead], owner: User, by_user: User) -> Notification:
    """What the new owner is told, in the app."""
    title = f"{leads[0]} is yours now" if len(leads) == 1 else f"{len(leads)} leads are yours now"
    body = f"{by_user} handed {'the lead' if len(leads) == 1 else 'them'} to you."
    about, now = f"owner:{uuid.uuid4()}", timezone.now()
    lead = leads[0] if len(leads) == 1 else None
    return notification(Notification.Channel.IN_APP, about=about, title=title, body=body, lead=lead, user=owner, now=now)


def write_owners(owners: dict[Lead, int | None]) -> None:
    """Write the owners of these locked leads, and hand their open handoffs on with them."""
    rows, changes = [], {}
    for lead, owner_id in owners.items():
        changes[lead.pk] = (lead.owner_id, owner_id)
        lead.former_owner_id, lead.owner_id = lead.owner_id or lead.former_owner_id, owner_id
        rows.append((lead.pk, lead.owner_id, lead.former_owner_id))
    update_rows(Lead, rows, columns=["owner", "former_owner"])
    handoffs = Task.objects.filter(lead__in=changes, kind=Task.Kind.HANDOFF, done_at=None).values_list("pk", "lead_id", "owner_id")
    moved = [(pk, changes[lead_id][1]) for pk, lead_id, owner_id in handoffs if owner_id == changes[lead_id][0]]
    update_rows(Task, moved, columns=["owner"])


def give_imported(delivery: Delivery, owners: dict[str, int]) -> None:
    """Set the owners that rows of a file named; `owners` is by message id. A row that was imported before changes nothing."""
    if not owners:
        return
    events = delivery.events.filter(message_id__in=owners).values_list("message_id", "lead_id")
    wanted = {lead_id: owners[message_id] for message_id, lead_id in events}
    locked = scoring.lock_leads(wanted)
    write_owners({lead: wanted[pk] for pk, lead in locked.items() if lead.owner_id != wanted[pk]})
