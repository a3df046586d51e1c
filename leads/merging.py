"""Two leads become one, and two again.

A merge moves the keys, events, ledger lines, runs, mails and tasks of the absorbed lead to its survivor, and leaves
its row where it was: name, stage, transitions, notes, notifications and the consents of its addresses stay with it, and
pages show the notes and transitions of everybody who is part of a lead (`Lead.objects.part_of`). Every row that moves
remembers whose it is: keys, events, runs and mails in `first_lead`, ledger lines through their event, tasks as
told in leads/merged_tasks.py. Ledger lines that come from no event of the lead itself (somebody was idle, a colleague
told something about their company) stay, and each lead gets its own when it is folded again. The same cause gives a
lead once: a line whose cause the other has a line of already, as a colleague, stays too. So taking a merge apart is
the same in reverse, whatever came in between, in any order:

- What has `first_lead` in the lead taken apart, or in one that was merged into it before, goes back, also what came
  later by its keys. Both are folded again, and their scores are what they would be had they never met.
- Transitions are facts: a stage that the survivor reached stays reached. Runs that ended stay ended.
- The survivor gives back the company, the value and the facts that nothing of its own says. An owner stays with both:
  who took care of one person took care of two.
- The pair is remembered as two people: messages that name both merge them no more.

Locks: leads in the order of ids, then runs, then messages. Nothing here writes a ContactPoint, so none is locked.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.utils import timezone

from leads import merged_tasks, scoring, search
from leads.bulk import update_rows
from leads.companies import business_domain
from leads.fold_writes import TRAIT_COLUMNS
from leads.gates import UNDO_FOR
from leads.models import Checkpoint, Event, FoldState, Identity, Lead, Merge, MergeReview, Notification, ScoreEntry, User
from leads.notifications import notification, tell
from leads.signals import leads_merged, leads_parted
from leads.vocabulary import STAFF_TYPES

# The columns a survivor may take from whom it absorbs.
TAKEN = ["company_id", "unconfirmed_email", "first_seen_at", "owner_id", "former_owner_id", "value", "currency"]
TAKEN += ["conversation_until", "last_event_at", "last_event_type"]


class CannotMerge(Exception):
    """These two can't be merged; the sentence says why."""


class AlreadyApart(Exception):
    """Somebody took the merge apart before, or one of the two is gone; the sentence says who."""


# --- merging ----------------------------------------------------------------------------------------


def merge_by_hand(survivor: Lead, absorbed: Lead, *, by_user: User) -> Merge:
    """Make two known people one, because a colleague says so. The survivor keeps its stage.

    Raises CannotMerge when they are one already, or one of them is a visitor or was merged meanwhile.
    """
    now = timezone.now()
    with transaction.atomic():
        parts = Lead.objects.filter(merged_into=absorbed.pk).values_list("pk", flat=True)
        locked = scoring.lock_leads({survivor.pk, absorbed.pk, *parts})
        refuse_unless_two_people(locked, survivor, absorbed)
        kept, gone = locked[survivor.pk], locked[absorbed.pk]
        take_over(kept, gone)
        update_rows(Lead, [[kept.pk, *(getattr(kept, name) for name in TAKEN)]], columns=TAKEN)
        merge = Merge(absorbed=gone, survivor=kept, why="a colleague said so", by_user=by_user)
        merge_leads({gone.pk: kept.pk}, [merge], by_user=by_user, now=now)
        scoring.refold({kept.pk, *scoring.concerned_by_moves({kept.company_id, gone.company_id})}, now=now)
        tell_former_owner(merge, kept, gone, now=now)
    return merge


def refuse_unless_two_people(locked: dict[int, Lead], survivor: Lead, absorbed: Lead) -> None:
    """Raise CannotMerge unless both are known people, two of them, and still there."""
    if survivor.pk == absorbed.pk:
        raise CannotMerge(f"{survivor} can't be merged with itself.")
    for lead in (survivor, absorbed):
        found = locked.get(lead.pk)
        if found is None:
            raise CannotMerge(f"{lead} was forgotten meanwhile.")
        if found.merged_into_id:
            raise CannotMerge(f"{lead} was merged into another lead meanwhile.")
        if not found.is_known:
            raise CannotMerge(f"{lead} is a visitor nobody knows yet; the two become one by themselves when they log in.")


