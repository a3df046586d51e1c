"""One sweep of everything due, without Celery: deliveries, score changes, steps, messages, notifications."""

from typing import Any

from django.core.management.base import BaseCommand

from crm import sweep


class Command(BaseCommand):
    help = "Do one sweep of everything that is due, without Celery."

    def handle(self, *args: Any, **options: Any) -> None:
        sweep.run_everything_due()
