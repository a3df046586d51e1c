"""Addresses of the pages about leads."""

from django.urls import path

from leads.views import board, lead

app_name = "leads"
urlpatterns = [
    path("", board.board, name="board"),
    path("leads/<uuid:uid>/", lead.lead_page, name="lead"),
    path("leads/<uuid:uid>/move/", lead.move_lead, name="move"),
]
