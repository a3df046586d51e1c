"""The pages for marketers; addresses that stand in mails, so they are short and stay for ever; and the local mailbox."""

from django.conf import settings
from django.urls import URLPattern, path

from campaigns import lead_views, list_views, pages, views, writing

app_name = "campaigns"


def mailbox_patterns(email_url: str) -> list[URLPattern]:
    """The mailbox page exists only where mails are kept on this machine."""
    return [path("mailbox/", views.mailbox, name="mailbox")] if email_url.startswith("mailbox:") else []


urlpatterns = [
    path("campaigns/", pages.campaign_list, name="list"),
    path("campaigns/<str:key>/", pages.campaign_page, name="campaign"),
    path("campaigns/<str:key>/publish/", pages.publish, name="publish"),
    path("campaigns/<str:key>/discard/", pages.discard, name="discard"),
    path("campaigns/<str:key>/pause/", pages.pause, name="pause"),
    path("campaigns/<str:key>/resume/", pages.resume, name="resume"),
    path("campaigns/<str:key>/steps/<str:step>/", writing.step_page, name="step"),
    path("campaigns/<str:key>/steps/<str:step>/preview/", writing.preview, name="preview"),
    path("campaigns/<str:key>/steps/<str:step>/move/", writing.move, name="move"),
    path("campaigns/<str:key>/steps/<str:step>/test/", writing.send_test, name="test"),
    path("c/<str:token>", views.click, name="click"),
    path("u/<str:token>", views.unsubscribe, name="unsubscribe"),
    path("confirm/<str:token>/", views.confirm, name="confirm"),
    path("leads/stop-campaigns/", list_views.stop_runs, name="stop-runs"),
    path("leads/<uuid:uid>/campaigns/", lead_views.lead_campaigns, name="of-lead"),
    path("leads/<uuid:uid>/campaigns/<int:pk>/stop/", lead_views.stop_run, name="stop-run"),
    path("leads/<uuid:uid>/campaigns/<int:pk>/skip/", lead_views.skip_run_step, name="skip-step"),
    path("leads/<uuid:uid>/forget/", lead_views.forget_lead, name="forget"),
    *mailbox_patterns(settings.EMAIL_URL),
]
