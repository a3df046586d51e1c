"""Words of the lead's page: days of the timeline, and the way to a company."""

from datetime import date, datetime, timedelta

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html

from leads import sla
from leads.absence import is_free
from leads.models import Company, ScoringVersion, Task, User
from leads.sentences import why_one
from leads.templatetags.words import distance
from leads.workspace_zone import workspace_zone

register = template.Library()


@register.filter
def day_words(day: date) -> str:
    """A day as people say it: today, yesterday, or "Monday 3 November", with the year when it is another one."""
    today = timezone.localdate()
    if day == today:
        return "Today"
    if day == today - timedelta(days=1):
        return "Yesterday"
    return f"{day:%A} {day.day} {day:%B}" + ("" if day.year == today.year else f" {day.year}")


register.filter("why_one", why_one)


@register.simple_tag
def moment(at: datetime) -> str:
    """A moment to come as people say it, and how far away it is: "14:02 (in 3 h)", "Tue 14:02 (in 2 d)", "3 Feb (in 24 d)"."""
    now, local = timezone.localtime(), timezone.localtime(at)
    days = (local.date() - now.date()).days
    clock = f"{local:%H:%M}" if days == 0 else f"{local:%a %H:%M}" if 0 < days < 7 else f"{local.day} {local:%b}"
    year = f" {local.year}" if abs(days) >= 7 and local.year != now.year else ""
    seconds = (at - now).total_seconds()
    away = f" (in {distance(seconds)})" if seconds >= 60 else ""
    exact = local.strftime("%a %d %b %Y, %H:%M:%S %Z")
    return format_html('<time datetime="{}" title="{}">{}</time>{}', at.isoformat(), exact, clock + year, away)


@register.simple_tag
def company_url(company: Company) -> str:
    """The address of a company's page."""
    try:
        return reverse("leads:company", args=[company.pk])
    except NoReverseMatch:
        return ""


@register.filter
def clock(task: Task) -> sla.Clock | None:
    """The running clock of a handoff, in working time; nothing when nobody waits."""
    return sla.clock_of(task, timezone.now(), zone=workspace_zone())


@register.filter
def free(task: Task) -> bool:
    """Whether anybody on the team may take it."""
    return is_free(task, timezone.now().date())


@register.simple_tag
def scored_by(version: ScoringVersion, user: User) -> str:
    """The version that scored something; those who may see it are led to it."""
    if not user.is_editor:
        return str(version)
    return format_html('<a href="{}">{}</a>', reverse("leads:scoring-version", args=[version.number]), version)
