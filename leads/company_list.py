"""The list of companies: how warm each is, how far it got, the warmest first."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, IntegerField, Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Lower

from leads.models import Company, Lead, Stage, User

# Companies of one page.
ROWS = 50
# Who counts for a company: known people, not the rows merged into others.
COUNTED = Q(leads__merged_into=None, leads__is_known=True)


@dataclass(frozen=True)
class Row:
    """One company with what its people add up to."""

    company: Company
    heat: int
    people: int = 0
    warmest: int = 0
    furthest: Stage | None = None


@dataclass(frozen=True)
class Page:
    """Some rows, and the key under which the next ones follow ("" at the end)."""

    rows: list[Row]
    following: str


def with_heat(companies: QuerySet[Company]) -> QuerySet[Any]:
    """Annotate `heat`: the scores of the company's people, together."""
    return companies.annotate(heat=Coalesce(Sum("leads__score", filter=COUNTED), 0, output_field=IntegerField()))


def choose_companies(words: list[str], owner_id: int | None, user: User) -> QuerySet[Company]:
    """Companies whose name or domain has all the words; of one owner, of nobody (0), or of everybody (None)."""
    companies = Company.objects.select_related("owner")
    for word in words:
        companies = companies.filter(Q(name__icontains=word) | Q(domain__icontains=word))
    if owner_id is not None:
        companies = companies.filter(owner=owner_id or None) if owner_id else companies.filter(owner=None)
    return companies


def read_page(companies: QuerySet[Company], *, sort: str, after: str) -> Page:
    """The next rows in the order of `sort` (`heat`, `name`); `after` is the `following` of the page before."""
    companies = with_heat(companies)
    found = list((by_name if sort == "name" else by_heat)(companies, after)[: ROWS + 1])
    shown = found[:ROWS]
    last = shown[-1] if len(found) > ROWS else None
    following = "" if last is None else str(last.pk) if sort == "name" else f"{last.heat}.{last.pk}"
    return Page(fill(shown), following)


def by_heat(companies: QuerySet[Any], after: str) -> QuerySet[Any]:
    """The warmest first; `after` is `heat.pk` of the last one seen."""
    heat, _, pk = after.rpartition(".")
    if heat.lstrip("-").isdecimal() and pk.isdecimal():
        companies = companies.filter(Q(heat__lt=int(heat)) | Q(heat=int(heat), pk__lt=int(pk)))
    return companies.order_by("-heat", "-pk")


def by_name(companies: QuerySet[Any], after: str) -> QuerySet[Any]:
    """From A to Z; `after` is the pk of the last one seen."""
    companies = companies.annotate(sort_name=Lower("name"))
    if after.isdecimal() and (last := Company.objects.filter(pk=int(after)).annotate(sort_name=Lower("name")).first()):
        companies = companies.filter(Q(sort_name__gt=last.sort_name) | Q(sort_name=last.sort_name, pk__gt=last.pk))
    return companies.order_by("sort_name", "pk")


def fill(companies: list[Any]) -> list[Row]:
    """Count the people of these companies (with `heat`) by stage: two queries."""
    stages = {stage.key: stage for stage in Stage.objects.all()}
    people = Lead.objects.known().filter(company__in=[company.pk for company in companies]).order_by()
    by_company: dict[int | None, list[tuple[str, int, int]]] = defaultdict(list)
    for company_id, stage, count, warmest in people.values_list("company_id", "stage").annotate(Count("pk"), Max("score")):
        by_company[company_id].append((stage, count, warmest))
    return [
        Row(
            company,
            heat=company.heat,
            people=sum(count for _, count, _ in by_company[company.pk]),
            warmest=max((warmest for _, _, warmest in by_company[company.pk]), default=0),
            furthest=furthest([stages[stage] for stage, _, _ in by_company[company.pk]]),
        )
        for company in companies
    ]


def furthest(stages: list[Stage]) -> Stage | None:
    """The stage that is nearest to the money: won, else the last open one, else lost."""
    rank = {Stage.Kind.LOST: 0, Stage.Kind.OPEN: 1, Stage.Kind.WON: 2}
    return max(stages, key=lambda stage: (rank[Stage.Kind(stage.kind)], stage.position), default=None)
