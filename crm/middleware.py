"""The one middleware of our own: the admin's Content-Security-Policy."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.csp import CSP, build_policy

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
