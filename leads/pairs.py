"""Two leads side by side: what they have in common and where they differ, for whoever decides whether they are one person."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.formats import date_format

from leads.consents import words_of_all
from leads.models import Identity, Lead, MergeReview, Stage, Task
from leads.sentences import why_one
from leads.templatetags.words import event_words

# Pairs on one page; the next ones follow when these are decided.
SHOWN = 20
# Nobody shares these, so to say that they differ says nothing.
OWN = {"First seen", "Last seen", "Known by", "To do"}


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of both, each as lines of text."""

    label: str
    left: Sequence[str]
    right: Sequence[str]

    @property
    def sides(self) -> tuple[Sequence[str], Sequence[str]]:
        """Left and right."""
        return self.left, self.right

    @property
    def verdict(self) -> str:
        """`same` or `differs`; "" where one of them says nothing, or it means nothing."""
        if not self.left or not self.right or self.label in OWN:
            return ""
        return "same" if sorted(map(str.lower, self.left)) == sorted(map(str.lower, self.right)) else "differs"


@dataclass
class Pair:
    """Two people who may be one; the one further along stands on the left and is proposed to be kept."""

    left: Lead
    right: Lead
    why: str = ""
    asked_at: datetime | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def people(self) -> tuple[Lead, Lead]:
        """Left and right."""
        return self.left, self.right


def open_pairs() -> tuple[list[Pair], int]:
    """The pairs that wait for a decision, the oldest question first, each once; and how many more there are."""
    asked: dict[frozenset[int], MergeReview] = {}
    for review in MergeReview.objects.open().of_two().select_related("low", "high").order_by("pk"):
        asked.setdefault(review.pair, review)
    shown = dict(list(asked.items())[:SHOWN])
    people = load({pk for pair in shown for pk in pair})
    pairs = [pair_of(people[one], people[other], review) for (one, other), review in shown.items()]
    fill(pairs)
    return pairs, max(0, len(asked) - SHOWN)


def pair_of(one: Lead, other: Lead, review: MergeReview | None) -> Pair:
    """Put the one that is further along first; a lost one comes last."""
    left, right = sorted((one, other), key=lambda lead: (lead.stage.kind == Stage.Kind.LOST, -lead.stage.position, -lead.score, lead.pk))
    return Pair(left, right, why_one(review.why) if review else "", review.created_at if review else None)


def compare(one: Lead, other: Lead) -> Pair:
    """Two leads side by side, with the question that is open about them, if one is."""
    review = MergeReview.objects.open().between(one, other).order_by("pk").first()
    people = load([one.pk, other.pk])
    pair = pair_of(people[one.pk], people[other.pk], review)
    fill([pair])
    return pair


def load(pks: Iterable[int]) -> dict[int, Lead]:
    """The leads with what is shown of them."""
    return Lead.objects.select_related("company", "owner", "stage").in_bulk(list(pks))


def in_doubt() -> Exists:
    """For a query over leads: whether somebody is still to decide if one is the same person as another."""
    me = OuterRef("pk")
    return Exists(MergeReview.objects.open().filter(Q(low=me) | Q(high=me) | Q(low__merged_into=me) | Q(high__merged_into=me)))


def perhaps_same(lead: Lead) -> list[Lead]:
    """Those who may be the same person as the lead, as far as nobody has decided. Without a query where `in_doubt` was read and says no."""
    if not getattr(lead, "in_doubt", True):
        return []
    asked = MergeReview.objects.open().of_two().about([lead.pk]).select_related("low", "high")
    others = {pk for review in asked for pk in review.pair} - {lead.pk}
    return list(Lead.objects.filter(pk__in=others).order_by("pk")[:SHOWN]) if others else []


def fill(pairs: Sequence[Pair]) -> None:
    """Put the rows on the pairs; a fixed number of queries however many there are."""
    people = {lead.pk: lead for pair in pairs for lead in (pair.left, pair.right)}
    if not people:
        return
    lists = {"Known by": keys_of(people), "To do": tasks_of(people), "Campaigns": runs_of(people), "Consent": consents_of(people.values())}
    said = {pk: told(lead) | {label: found.get(pk, []) for label, found in lists.items()} for pk, lead in people.items()}
    for pair in pairs:
        left, right = said[pair.left.pk], said[pair.right.pk]
        pair.rows = [Row(label, left[label], right[label]) for label in left if left[label] or right[label]]


def told(lead: Lead) -> dict[str, list[str]]:
    """What the lead's own row says."""
    facts = {
        "Name": lead.name,
        "Email": lead.email,
        "Not confirmed": lead.unconfirmed_email,
        "Phone": lead.phone,
        "Title": lead.title,
        "Company": str(lead.company or ""),
        "Stage": f"{lead.stage}, since {moment(lead.stage_since)}",
        "Score": f"{lead.score} ({lead.engagement} engagement, {lead.fit} fit)",
        "Owner": str(lead.owner or "Nobody"),
        "First seen": moment(lead.first_seen_at),
        "Last seen": f"{event_words(lead.last_event_type)}, {moment(lead.last_event_at)}" if lead.last_event_at else "",
    }
    return {label: [text] if text else [] for label, text in facts.items()}


def moment(at: datetime) -> str:
    """A time in full."""
    return date_format(timezone.localtime(at), "j M Y, H:i")


def keys_of(pks: Iterable[int]) -> dict[int, list[str]]:
    """The keys of each lead."""
    found: dict[int, list[str]] = defaultdict(list)
    for identity in Identity.objects.filter(lead__in=pks).order_by("kind", "pk"):
        found[identity.lead_id].append(f"{identity.get_kind_display()} {identity.value}")
    return found


def tasks_of(pks: Iterable[int]) -> dict[int, list[str]]:
    """What is open for each lead."""
    found: dict[int, list[str]] = defaultdict(list)
    for task in Task.objects.filter(lead__in=pks, done_at=None).order_by("due_at", "pk"):
        found[task.lead_id].append(task.title)
    return found


def runs_of(pks: Iterable[int]) -> dict[int, list[str]]:
    """The campaigns each lead is in."""
    found: dict[int, list[str]] = defaultdict(list)
    running = Lead.objects.filter(pk__in=pks, enrollments__state="active").order_by("enrollments__pk")
    for pk, name in running.values_list("pk", "enrollments__campaign__name"):
        found[pk].append(name)
    return found


def consents_of(leads: Collection[Lead]) -> dict[int, list[str]]:
    """What the owner of each lead's address said about each topic, and whether it is mailed at all."""
    by_address = words_of_all({lead.email for lead in leads})
    found: dict[int, list[str]] = {}
    for lead in leads:
        point, words = by_address[lead.email]
        suppressed = [f"never mailed: {point.get_suppressed_display().lower()}"] if point and point.suppressed else []
        said = [f"{word.topic}: {'yes' if word.consent.status == 'granted' else 'no'}" for word in words if word.consent]
        found[lead.pk] = suppressed + said
    return found
