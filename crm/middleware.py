"""Our own middleware: the admin's Content-Security-Policy, and times in the zone of whoever looks."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.csp import CSP, build_policy

from leads.models import User
from leads.workspace_zone import workspace_zone
from leads.zones import known

GetResponse = Callable[[HttpRequest], HttpResponse]

# The admin's theme evaluates expressions in its pages (Alpine); nothing marketers write is rendered raw there.
ADMIN_CSP: dict[str, Any] = {
    **settings.SECURE_CSP,
    "script-src": [CSP.SELF, CSP.UNSAFE_INLINE, CSP.UNSAFE_EVAL],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
}


def admin_csp(get_response: GetResponse) -> GetResponse:
    """Give pages under /admin/ the relaxed policy their theme needs; all other pages keep the strict one."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.path.startswith("/admin/"):
            response.headers["Content-Security-Policy"] = build_policy(ADMIN_CSP)
        return response

    return middleware


def local_times(get_response: GetResponse) -> GetResponse:
    """Show times in the colleague's own zone, else in the workspace's. Requests without a session (machines) are left alone."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not isinstance(request.user, User):
            return get_response(request)
        zone = request.user.timezone or workspace_zone()
        with timezone.override(ZoneInfo(zone if known(zone) else "UTC")):
            return get_response(request)

    return middleware
