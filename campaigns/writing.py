"""What a step says, in a form of its own: written, looked at for a real lead, and sent to oneself as a test."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.csp import CSP
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override
from django.views.decorators.http import require_http_methods, require_POST

from campaigns import specimen
from campaigns.drafts import move_step, save_content
from campaigns.models import Campaign, Step
from campaigns.rendering import TemplateProblem, check_template
from campaigns.transport import Failure
from leads.access import marketer_page, signed_in
from leads.models import Lead

# The frame of a mail: nothing in it runs, and nothing leaves it; its own inline styles and pictures show.
FRAME_CSP: dict[str, Any] = {
    "default-src": [CSP.NONE],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
    "font-src": [CSP.SELF],
    "img-src": ["data:", "https:"],
    "frame-ancestors": [CSP.SELF],
    "sandbox": True,
}
INPUT = {"class": "form-control", "autocomplete": "off"}


class ContentForm(forms.ModelForm):  # type: ignore[type-arg]
    """The words of a step; templates are checked as they will be at publishing."""

    class Meta:
        model = Step
        fields = ["subject", "body", "text"]
        widgets = {
            "subject": forms.TextInput(attrs=INPUT),
            "body": forms.Textarea(attrs={**INPUT, "rows": 20, "spellcheck": "true"}),
            "text": forms.TextInput(attrs=INPUT),
        }
        labels = {"text": "What to tell"}
        help_texts = {"subject": "", "text": "", "body": ""}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_mail = self.instance.kind == Step.Kind.MESSAGE
        for name in ["text"] if is_mail else ["subject", "body"]:
            del self.fields[name]
        if self.instance.kind == Step.Kind.EXIT:
            self.fields["text"].label = "Why the run ends"
        for name in self.fields:
            self.fields[name].required = self.instance.kind != Step.Kind.EXIT

    def clean(self) -> dict[str, Any]:
        """Check the templates; what is wrong stands beside its field."""
        data: dict[str, Any] = super().clean() or {}
        marketing = self.instance.campaign.message_class == Campaign.Class.MARKETING
        for word in ("subject", "body"):
            if not data.get(word):
                continue
            try:
                check_template(data[word], marketing=marketing)
            except TemplateProblem as problem:
                self.add_error(word, ValidationError(f"{str(problem)[:1].upper()}{str(problem)[1:]}"))
        return data


class LookForm(forms.Form):
    """For whom, and how, to look at a mail. Anything unreadable is ignored."""

    lead = forms.CharField(max_length=254, required=False)
    part = forms.ChoiceField(choices=[("html", "HTML"), ("text", "Text")], required=False)
    subject = forms.CharField(max_length=300, required=False)
    body = forms.CharField(max_length=100_000, required=False, strip=False)


class MoveForm(forms.Form):
    """Where a step goes."""

    to = forms.ChoiceField(choices=[("earlier", "earlier"), ("later", "later")])


def find_step(key: str, step: str) -> Step:
    """The step of the draft, with its campaign."""
    return get_object_or_404(Step.objects.select_related("campaign__topic", "campaign__live"), campaign__key=key, key=step)


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
def step_page(request: HttpRequest, key: str, step: str) -> HttpResponse:
    """The form with the mail beside it; saving changes the draft only."""
    row = find_step(key, step)
    form = ContentForm(request.POST if request.method == "POST" else None, instance=row)
    if request.method == "POST" and form.is_valid():
        save_content(find_step(key, step), by_user=signed_in(request), **form.cleaned_data)
        messages.success(request, "Saved in the draft. It goes out once the campaign is published.")
        return redirect(f"{reverse('campaigns:step', args=[key, step])}?{urlencode({'lead': request.POST.get('lead', '')[:254]})}")
    return render_form(request, row, form, status=422 if form.errors else 200)


def render_form(request: HttpRequest, step: Step, form: ContentForm, *, status: int = 200) -> HttpResponse:
    """The page of one step."""
    leads = specimen.suggested_leads(step.campaign)
    asked = request.POST.get("lead") or request.GET.get("lead") or (leads[0].email if leads else "")
    context = {
        "step": step,
        "campaign": step.campaign,
        "form": form,
        "summary": step.summary,
        "leads": leads,
        "lead": asked,
        "is_mail": step.kind == Step.Kind.MESSAGE,
        "test_address": signed_in(request).email,
    }
    return render(request, "campaigns/step.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@marketer_page
@xframe_options_sameorigin
@csp_override(FRAME_CSP)
def preview(request: HttpRequest, key: str, step: str) -> HttpResponse:
    """The mail for a chosen lead: with the words as posted (nothing is saved), else as they stand in the draft."""
    row = find_step(key, step)
    form = LookForm(request.POST if request.method == "POST" else request.GET)
    form.is_valid()
    data = form.cleaned_data
    lead = specimen.find_lead(data.get("lead", "")) or (next(iter(specimen.suggested_leads(row.campaign)), None))
    words = {"subject": row.subject, "body": row.body}
    if request.method == "POST":
        words = {name: data.get(name, "") for name in words}
    made = specimen.make(row.campaign, lead, **words) if lead else None
    context = {"made": made, "part": data.get("part") or "html", "sender": settings.DEFAULT_FROM_EMAIL, "asked": data.get("lead", "")}
    return render(request, "campaigns/preview.html", context)


@require_POST
@marketer_page
def move(request: HttpRequest, key: str, step: str) -> HttpResponse:
    """Put a step one place earlier or later in the draft."""
    row, form = find_step(key, step), MoveForm(request.POST)
    if form.is_valid():
        move_step(row.campaign, step, by=-1 if form.cleaned_data["to"] == "earlier" else 1, by_user=signed_in(request))
    return redirect(f"{reverse('campaigns:campaign', args=[key])}#step-{step}")


@require_POST
@marketer_page
def send_test(request: HttpRequest, key: str, step: str) -> HttpResponse:
    """Save the words in the draft, and send the mail to whoever asks, marked [Test]."""
    row, user = find_step(key, step), signed_in(request)
    form = ContentForm(request.POST, instance=row)
    lead = specimen.find_lead(request.POST.get("lead", "")) or next(iter(specimen.suggested_leads(row.campaign)), None)
    if form.is_valid():
        save_content(find_step(key, step), by_user=user, **form.cleaned_data)
        if try_test(request, row, lead):
            return redirect("campaigns:step", key=key, step=step)
    return render_form(request, row, form, status=422)


def try_test(request: HttpRequest, step: Step, lead: Lead | None) -> bool:
    """Send the test if it can be sent; say what became of it."""
    user = signed_in(request)
    if not user.email or lead is None:
        cure = "Your account has no mail address; add one in your profile" if lead else "There is no lead yet to fill the mail in for"
        messages.error(request, f"Not sent. {cure}.")
        return False
    made = specimen.make(step.campaign, lead, subject=step.subject, body=step.body)
    if made.rendered is None:
        messages.error(request, f"Not sent. For {lead} this mail can't be made: {made.problem}.")
        return False
    try:
        specimen.send_test(made, user)
    except Failure as failure:
        messages.error(request, f"Not sent. The mail server says: {failure}. The words are saved in the draft.")
        return False
    messages.success(request, f"Sent to {user.email} as {lead} would get it. The words are saved in the draft.")
    return True
