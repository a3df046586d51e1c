"""Who may see a page: the ladder of roles, as decorators that every view declares.

`@require_*` stands above them, they stand directly above the view. Whoever is not logged in goes to the
log-in; whoever is, but stands too low, gets 403. `access_of` tells what a view has declared.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django_htmx.http import HttpResponseClientRedirect

from leads.models import User

type View = Callable[..., HttpResponse]


def signed_in(request: HttpRequest) -> User:
    """Who asks; only for views that demand a login."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def ask_to_log_in(request: HttpRequest) -> HttpResponse:
    """To the log-in and back again; a fragment takes its whole page along."""
    if request.headers.get("HX-Request") != "true":
        return redirect_to_login(request.get_full_path())
    page = urlsplit(request.headers.get("HX-Current-URL", "/"))
    back = page._replace(scheme="", netloc="", fragment="").geturl() or "/"
    return HttpResponseClientRedirect(redirect_to_login(back).url)


# Who may open a page that declares the role; each step of the ladder includes the next.
ROLES: dict[str, Callable[[User], bool]] = {
    "rep": lambda user: user.is_colleague,
    "marketer": lambda user: user.is_editor,
    "admin": lambda user: user.is_admin,
}


def opens_to(role: str) -> Callable[[View], View]:
    """A decorator that lets through whoever has the role, and notes it on the view."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return ask_to_log_in(request)
            if not ROLES[role](signed_in(request)):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        guarded.opens_to = role  # type: ignore[attr-defined]
        return guarded

    return decorate


def access_of(view: Any) -> str:
    """The role a view has declared: "rep", "marketer" or "admin"; "" for none."""
    return str(getattr(view, "opens_to", ""))


rep_page = opens_to("rep")
marketer_page = opens_to("marketer")
admin_page = opens_to("admin")
