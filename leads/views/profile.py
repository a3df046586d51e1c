"""My own settings: name, zone, theme, absence, password."""

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from leads.absence import tell_of_absence
from leads.access import rep_page, signed_in
from leads.models import User
from leads.profile_forms import PasswordForm, ProfileForm, ThemeForm


def render_profile(request: HttpRequest, form: ProfileForm, password: PasswordChangeForm, *, status: int = 200) -> HttpResponse:
    """The page with both of its forms."""
    return render(request, "leads/profile.html", {"form": form, "password": password}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@rep_page
def profile(request: HttpRequest) -> HttpResponse:
    """Show and save who I am and how I want the pages."""
    user = signed_in(request)
    # A row of its own: what is typed must not show in the shell before it is saved.
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=user.pk))
    if request.method != "POST":
        return render_profile(request, form, PasswordForm(user))
    if not form.is_valid():
        return render_profile(request, form, PasswordForm(user), status=422)
    form.save()
    messages.success(request, f"Saved {timezone.localtime():%H:%M}.")
    if told := tell_of_absence(form.instance, form.changed_data, by_user=user, now=timezone.now()):
        messages.warning(request, told)
    return redirect("leads:profile")


@sensitive_post_parameters()
@require_POST
@rep_page
def change_password(request: HttpRequest) -> HttpResponse:
    """Change my password; this session stays logged in, all others end."""
    user = signed_in(request)
    password = PasswordForm(user, request.POST)
    if not password.is_valid():
        return render_profile(request, ProfileForm(instance=user), password, status=422)
    update_session_auth_hash(request, password.save())
    messages.success(request, "Password changed. Other browsers are logged out.")
    return redirect("leads:profile")


@require_POST
@rep_page
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the system says; from the menu at the avatar."""
    user, form = signed_in(request), ThemeForm(request.POST)
    if form.is_valid():
        user.theme = form.cleaned_data["theme"]
        user.save(update_fields=["theme"])
    if request.headers.get("HX-Request") == "true":
        return trigger_client_event(HttpResponse(status=204), "theme", {"theme": user.theme})
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return redirect(back if is_ours else "leads:profile")
