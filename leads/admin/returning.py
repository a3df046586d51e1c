"""Admin forms that somebody opens from a page: `?next=/scoring/` leads back there once the work is done."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme


def next_page(request: HttpRequest) -> str:
    """Where the request wants to go afterwards, if that is a page of ours; else ""."""
    page = request.GET.get("next", "")
    return page if page and url_has_allowed_host_and_scheme(page, allowed_hosts={request.get_host()}) else ""


class ReturnsMixin:
    """Keeps `next` along the form's pages (delete, save and go on) and goes there after saving or deleting."""

    change_form_outer_before_template = "leads/admin_return.html"

    def get_preserved_filters(self, request: HttpRequest) -> str:
        """What the admin carries from page to page, with `next`."""
        kept: str = super().get_preserved_filters(request)  # type: ignore[misc]
        page = next_page(request)
        return "&".join(filter(None, [kept, urlencode({"next": page})])) if page else kept

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The form, with the way back above it."""
        context = {"next_page": next_page(request)} | (extra_context or {})
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)  # type: ignore[misc]
        return response

    def page_after(self, request: HttpRequest, obj: Model | None) -> str:
        """Where to go once the row is saved (None: deleted); "" for where the admin goes."""
        return next_page(request)

    def response_post_save_add(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """After adding."""
        return self.back(request, obj) or super().response_post_save_add(request, obj)  # type: ignore[misc]

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """After changing."""
        return self.back(request, obj) or super().response_post_save_change(request, obj)  # type: ignore[misc]

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """After deleting."""
        response: HttpResponse = super().response_delete(request, obj_display, obj_id)  # type: ignore[misc]
        return self.back(request, None) or response

    def back(self, request: HttpRequest, obj: Model | None) -> HttpResponse | None:
        """The way back, None when nobody asked for one."""
        page = self.page_after(request, obj)
        return HttpResponseRedirect(page) if page else None
