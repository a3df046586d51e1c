"""The site map."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.views.generic import RedirectView

from crm import dry_run, palette, views

urlpatterns = [
    # First, for most requests come from machines; the second one answers everything else below /api/ and /v1/ with 404 as JSON.
    path("", include("campaigns.api_urls")),
    path("", include("leads.api_urls")),
    path("", include("leads.urls")),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("go/", palette.go, name="go"),
    path("playbook/apply/", views.apply_playbook, name="apply-playbook"),
    path("healthz", views.healthz, name="healthz"),
    path("campaigns/<str:key>/dry-run/", dry_run.dry_run, name="dry-run"),
    path("", include("campaigns.urls")),
]
handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.page_not_found
handler500 = views.server_error
