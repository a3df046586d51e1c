"""Addresses of the pages about leads."""

from django.urls import path

from leads import views

app_name = "leads"
urlpatterns = [
    path("", views.board, name="board"),
    path("leads/<uuid:uid>/", views.lead_page, name="lead"),
    path("leads/<uuid:uid>/move/", views.move_lead, name="move"),
]