def merge_leads(merges: dict[int, int], traces: Sequence[Merge], *, by_user: User | None = None, now: datetime) -> None:
    """Hand everything of the absorbed leads to their survivors (absorbed id → survivor's id), and store the traces.

    A trace names the lead that the message spoke of: the survivor, or one that is part of it by now. The caller holds
    the locks, has written what the survivors took over (`take_over`), and refolds them. The number of statements does
    not depend on how many there are.
    """
    if not merges:
        return
    update_rows(Lead, sorted(merges.items()), columns=["merged_into"])
    Lead.objects.filter(merged_into__in=merges).update(merged_into=survivor_of("merged_into_id"))
    own_lines = ScoreEntry.objects.filter(lead__in=merges, event__lead=F("lead"))
    own_lines.exclude(has_line(OuterRef("lead__merged_into"))).update(lead_id=survivor_of("lead_id"))
    for rows in (Identity.objects.all(), Event.objects.all()):
        rows.filter(lead__in=merges).update(lead_id=survivor_of("lead_id"))
    FoldState.objects.filter(lead__in=merges).delete()  # or what is still to expire would be taken back a second time
    Checkpoint.objects.filter(lead__in={*merges, *merges.values()}).delete()
    merged_tasks.hand_on(merges)
    for trace in traces:
        trace.at = now
    Merge.objects.bulk_create(traces)
    decide(merges.values(), by_user=by_user, now=now)
    leads_merged.send(sender=None, merges=merges)


def survivor_of(column: str) -> Subquery:
    """The survivor of the absorbed lead that `column` names, for an UPDATE."""
    return Subquery(Lead.objects.filter(pk=OuterRef(column)).values("merged_into_id")[:1])


def has_line(lead: Lead | OuterRef) -> Exists:
    """Whether a lead has a ledger line of the same cause, rule and kind as the line in question."""
    same = {name: OuterRef(name) for name in ("cause", "rule", "kind")}
    return Exists(ScoreEntry.objects.filter(lead=lead, **same))


def take_over(survivor: Lead, absorbed: Lead) -> None:
    """Let the survivor have what the absorbed lead knew and it did not (not saved)."""
    if survivor.company_id is None and survivor.value is None:
        survivor.value, survivor.currency = absorbed.value, absorbed.currency
    survivor.company_id = survivor.company_id or absorbed.company_id
    survivor.unconfirmed_email = survivor.unconfirmed_email or absorbed.unconfirmed_email
    survivor.first_seen_at = min(survivor.first_seen_at, absorbed.first_seen_at)
    owners = [pk for pk in (survivor.owner_id, absorbed.owner_id) if pk]
    former = [pk for pk in (survivor.former_owner_id, *owners[1:], absorbed.former_owner_id) if pk]
    survivor.owner_id, survivor.former_owner_id = next(iter(owners), None), next(iter(former), None)
    talks = [at for at in (survivor.conversation_until, absorbed.conversation_until) if at]
    survivor.conversation_until = max(talks, default=None)
    if absorbed.last_event_at and (survivor.last_event_at is None or absorbed.last_event_at > survivor.last_event_at):
        survivor.last_event_at, survivor.last_event_type = absorbed.last_event_at, absorbed.last_event_type


def tell_former_owner(merge: Merge, survivor: Lead, absorbed: Lead, *, now: datetime) -> None:
    """Tell the colleague who had the absorbed lead and does not have the survivor."""
    former = absorbed.owner
    if former is None or former == merge.by_user or former.pk == survivor.owner_id:
        return
    title = f"{absorbed} was merged with another lead"  # not with whom: it is forgotten with the one it names
    whose = f"{survivor.owner} goes on with them." if survivor.owner else "Nobody has them now."
    body = f"{merge.by_user} says that both are one person. {whose}"
    channel = Notification.Channel.IN_APP
    tell([notification(channel, about=f"merge:{merge.pk}", title=title, body=body, lead=absorbed, user=former, now=now)])


# --- taking apart -------------------------------------------------------------------------------------


