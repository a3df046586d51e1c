"""What one does on a lead's page: edit a fact, take the lead, write something down, note a consent."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leads import editing, lead_owners, todos
from leads.access import rep_page, signed_in
from leads.activities import add_task, log_activity
from leads.consents import say_by_hand
from leads.forms_lead import FACTS, ConsentForm, FactForm, NoteForm, TalkForm, TaskForm
from leads.models import Activity, Company, Lead, Task, User
from leads.views.lead import PAGE, WRITES, changed, consent_part, get_lead, render_lead, write_form

# As many companies as are proposed while one types.
PROPOSED = 10


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def fact(request: HttpRequest, uid: UUID, name: str) -> HttpResponse:
    """Show one fact, its form (`edit` in the address), or save it."""
    if name not in FACTS:
        raise Http404(f"A lead has no fact {name}.")
    lead = get_lead(uid)
    if request.method != "POST":
        return show_fact(request, lead, name)
    form = FactForm(request.POST, lead=lead, fact=name)
    if not form.is_valid():
        return answer_form(request, lead, name, form)
    save_fact(lead, name, form.cleaned_data, signed_in(request))
    context = {"fact": name, "label": FACTS[name][0], "saved": True}
    return changed(request, lead, "fact", f"{FACTS[name][0]} saved.", **context)


def show_fact(request: HttpRequest, lead: Lead, name: str) -> HttpResponse:
    """The fact, or its form; without htmx the whole page with it."""
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect(f"{lead.get_absolute_url()}?edit={name}#fact-{name}")
    form = FactForm(lead=lead, fact=name) if "edit" in request.GET else None
    context = {"lead": lead, "fact": name, "label": FACTS[name][0], "edited": name if form else "", "fact_form": form}
    return render(request, f"{PAGE}#fact", context | {"returns": form is None})


def answer_form(request: HttpRequest, lead: Lead, name: str, form: FactForm) -> HttpResponse:
    """The form again, with what is wrong."""
    context: dict[str, Any] = {"edited": name, "fact_form": form}
    if not request.htmx:  # type: ignore[attr-defined]
        return render_lead(request, lead, status=422, **context)
    return render(request, f"{PAGE}#fact", {"lead": lead, "fact": name, "label": FACTS[name][0]} | context, status=422)


def save_fact(lead: Lead, name: str, data: dict[str, Any], user: User) -> None:
    """Write one fact the way it is kept."""
    if name == "owner":
        lead_owners.give([lead.pk], data["owner"], by_user=user)
    elif name == "value":
        value: Decimal | None = data["value"]
        editing.edit_value(lead, value, data["currency"], by_user=user)
    elif name == "company":
        editing.edit_company(lead, saved(data["company"]), by_user=user)
    else:
        editing.edit_trait(lead, name, data[name], by_user=user)


def saved(company: Company | None) -> Company | None:
    """The company, stored when it is new."""
    if company is not None and company.pk is None:
        company.save()
    return company


@require_safe
@rep_page
def company_options(request: HttpRequest) -> HttpResponse:
    """Companies whose name or domain begins with what was typed, for the list below the field."""
    said = request.GET.get("company", "").strip()[:100]
    matches = Q(name__istartswith=said) | Q(domain__istartswith=said)
    found = Company.objects.filter(matches).order_by("name", "pk") if said else Company.objects.none()
    return render(request, f"{PAGE}#options", {"companies": found[:PROPOSED]})


@require_POST
@rep_page
def assign_to_me(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Become the owner."""
    lead = get_lead(uid)
    lead_owners.give([lead.pk], signed_in(request), by_user=signed_in(request))
    return changed(request, lead, "head", f"{lead} is yours.")


@require_POST
@rep_page
def write(request: HttpRequest, uid: UUID, kind: str) -> HttpResponse:
    """Write down a note, a call or meeting (`talk`), or a task."""
    if kind not in WRITES:
        raise Http404(f"Nobody writes down a {kind}.")
    lead, user = get_lead(uid), signed_in(request)
    form = write_form(kind, request.POST, user=user)
    if not form.is_valid():
        context = {"write": kind, "writes": WRITES, "write_form": form}
        if not request.htmx:  # type: ignore[attr-defined]
            return render_lead(request, lead, status=422, **context)
        return render(request, f"{PAGE}#write", {"lead": lead} | context, status=422)
    return changed(request, lead, "write", keep(lead, form, user))


def keep(lead: Lead, form: NoteForm | TalkForm | TaskForm, user: User) -> str:
    """Store what was written; returns what to tell about it."""
    data = form.cleaned_data
    if isinstance(form, TaskForm):
        task = add_task(lead, title=data["title"], owner=data["owner"], due_at=data["due_at"], by_user=user)
        return f"Task added for {'you' if task.owner == user else task.owner}."
    if isinstance(form, TalkForm):
        row = log_activity(lead, kind=data["kind"], text=data["text"], outcome=data["outcome"], at=data["at"], by_user=user)
        return f"{row.get_kind_display()} logged. Marketing mail waits for a week."
    log_activity(lead, kind=Activity.Kind.NOTE, text=data["text"], by_user=user)
    return "Note kept."


@require_POST
@rep_page
def task_done(request: HttpRequest, uid: UUID, pk: int) -> HttpResponse:
    """A task of this lead is done."""
    lead = get_lead(uid)
    task = get_object_or_404(Task.objects.for_lead(lead).select_related("lead"), pk=pk)
    try:
        todos.finish(task, by_user=signed_in(request))
    except todos.TooLate as error:
        return changed(request, lead, "tasks", str(error))
    return changed(request, lead, "tasks", f"Done: {task}.")


@require_POST
@rep_page
def consent(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Note what somebody said about a topic, with what shows it."""
    lead, form = get_lead(uid), ConsentForm(request.POST)
    if not lead.email:
        raise Http404("Consent belongs to an address, and this lead has none.")
    if not form.is_valid():
        context = {"consent_form": form}
        if not request.htmx:  # type: ignore[attr-defined]
            return render_lead(request, lead, status=422, **context)
        return render(request, f"{PAGE}#consent", {"lead": lead} | consent_part(request, lead) | context, status=422)
    data = form.cleaned_data
    say_by_hand(lead, topic=data["topic"], status=data["status"], proof=data["proof"], by_user=signed_in(request))
    return changed(request, lead, "consent", "Noted what they said.")
