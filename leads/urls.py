"""Addresses of the pages about leads."""

from django.urls import path

from leads.views import board, lead, notifications, profile, scoring, today

app_name = "leads"
urlpatterns = [
    path("", board.board, name="board"),
    path("leads/<uuid:uid>/", lead.lead_page, name="lead"),
    path("leads/<uuid:uid>/move/", lead.move_lead, name="move"),
    path("today/", today.today, name="today"),
    path("tasks/<int:pk>/accept/", today.accept_task, name="task-accept"),
    path("tasks/<int:pk>/reject/", today.reject_task, name="task-reject"),
    path("tasks/<int:pk>/claim/", today.claim_task, name="task-claim"),
    path("tasks/<int:pk>/done/", today.finish_task, name="task-done"),
    path("tasks/<int:pk>/reopen/", today.reopen_task, name="task-reopen"),
    path("notifications/", notifications.notifications, name="notifications"),
    path("notifications/bell/", notifications.bell, name="bell"),
    path("notifications/read/", notifications.mark_all_read, name="read-notifications"),
    path("notifications/<int:pk>/", notifications.open_notification, name="notification"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.change_password, name="password"),
    path("profile/theme/", profile.choose_theme, name="theme"),
    path("scoring/", scoring.scoring, name="scoring"),
    path("scoring/publish/", scoring.publish, name="scoring-publish"),
    path("scoring/discard/", scoring.discard, name="scoring-discard"),
]
