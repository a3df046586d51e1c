"""The API's document, for programs and for people. It holds no data, so nobody needs to log in."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leads.doors import answer, machine_door
from leads.openapi import document_for
from leads.openapi_page import chapters, codes
from leads.views.sources import host_of


@machine_door("GET", "HEAD")
def openapi(request: HttpRequest) -> HttpResponse:
    """The document as JSON."""
    return answer(document_for(host_of(request)))


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """The same document to be read, with a curl line for everything."""
    host = host_of(request)
    document = document_for(host)
    context = {"info": document["info"], "host": host, "chapters": chapters(document, host), "codes": codes(document)}
    return render(request, "leads/api_docs.html", context)
