"""Words of the lead's page: days of the timeline, and the way to a company."""

from datetime import date, timedelta

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from leads.models import Company
from leads.sentences import why_one

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
def company_url(company: Company) -> str:
    """The address of a company's page."""
    try:
        return reverse("leads:company", args=[company.pk])
    except NoReverseMatch:
        return ""
