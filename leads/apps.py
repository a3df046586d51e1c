"""The app that knows people: who they are, what they did, how warm they are, where they stand."""

from django.apps import AppConfig


class LeadsConfig(AppConfig):
    """Django's record of the app."""

    name = "leads"
    verbose_name = "Leads"
