"""The Celery app and the timetable, on one screen.

The database is the queue; a Celery message is only the bell that says "look now". Losing every
message costs one sweep of `tick`, never work. So: no results, no ETA, no retries by Celery.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crm.settings")

app = Celery("leadstate")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)
# Each entry only looks for due rows, so a missed or a doubled tick changes nothing but the delay.
app.conf.beat_schedule = {
    "tick": {"task": "crm.tasks.tick", "schedule": 2.0, "options": {"expires": 10}},
    "housekeeping": {"task": "crm.tasks.housekeeping", "schedule": 3600.0, "options": {"expires": 600}},
}


@setup_logging.connect
def use_django_logging(**kwargs: object) -> None:
    """Keep Celery from replacing the logging that Django's settings set up."""
