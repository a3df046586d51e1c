"""Addresses of the pages about leads."""

from django.urls import path, register_converter

from leads.scoring_draft import PARTS
from leads.views import (
    board,
    companies,
    imports,
    lead,
    lead_actions,
    lead_list,
    new_lead,
    notifications,
    profile,
    scoring,
    scoring_edit,
    sources,
    today,
)


class PartConverter:
    """A part of the scoring model in an address."""

    regex = "|".join(PARTS)

    def to_python(self, value: str) -> str:
        """The part's word."""
        return value

    def to_url(self, value: str) -> str:
        """The part's word."""
        return value


register_converter(PartConverter, "part")

app_name = "leads"
urlpatterns = [
    path("", board.board, name="board"),
    path("board/live/", board.live, name="board-live"),
    path("board/more/", board.more, name="board-more"),
    path("board/move/", board.move, name="board-move"),
    path("board/undo/", board.undo, name="board-undo"),
    path("board/views/", board.save_view, name="board-save-view"),
    path("board/views/<int:pk>/forget/", board.forget_view, name="board-forget-view"),
    path("leads/", lead_list.lead_list, name="list"),
    path("leads/give/", lead_list.give_leads, name="give-leads"),
    path("leads/stage/", lead_list.move_leads, name="move-leads"),
    path("leads/undo/", lead_list.undo_moves, name="undo-moves"),
    path("leads/export.csv", lead_list.export_csv, name="export"),
    path("leads/import/", imports.upload, name="import-upload"),
    path("leads/import/<uuid:uid>/", imports.import_page, name="import"),
    path("leads/import/<uuid:uid>/delimiter/", imports.choose_delimiter, name="import-delimiter"),
    path("leads/import/<uuid:uid>/discard/", imports.discard, name="import-discard"),
    path("leads/import/<uuid:uid>/go-on/", imports.go_on, name="import-go-on"),
    path("leads/import/<uuid:uid>/errors.csv", imports.errors_file, name="import-errors"),
    path("leads/<uuid:uid>/", lead.lead_page, name="lead"),
    path("leads/<uuid:uid>/move/", lead.move_lead, name="move"),
    path("leads/<uuid:uid>/moves/<int:pk>/undo/", lead.undo_lead_move, name="undo-move"),
    path("leads/<uuid:uid>/part/<slug:name>/", lead.part, name="part"),
    path("leads/<uuid:uid>/ledger/", lead.rule_lines, name="rule-lines"),
    path("leads/<uuid:uid>/facts/<slug:name>/", lead_actions.fact, name="fact"),
    path("leads/<uuid:uid>/mine/", lead_actions.assign_to_me, name="assign"),
    path("leads/<uuid:uid>/write/<slug:kind>/", lead_actions.write, name="write"),
    path("leads/<uuid:uid>/tasks/<int:pk>/done/", lead_actions.task_done, name="lead-task-done"),
    path("leads/<uuid:uid>/consent/", lead_actions.consent, name="consent"),
    path("leads/new/", new_lead.new_lead, name="new"),
    path("companies/options/", lead_actions.company_options, name="company_options"),
    path("today/", today.today, name="today"),
    path("companies/", companies.companies, name="companies"),
    path("companies/<int:pk>/", companies.company, name="company"),
    path("companies/<int:pk>/owner/", companies.give_company, name="company-owner"),
    path("companies/<int:pk>/value/", companies.value_company, name="company-value"),
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
    path("scoring/<part:part>/new/", scoring_edit.new_entry, name="scoring-new"),
    path("scoring/<part:part>/<str:key>/", scoring_edit.entry, name="scoring-entry"),
    path("scoring/<part:part>/<str:key>/delete/", scoring_edit.delete, name="scoring-delete"),
    path("scoring/<part:part>/<str:key>/move/", scoring_edit.move, name="scoring-move"),
    path("sources/", sources.sources, name="sources"),
    path("sources/new/", sources.new_source, name="source-new"),
    path("sources/<int:pk>/", sources.source_page, name="source"),
    path("sources/<int:pk>/save/", sources.save_source, name="source-save"),
    path("sources/<int:pk>/revoke/", sources.revoke_source, name="source-revoke"),
    path("sources/<int:pk>/tail/", sources.tail_part, name="source-tail"),
    path("sources/<int:pk>/first-event/", sources.first_event, name="first-event"),
    path("sources/<int:pk>/first-event/waiting/", sources.waiting, name="first-event-waiting"),
    path("sources/<int:pk>/deliveries/<uuid:receipt>/", sources.delivery_page, name="delivery"),
    path("sources/<int:pk>/deliveries/<uuid:receipt>/retry/", sources.retry_delivery, name="delivery-retry"),
]
