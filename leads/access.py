"""Who may see a page."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from leads.models import User


def signed_in(request: HttpRequest) -> User:
    """Who asks; only for views that demand a login."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
