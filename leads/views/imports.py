"""Importing a CSV file: choose it, say what its columns are, see what will happen, watch it happen."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from leads import csv_import as importing
from leads.access import rep_page, signed_in
from leads.csv_export import write_rows
from leads.csv_reading import DELIMITERS, ENCODINGS, Unreadable, count_rows, read_header
from leads.forms_list import DelimiterForm, MappingForm, UploadForm
from leads.models import CsvImport, User

PAST = 20
ERRORS_SHOWN = 10


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def upload(request: HttpRequest) -> HttpResponse:
    """Choose a file; below it what was imported before."""
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if request.method == "POST" and form.is_valid():
        name = form.cleaned_data["file"].name or "file.csv"
        return redirect("leads:import", importing.take_in(form.opened, name=name, by_user=signed_in(request)).uid)
    past = CsvImport.objects.exclude(state=CsvImport.State.MAPPING).select_related("by_user").defer("text", "errors")[:PAST]
    context = {"form": form, "past": past}
    return render(request, "leads/import.html", context, status=422 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def import_page(request: HttpRequest, uid: UUID) -> HttpResponse:
    """One file: its columns and what importing them would do; once started, how far it is."""
    csv_import = get_object_or_404(CsvImport.objects.select_related("by_user"), uid=uid)
    if csv_import.state != CsvImport.State.MAPPING:
        return show_progress(request, csv_import)
    user = signed_in(request)
    if csv_import.by_user != user:
        return render(request, "leads/import_of_other.html", {"csv_import": csv_import}, status=403)
    if request.method != "POST":
        return show_mapping(request, csv_import, MappingForm(csv_import=csv_import, by_user=user))
    form = MappingForm(request.POST, csv_import=csv_import, by_user=user)
    if not form.is_valid():
        return show_mapping(request, csv_import, form, status=422)
    form.apply()
    csv_import.save(update_fields=["mapping", "consent"])
    if request.POST.get("action") != "start":
        return show_mapping(request, csv_import, form)
    return begin(request, csv_import, form)


def begin(request: HttpRequest, csv_import: CsvImport, form: MappingForm) -> HttpResponse:
    """Start, unless the letters were guessed and nobody looked at them."""
    if csv_import.mapping["guessed"] and not form.cleaned_data["reads_right"]:
        form.add_error("reads_right", "Look at the first rows and tick this, or choose another file.")
        return show_mapping(request, csv_import, form, status=422)
    importing.start(csv_import)
    return redirect("leads:import", csv_import.uid)


def show_mapping(request: HttpRequest, csv_import: CsvImport, form: MappingForm, *, status: int = 200) -> HttpResponse:
    """The columns, the first rows, and what importing them would do as far as the columns allow to tell."""
    can_check = not form.errors and not importing.mapping_problem(csv_import.mapping["columns"])
    seen = importing.preview(csv_import) if can_check else None
    delimiter = csv_import.mapping["delimiter"]
    context: dict[str, Any] = {
        "csv_import": csv_import,
        "form": form,
        "rows": form.rows(),
        "preview": seen,
        "errors": seen.errors[:ERRORS_SHOWN] if seen else [],
        "encoding": ENCODINGS[csv_import.mapping["encoding"]],
        "delimiter": DELIMITERS[delimiter],
        "delimiters": DelimiterForm(initial={"delimiter": "tab" if delimiter == "\t" else delimiter}),
        "same_file": CsvImport.objects.of_same_file(csv_import).select_related("by_user").defer("text", "errors").first(),
    }
    template = "leads/import_file.html#mapping" if request.htmx else "leads/import_file.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=status)


def show_progress(request: HttpRequest, csv_import: CsvImport) -> HttpResponse:
    """How far a started import is, and what came of it."""
    context = {
        "csv_import": csv_import,
        "errors": csv_import.errors[:ERRORS_SHOWN],
        "is_stuck": csv_import.is_running and CsvImport.objects.stuck().filter(pk=csv_import.pk).exists(),
    }
    template = "leads/import_progress.html#progress" if request.htmx else "leads/import_progress.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
@rep_page
def choose_delimiter(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Read the file with another delimiter; the columns are guessed anew."""
    csv_import = own_upload(signed_in(request), uid)
    form = DelimiterForm(request.POST)
    try:
        delimiter = form.cleaned_data["delimiter"] if form.is_valid() else csv_import.mapping["delimiter"]
        columns = importing.guess_columns(read_header(csv_import.text, delimiter))
        csv_import.rows = count_rows(csv_import.text, delimiter)
    except Unreadable as problem:
        messages.error(request, f"Not with this delimiter: {problem}")
    else:
        csv_import.mapping |= {"delimiter": delimiter, "columns": columns}
        csv_import.save(update_fields=["mapping", "rows"])
    return redirect("leads:import", uid)


@require_POST
@rep_page
def discard(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Throw an uploaded file away that was not imported yet."""
    csv_import = own_upload(signed_in(request), uid)
    csv_import.delete()
    messages.success(request, f"{csv_import} is gone; nothing was imported.")
    return redirect("leads:import-upload")


@require_POST
@rep_page
def go_on(request: HttpRequest, uid: UUID) -> HttpResponse:
    """Let a stuck import try again where it stopped."""
    importing.go_on(get_object_or_404(CsvImport, uid=uid, state=CsvImport.State.RUNNING))
    return redirect("leads:import", uid)


@require_safe
@rep_page
def errors_file(request: HttpRequest, uid: UUID) -> HttpResponse:
    """The rows that are or would be left out, with the reason, as CSV."""
    csv_import = get_object_or_404(CsvImport, uid=uid)
    if csv_import.state == CsvImport.State.MAPPING:
        csv_import = own_upload(signed_in(request), uid)
    can_check = not importing.mapping_problem(csv_import.mapping["columns"])
    waits = csv_import.state == CsvImport.State.MAPPING
    errors = importing.preview(csv_import).errors if waits and can_check else csv_import.errors
    lines = [["Row", "Column", "Problem"], *([line["row"], line.get("column", ""), line["message"]] for line in errors)]
    return csv_response(write_rows(lines), name="rows left out.csv")


def csv_response(lines: Iterable[str], *, name: str) -> HttpResponse:
    """A file to keep, sent line by line, never shown in the browser."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)
    return response  # type: ignore[return-value]  # every decorator here treats both kinds of response alike


def own_upload(user: User, uid: UUID) -> CsvImport:
    """A file this colleague uploaded and has not started to import, or 404."""
    return get_object_or_404(CsvImport, uid=uid, by_user=user, state=CsvImport.State.MAPPING)