def unmerge(merge: Merge, *, by_user: User, remember: bool = True) -> Lead:
    """Take one merge apart and return the lead that stands for itself again; what was merged into it before comes along.

    Nobody is mailed about what follows. With `remember` the two stay two people; without, a slip of the hand is taken
    back, and a pair that had waited for a decision waits again. Raises AlreadyApart.
    """
    now = timezone.now()
    with transaction.atomic():
        survivor, lead, parts = lock_parts(merge)
        parted = dict.fromkeys(parts, lead.pk)
        Lead.objects.filter(pk=lead.pk).update(merged_into=None)
        Lead.objects.filter(pk__in=parts - {lead.pk}).update(merged_into=lead)
        for rows in (Identity.objects.filter(first_lead__in=parts), Event.objects.filter(first_lead__in=parts)):
            rows.filter(lead=survivor).update(lead=lead)
        ScoreEntry.objects.filter(lead=survivor, event__first_lead__in=parts).exclude(has_line(lead)).update(lead=lead)
        FoldState.objects.filter(lead__in=[survivor.pk, lead.pk]).delete()
        Checkpoint.objects.filter(lead__in=[survivor.pk, lead.pk]).delete()
        merged_tasks.hand_back(parts, survivor=survivor, lead=lead)
        Merge.objects.filter(pk=merge.pk).update(undone_at=now, undone_by=by_user)
        decide_again(survivor, lead, by_user=by_user, kept=remember, now=now)
        leads_parted.send(sender=None, parted=parted, survivors={survivor.pk})
        companies = {survivor.company_id, lead.company_id}
        give_back(survivor, formerly_in(survivor))
        give_back(lead, formerly_in(lead))
        companies |= {survivor.company_id, lead.company_id}
        scoring.refold({survivor.pk, lead.pk, *scoring.concerned_by_moves(companies)}, now=now, historical=True)
        forget_facts(survivor, formerly_in(survivor))
        forget_facts(lead, formerly_in(lead))
    lead.refresh_from_db()
    return lead


def lock_parts(merge: Merge) -> tuple[Lead, Lead, set[int]]:
    """Lock everybody who is part of the survivor today: the survivor, the lead to take out, and the ids that go with it.

    Raises AlreadyApart.
    """
    absorbed = Lead.objects.filter(pk=merge.absorbed_id).values_list("merged_into", flat=True).first()
    whole = Lead.objects.filter(Q(pk=absorbed) | Q(merged_into=absorbed)) if absorbed else Lead.objects.none()
    locked = scoring.lock_leads(whole.values_list("pk", flat=True))
    row = Merge.objects.select_related("absorbed", "undone_by").filter(pk=merge.pk).first()
    if row is None:
        raise AlreadyApart("One of the two was forgotten meanwhile.")
    lead = locked.get(row.absorbed_id)
    if row.undone_at or lead is None or lead.merged_into_id not in locked:
        who = f" by {row.undone_by}" if row.undone_by else ""
        raise AlreadyApart(f"{row.absorbed} was taken apart{who} already.")
    into = dict(Merge.objects.standing().filter(absorbed__in=locked).values_list("absorbed", "survivor"))
    return locked[lead.merged_into_id], lead, {pk for pk in into if leads_to(lead.pk, pk, into)}


def leads_to(end: int, start: int, into: dict[int, int]) -> bool:
    """Whether following the merges from `start` one comes by `end`."""
    while start != end and start in into:
        start = into[start]
    return start == end


def formerly_in(lead: Lead) -> list[Lead]:
    """Those that were part of the lead once, by whatever ways, and are not any more."""
    found, last = {lead.pk}, set[int]()
    while found != last:
        last = found
        found = found | set(Merge.objects.filter(survivor__in=found).values_list("absorbed", flat=True))
    return list(Lead.objects.filter(pk__in=found).exclude(pk__in=Lead.objects.part_of(lead).values("pk")))


