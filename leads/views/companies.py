"""Companies: which are warm, and everything about one."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from leads.access import rep_page, signed_in
from leads.company_list import choose_companies, furthest, read_page
from leads.company_page import (
    PEOPLE,
    change_owner,
    change_value,
    entries_of,
    leads_to_take_along,
    measure_heat,
    open_tasks,
    people_of,
)
from leads.forms_company import CompanyFilter, OwnerForm, ValueForm
from leads.models import Company, User
from leads.toasts import with_toast


@require_safe
@rep_page
def companies(request: HttpRequest) -> HttpResponse:
    """The list; search, owner, order and place in the address."""
    user, filters = signed_in(request), CompanyFilter(request.GET)
    words, owner_id, sort = filters.chosen("q").split(), filters.owner_id(user), filters.chosen("sort") or "heat"
    page = read_page(choose_companies(words, owner_id, user), sort=sort, after=filters.chosen("after"))
    kept = {name: value for name in ("q", "owner", "sort") if (value := filters.chosen(name))}
    context = {
        "page": page,
        "next_url": "?" + urlencode(kept | {"after": page.following}) if page.following else "",
        "is_filtered": bool(words) or owner_id is not None,
        "is_continued": bool(filters.chosen("after")),
        "sort": sort,
        "q": filters.chosen("q"),
        "owner": filters.chosen("owner"),
    }
    if request.headers.get("HX-Request"):
        return render(request, "leads/companies.html#rows", context)
    return render(request, "leads/companies.html", context | {"owners": User.objects.reps().order_by("first_name", "username")})


@require_safe
@rep_page
def company(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything about one company."""
    return render_company(request, get_object_or_404(Company.objects.select_related("owner"), pk=pk))


def render_company(request: HttpRequest, found: Company, *, status: int = 200, **forms: Any) -> HttpResponse:
    """The page, or its content alone for htmx; `forms` are those that came back with errors."""
    people = list(people_of(found)[:PEOPLE])
    count = len(people) if len(people) < PEOPLE else people_of(found).count()
    heat = measure_heat(found, now=timezone.now())
    context = {
        "company": found,
        "people": people,
        "people_count": count,
        "hidden": count - len(people),
        "warmest": people[0].score if people else 0,
        "furthest": furthest([lead.stage for lead in people]),
        "heat_now": heat.curve.scores[-1],
        "heat": heat,
        "tasks": open_tasks(found),
        "entries": entries_of(found),
        "open_leads": leads_to_take_along(found).count(),
        "owner_form": OwnerForm(company=found),
        "value_form": ValueForm(instance=found, initial={"currency": found.currency or "EUR"}),
    } | forms
    template = "leads/company.html#company" if request.headers.get("HX-Request") else "leads/company.html"
    return render(request, template, context, status=status)


@require_POST
@rep_page
def give_company(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the owner, and the leads' with it if asked."""
    found = get_object_or_404(Company.objects.select_related("owner"), pk=pk)
    form = OwnerForm(request.POST, company=found)
    if not form.is_valid():
        return render_company(request, found, status=422, owner_form=form)
    owner = form.cleaned_data["owner"]
    moved = change_owner(found, owner, with_leads=form.cleaned_data["with_leads"], by_user=signed_in(request))
    along = f", with {moved} lead{'' if moved == 1 else 's'}" if moved else ""
    return saved(request, found, f"{found} is {owner or 'nobody'}'s now{along}.")


@require_POST
@rep_page
def value_company(request: HttpRequest, pk: int) -> HttpResponse:
    """Change the value."""
    found = get_object_or_404(Company.objects.select_related("owner"), pk=pk)
    form = ValueForm(request.POST, instance=Company(pk=found.pk, name=found.name))
    if not form.is_valid():
        return render_company(request, found, status=422, value_form=form)
    change_value(found, form.cleaned_data["value"], form.cleaned_data["currency"])
    return saved(request, found, "Value saved.")


def saved(request: HttpRequest, found: Company, text: str) -> HttpResponse:
    """The content anew with a toast for htmx, else back to the page."""
    if request.headers.get("HX-Request"):
        return with_toast(render_company(request, found), text)
    messages.success(request, text)
    return redirect("leads:company", found.pk)
