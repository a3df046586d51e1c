"""The pages behind the links in our mails, for people who have no account; and the local mailbox, for staff."""

from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.csp import CSP
from django.views.decorators.cache import never_cache
from django.views.decorators.csp import csp_override
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from campaigns.mailbox import stored_mail, stored_mails
from campaigns.markup import BadLink, check_url
from campaigns.tokens import Purpose
from campaigns.tracking import find_link, find_message, record_click, topic_of
from campaigns.tracking import unsubscribe as say_no
from leads.access import marketer_page
from leads.intake import confirm_email

log = structlog.get_logger(__name__)

# The mails' own inline styles need it. Scripts stay out as everywhere, and the frame is sandboxed besides.
MAILBOX_CSP: dict[str, Any] = settings.SECURE_CSP | {"style-src": [CSP.SELF, CSP.UNSAFE_INLINE], "img-src": [CSP.SELF, "data:", "https:"]}


def no_such_link(request: HttpRequest) -> HttpResponse:
    """The page for a token we never made, or whose mail is gone."""
    return render(request, "campaigns/no_such_link.html", status=404)


@require_safe
@never_cache
def click(request: HttpRequest, token: str) -> HttpResponse:
    """Lead on to where the link of a mail goes, and record the click; a click that can't be recorded leads on too."""
    link = find_link(token)
    if link is None:
        return no_such_link(request)
    try:
        check_url(link.url)
    except BadLink:
        return no_such_link(request)
    if "prefetch" not in request.headers.get("Sec-Purpose", ""):
        try:
            record_click(link, method=request.method or "GET", at=timezone.now())
        except DatabaseError:
            log.exception("click_not_recorded", link=link.pk)
    return HttpResponseRedirect(link.url)


@csrf_exempt  # mail programs post here without cookies (RFC 8058); the token is the proof
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (GET, which changes nothing: scanners follow links) or do it (POST), for one topic or for all marketing."""
    try:
        message = find_message(token, Purpose.UNSUBSCRIBE)
    except LookupError:
        return no_such_link(request)
    topic = topic_of(message) if message else None
    everything = request.POST.get("scope") == "all" or topic is None
    if request.method == "POST" and message is not None:
        one_click = request.POST.get("List-Unsubscribe") == "One-Click"
        proof = f"{'one-click' if one_click else 'unsubscribe page'}, message {message.uid}"
        say_no(message, everything=everything, proof=proof)
    done = request.method == "POST" or message is None  # a forgotten person gets nothing more anyway
    context = {"topic": topic, "everything": everything, "done": done, "sender": settings.SENDER_NAME}
    return render(request, "campaigns/unsubscribe.html", context)


@csrf_exempt  # the token is the proof, and whoever reads the mail has no session
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (GET) or take note (POST) that an address is its reader's own."""
    try:
        message = find_message(token, Purpose.CONFIRM)
    except LookupError:
        return no_such_link(request)
    if message is None:
        return no_such_link(request)
    if request.method == "POST" and message.lead.email != message.to:
        confirm_email(message.lead, message.to)
    return render(request, "campaigns/confirm.html", {"email": message.to, "done": request.method == "POST"})


@require_safe
@csp_override(MAILBOX_CSP)
@marketer_page
def mailbox(request: HttpRequest) -> HttpResponse:
    """List the mails kept on this machine, and show one."""
    folder = Path(settings.MAILBOX_DIR)
    key = request.GET.get("mail", "")
    chosen = stored_mail(folder, key) if key else None
    if key and chosen is None:
        raise Http404(f"There is no mail {key}.")
    return render(request, "campaigns/mailbox.html", {"mails": stored_mails(folder), "chosen": chosen})
