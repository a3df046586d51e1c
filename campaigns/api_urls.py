"""The addresses of the doors for machines that campaigns answer."""

from django.urls import path

from campaigns import api

app_name = "campaigns_api"

urlpatterns = [
    path("api/leads/<uuid:uid>/messages", api.messages, name="messages"),
    path("api/leads/<uuid:uid>/messages/", api.messages),
]
