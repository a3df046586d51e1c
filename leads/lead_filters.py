"""Which leads the list shows and in which order: words in the address, and the place a page begins at."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.db.models import Case, CharField, F, IntegerField, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Concat, Lower, NullIf, Trim
from django.http import QueryDict

from leads.models import Lead, Source, Stage, User
from leads.models.people import LeadQuerySet

PAGE = 50
SORTS = ("name", "company", "stage", "score", "owner", "active", "created")
# What people look for first when they click these heads is the highest.
HIGHEST_FIRST = {"score", "active", "created"}
DEFAULT_SORT = "-score"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = {"": "Known people", "anonymous": "Anonymous visitors", "all": "Everybody"}


class LeadFilter(forms.Form):
    """The list's filters, as in the address. What is unreadable is ignored, field by field. See also BoardFilter."""

    q = forms.CharField(required=False, max_length=100)
    stage = forms.SlugField(required=False, max_length=40)
    owner = forms.RegexField(r"^(me|nobody|\d{1,9})$", required=False)
    score = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    source = forms.IntegerField(required=False, min_value=1, max_value=2_000_000_000)
    company = forms.CharField(required=False, max_length=100)
    kind = forms.RegexField(r"^(anonymous|all)$", required=False)
    sort = forms.RegexField(rf"^-?({'|'.join(SORTS)})$", required=False)
    after = forms.UUIDField(required=False)
    before = forms.UUIDField(required=False)

    PLACES = ("after", "before")

    @classmethod
    def of_query(cls, query: str) -> "LeadFilter":
        """The filters of an address' query."""
        return cls(QueryDict(query))

    def value(self, name: str) -> Any:
        """What one filter asks for; "" or None when it asks for nothing."""
        self.is_valid()
        return self.cleaned_data.get(name)

    @property
    def narrows(self) -> bool:
        """Whether some filter is set."""
        return any(self.value(name) for name in ("q", "stage", "owner", "score", "source", "company", "kind"))

    @property
    def order(self) -> str:
        """What is sorted by, `-` before what is to fall."""
        return str(self.value("sort") or DEFAULT_SORT)

    def query(self, **changes: object) -> str:
        """The filters as in the address, with `changes`; a change leads back to the first page unless it names a place."""
        values = {name: self.value(name) for name in self.fields if name not in self.PLACES} | changes
        if values.get("sort") == DEFAULT_SORT:
            values["sort"] = ""
        return urlencode({name: value for name, value in values.items() if value})

    def here(self) -> str:
        """The filters and the place, to come back to."""
        return self.query(**{name: self.value(name) for name in self.PLACES})

    def query_sorted_by(self, name: str) -> str:
        """The address of the head's link: what is sorted by already turns around."""
        first = f"-{name}" if name in HIGHEST_FIRST else name
        return self.query(sort=turned(first) if self.order == first else first)


def turned(sort: str) -> str:
    """The other way round."""
    return sort.removeprefix("-") if sort.startswith("-") else f"-{sort}"


def choose_leads(filters: LeadFilter, user: User) -> LeadQuerySet:
    """The leads the filters ask for, in no order."""
    leads = Lead.objects.known() if not filters.value("kind") else Lead.objects.current()
    if filters.value("kind") == "anonymous":
        leads = leads.filter(is_known=False)
    for word in str(filters.value("q") or "").lower().split():
        leads = leads.filter(search__text__contains=word)
    if stage := filters.value("stage"):
        leads = leads.filter(stage=stage)
    if owner := filters.value("owner"):
        leads = leads.filter(owner=None if owner == "nobody" else user.pk if owner == "me" else int(owner))
    if score := filters.value("score"):
        leads = leads.filter(score__gte=score)
    if source := filters.value("source"):
        leads = leads.filter(first_source=source)
    if company := filters.value("company"):
        leads = leads.filter(Q(company__name__icontains=company) | Q(company__domain__icontains=company))
    return leads


