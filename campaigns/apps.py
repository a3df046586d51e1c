"""The app that speaks to people: sequences, messages, and what comes back."""

from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    """Django's record of the app."""

    name = "campaigns"
    verbose_name = "Campaigns"
