"""The product's addresses, and one whose view does nothing."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def empty(request: HttpRequest) -> HttpResponse:
    """Answer without looking."""
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns = [path("api/empty", empty), path("", include("crm.urls"))]
