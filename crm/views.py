"""Whether we are alive, and what we say when something is wrong."""

from django.contrib import messages
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from crm import playbook
from leads.access import marketer_page, signed_in
from leads.shape import PublishError

# Doors for machines: their errors are JSON, not pages.
MACHINE_DOORS = ("/api/", "/v1/", "/hooks/")

ERRORS = {
    400: ("bad_request", "That request could not be read", "Nothing was changed. Go back and try once more."),
    403: ("forbidden", "That is not yours to open", "Ask an administrator to put you into the right group, or log in as somebody else."),
    404: ("not_found", "There is nothing here", "The address may be misspelled, or the lead may have been forgotten on request."),
    500: ("server_error", "Something broke on our side", "What you sent may not be saved. Try again; if it stays, tell an administrator."),
}


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the process lives and the database answers, else 503. For load balancers; no login."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError:
        body = {"code": "database_away", "message": "The database does not answer."}
        return JsonResponse(body, status=503, headers={"Retry-After": "5"})
    return JsonResponse({"status": "ok"})


@require_POST
@marketer_page
def apply_playbook(request: HttpRequest) -> HttpResponse:
    """Apply and publish the shipped playbook, its campaigns paused; the first step of a fresh install."""
    try:
        playbook.apply_shipped(active=False, by_user=signed_in(request))
    except (playbook.DraftEditedError, PublishError) as error:
        messages.error(request, f"Nothing was changed. {error}")
    else:
        messages.success(request, "The playbook is applied and live. Its campaigns are paused until you resume them.")
    return redirect("leads:board")


def answer_error(request: HttpRequest, status: int) -> HttpResponse:
    """One error, as JSON for machines and as a page for people. Touches neither session nor database."""
    code, title, cure = ERRORS[status]
    if request.path.startswith(MACHINE_DOORS):
        return JsonResponse({"code": code, "message": f"{title}."}, status=status)
    return render(request, "crm/error.html", {"status": status, "title": title, "cure": cure}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return answer_error(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return answer_error(request, 403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return answer_error(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """500."""
    return answer_error(request, 500)
