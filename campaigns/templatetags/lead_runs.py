"""Words about one person's runs."""

from django import template

from campaigns.models import Enrollment
from leads.sentences import why_words

register = template.Library()
register.filter("why", why_words)


@register.filter
def step_number(run: Enrollment) -> int:
    """The number of the step a run stands at, from 1."""
    keys = [step["key"] for step in run.version.document.get("steps", [])]
    return keys.index(run.next_step) + 1 if run.next_step in keys else len(keys)