def give_back(lead: Lead, others: Sequence[Lead]) -> None:
    """Take from a lead what others, who are part of it no more, had brought: where nothing of its own says so too."""
    own = Event.objects.filter(lead=lead)
    if lead.company_id in {other.company_id for other in others} and not names_company(lead):
        lead.company = None
    values = {other.value for other in others} - {None}
    if lead.value in values and not own.filter(type="LEAD_EDITED", properties__fact="the value").exists():
        lead.value, lead.currency = None, ""
    if lead.unconfirmed_email in {other.unconfirmed_email for other in others}:
        lead.unconfirmed_email = ""
    if lead.first_seen_at in {other.first_seen_at for other in others}:
        lead.first_seen_at = own.order_by("at").values_list("at", flat=True).first() or lead.created_at
    last = own.exclude(type__in=STAFF_TYPES).exclude(verdict=Event.Verdict.SUSPECT).order_by("-at", "-pk").first()
    lead.last_event_at, lead.last_event_type = (last.at, last.type) if last else (None, "")
    update_rows(Lead, [[lead.pk, *(getattr(lead, name) for name in TAKEN)]], columns=TAKEN)


def names_company(lead: Lead) -> bool:
    """Whether the lead's own events or its addresses say that it has a company."""
    hosts = Identity.objects.filter(lead=lead, kind=Identity.Kind.EMAIL).values_list("value", flat=True)
    if any(lead.company and business_domain(host.rpartition("@")[2]) == lead.company.domain for host in hosts):
        return True
    return Event.objects.filter(lead=lead, traits__has_key="company").exists()


def forget_facts(lead: Lead, others: Sequence[Lead]) -> None:
    """Blank name, title and so on where they are the others', and nothing of its own says them.

    A fold never blanks them: what it knows nothing about, it leaves.
    """
    row = Lead.objects.select_related("fold_state", "company").get(pk=lead.pk)
    said = row.fold_state.state.get("traits", {})
    theirs = {name: {getattr(other, name) for other in others} - {""} for name in TRAIT_COLUMNS}
    taken = [name for name, values in theirs.items() if getattr(row, name) in values and not said.get(name)]
    if taken:
        for name in taken:
            setattr(row, name, "")
        row.save(update_fields=taken)
        search.index_leads([row])


# --- the pairs that wait for a decision -----------------------------------------------------------------


def keep_apart(one: Lead, other: Lead, *, by_user: User) -> MergeReview:
    """Remember that these are two people: nobody is asked about them again, and no message merges them."""
    now = timezone.now()
    word = {"state": MergeReview.State.KEPT, "decided_at": now, "decided_by": by_user}
    asked = MergeReview.objects.open().between(one, other)
    MergeReview.objects.filter(pk__in=list(asked.values_list("pk", flat=True))).update(**word)
    low, high = sorted((one.pk, other.pk))
    return MergeReview.objects.update_or_create(
        low_id=low, high_id=high, defaults=word, create_defaults={"why": "taken apart", "created_at": now, **word}
    )[0]


def ask_again(review: MergeReview, *, by_user: User) -> bool:
    """Take one's own word back that these are two people; False when it is no longer theirs to take back."""
    now = timezone.now()
    own = MergeReview.objects.filter(state=MergeReview.State.KEPT, decided_by=by_user, decided_at__gte=now - UNDO_FOR)
    return bool(own.filter(decided_at=review.decided_at).update(state=MergeReview.State.OPEN, decided_at=None, decided_by=None))


def decide(leads: Iterable[int], *, by_user: User | None, now: datetime) -> None:
    """Close the questions about these leads that answered themselves: both are one now."""
    answered = MergeReview.objects.about(leads).of_one().exclude(state=MergeReview.State.MERGED)
    MergeReview.objects.filter(pk__in=answered.values("pk")).update(state=MergeReview.State.MERGED, decided_at=now, decided_by=by_user)


def decide_again(survivor: Lead, lead: Lead, *, by_user: User, kept: bool, now: datetime) -> None:
    """The two are two again: remembered (`kept`), or what was asked about them is open again."""
    parted = MergeReview.objects.filter(state=MergeReview.State.MERGED).about([survivor.pk, lead.pk]).of_two()
    again = MergeReview.objects.filter(pk__in=list(parted.values_list("pk", flat=True)))
    if not kept:
        again.update(state=MergeReview.State.OPEN, decided_at=None, decided_by=None)
        return
    again.update(state=MergeReview.State.KEPT, decided_at=now, decided_by=by_user)
    keep_apart(survivor, lead, by_user=by_user)
