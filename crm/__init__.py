"""The project: what needs both apps."""

from crm.celery import app as celery_app

__all__ = ["celery_app"]
