"""Addresses that stand in mails, so they are short and stay for ever; and the local mailbox."""

from django.conf import settings
from django.urls import URLPattern, path

from campaigns import views

app_name = "campaigns"


def mailbox_patterns(email_url: str) -> list[URLPattern]:
    """The mailbox page exists only where mails are kept on this machine."""
    return [path("mailbox/", views.mailbox, name="mailbox")] if email_url.startswith("mailbox:") else []


urlpatterns = [
    path("c/<str:token>", views.click, name="click"),
    path("u/<str:token>", views.unsubscribe, name="unsubscribe"),
    path("confirm/<str:token>/", views.confirm, name="confirm"),
    *mailbox_patterns(settings.EMAIL_URL),
]
