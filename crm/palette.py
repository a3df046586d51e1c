"""Go to: leads, companies, campaigns and pages by a few letters. The palette of the shell and, without JavaScript, a page."""

from collections.abc import Iterator
from dataclasses import dataclass

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from campaigns.models import Campaign
from leads.access import rep_page, signed_in
from leads.models import Company, Lead, User
from leads.navigation import address_of, may_open, places_of
from leads.templatetags.words import work

# Hits of one kind; whoever wants more types one letter more.
MOST = 6


class GoForm(forms.Form):
    """What is looked for."""

    q = forms.CharField(required=False, max_length=100, strip=True)

    def words(self) -> list[str]:
        """Word by word, lower case."""
        return str(self.cleaned_data.get("q", "")).lower().split() if self.is_valid() else []


@dataclass(frozen=True)
class Hit:
    """Something one can go to."""

    name: str
    url: str
    icon: str
    detail: str = ""


@dataclass(frozen=True)
class Hits:
    """Hits of one kind."""

    title: str
    hits: list[Hit]


def find_leads(words: list[str]) -> Iterator[Hit]:
    """Known people by name, address, phone, title or company, the warmest first."""
    leads = Lead.objects.for_board()
    for word in words:
        leads = leads.filter(search__text__contains=word)
    for lead in leads[:MOST]:
        yield Hit(str(lead), lead.get_absolute_url(), "user-round", " · ".join(filter(None, [work(lead) or lead.email, str(lead.stage)])))


def having(words: list[str], *columns: str) -> Q:
    """Rows in which each word stands in one of the columns, whatever its case."""
    condition = Q()
    for word in words:
        either = Q()
        for column in columns:
            either |= Q(**{f"{column}__icontains": word})
        condition &= either
    return condition


def find_companies(words: list[str]) -> Iterator[Hit]:
    """Companies by name or domain."""
    rows: QuerySet[Company] = Company.objects.filter(having(words, "name", "domain")).order_by("name", "pk")
    for company in rows[:MOST]:
        yield Hit(company.name, address_of("leads:company", company.pk), "building-2", company.domain or "")


def find_campaigns(words: list[str], user: User) -> Iterator[Hit]:
    """Campaigns by name or key, for whoever may open them."""
    for campaign in Campaign.objects.filter(having(words, "name", "key")).order_by("name")[:MOST]:
        url = address_of("campaigns:campaign", campaign.key)
        if url and may_open(user, url):
            yield Hit(campaign.name, url, "send", campaign.get_status_display())


def find_pages(words: list[str], user: User) -> Iterator[Hit]:
    """Pages by name, or by what else they are called; all of them without a word."""
    for place in places_of(user):
        called = f"{place.name} {place.aliases}".lower()
        if all(any(part.startswith(word) for part in called.split()) for word in words):
            yield Hit(place.name, place.url, place.icon, f"g {place.key}" if place.key else "")


def look_for(words: list[str], user: User) -> list[Hits]:
    """Everything that fits, by kind."""
    found = [Hits("Pages", list(find_pages(words, user)))]
    if words:
        found.append(Hits("Leads", list(find_leads(words))))
        found.append(Hits("Companies", [hit for hit in find_companies(words) if hit.url]))
        found.append(Hits("Campaigns", list(find_campaigns(words, user))))
    return [kind for kind in found if kind.hits]


@require_safe
@rep_page
def go(request: HttpRequest) -> HttpResponse:
    """The hits for `q`: a fragment for the palette, else a page."""
    words = GoForm(request.GET).words()
    context = {"found": look_for(words, signed_in(request)), "q": request.GET.get("q", ""), "words": words}
    template = "crm/go.html#results" if request.headers.get("HX-Request") == "true" else "crm/go.html"
    return render(request, template, context)