def chips(filters: LeadFilter, *, stages: list[Stage], owners: list[User], sources: list[Source]) -> list[tuple[str, str]]:
    """Each filter that is set, in words, with the query that lifts it."""
    stage_names = {stage.key: stage.name for stage in stages}
    owner_names = {"me": "me", "nobody": "nobody"} | {str(owner.pk): str(owner) for owner in owners}
    source_names = {source.pk: source.name for source in sources}
    words = {
        "q": f"“{filters.value('q')}”",
        "stage": f"Stage: {stage_names.get(filters.value('stage'), filters.value('stage'))}",
        "owner": f"Owner: {owner_names.get(str(filters.value('owner')), 'somebody')}",
        "score": f"Score at least {filters.value('score')}",
        "source": f"Source: {source_names.get(filters.value('source'), 'unknown')}",
        "company": f"Company: {filters.value('company')}",
        "kind": KINDS.get(str(filters.value("kind") or ""), ""),
    }
    return [(text, filters.query(**{name: ""})) for name, text in words.items() if filters.value(name)]


# --- order and pages


def with_order(leads: LeadQuerySet, sort: str) -> LeadQuerySet:
    """Annotated with `blank` (1 for those that have nothing to sort by; they come last either way) and `by`."""
    name = sort.removeprefix("-")
    addresses = (NullIf(Lower(column), Value("")) for column in ("email", "unconfirmed_email"))
    named = Coalesce(NullIf(Trim("name"), Value("")), *addresses, Value(""), output_field=CharField())
    full_name = Trim(Concat("owner__first_name", Value(" "), "owner__last_name"))
    by: dict[str, Any] = {
        "name": Lower(named),
        "company": Lower(Coalesce("company__name", Value(""))),
        "stage": F("stage__position"),
        "score": F("score"),
        "owner": Lower(Coalesce(NullIf(full_name, Value("")), "owner__username", Value(""))),
        "active": Coalesce("last_event_at", Value(LONG_AGO)),
        "created": F("created_at"),
    }
    missing = {
        "name": Q(name="", email="", unconfirmed_email=""),
        "company": Q(company=None),
        "owner": Q(owner=None),
        "active": Q(last_event_at=None),
    }
    when = [When(missing[name], then=1)] if name in missing else []
    return leads.annotate(blank=Case(*when, default=0, output_field=IntegerField()), by=by[name])


@dataclass(frozen=True)
class Page:
    """Some of the leads, and the addresses of those before and after."""

    leads: list[Lead]
    earlier: UUID | None
    later: UUID | None


def page_of(leads: LeadQuerySet, filters: LeadFilter) -> Page:
    """One page, by key: what comes after (or before) a lead in this order, however far down the list it is."""
    sort, place, backwards = filters.order, filters.value("after"), False
    if filters.value("before"):
        place, backwards = filters.value("before"), True
    falls = sort.startswith("-")
    rows = with_order(leads, sort)
    if place:
        rows = rows.filter(beyond(place, sort, backwards=backwards))
    order = ordering(falls=falls, backwards=backwards)
    found = list(rows.order_by(*order).select_related("company", "owner", "stage", "first_source")[: PAGE + 1])
    more, found = len(found) > PAGE, found[:PAGE]
    if backwards:
        found.reverse()
    is_first, is_last = (not more, False) if backwards else (not place, not more)
    return Page(found, None if is_first or not found else found[0].uid, None if is_last or not found else found[-1].uid)


def ordering(*, falls: bool, backwards: bool) -> list[str]:
    """`blank` always rises; the key and the row number the same way; a page before is read from its end."""
    blank, key = ("-" if backwards else ""), ("-" if falls != backwards else "")
    return [f"{blank}blank", f"{key}by", f"{key}pk"]


def beyond(place: UUID, sort: str, *, backwards: bool) -> Q:
    """What comes after the lead `place` in this order, or before it."""
    lead = with_order(Lead.objects.filter(uid=place), sort)
    blank, by, pk = (Subquery(lead.values(name)[:1]) for name in ("blank", "by", "pk"))
    step = "lt" if sort.startswith("-") != backwards else "gt"
    edge = "lt" if backwards else "gt"
    same_key = Q(by=by) & Q(**{f"pk__{step}": pk})
    return Q(**{f"blank__{edge}": blank}) | (Q(blank=blank) & (Q(**{f"by__{step}": by}) | same_key))
