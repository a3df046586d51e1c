"""Addresses of the pages about leads."""

from django.urls import path, register_converter

from leads.scoring_draft import PARTS
from leads.views import (
    board,
    broken,
    companies,
    imports,
    lead,
    lead_actions,
    lead_explained,
    lead_list,
    merging,
    new_lead,
    notifications,
    profile,
    rejecting,
    rejections,
    scoring,
    scoring_edit,
    sources,
    today,
    versions,
    whatif,
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
    path("leads/<uuid:uid>/reject/", rejecting.reject_lead, name="reject"),
    path("leads/<uuid:uid>/stay-away/", lead.stay_away, name="stay-away"),
    path("leads/<uuid:uid>/part/<slug:name>/", lead.part, name="part"),
    path("leads/<uuid:uid>/ledger/", lead.rule_lines, name="rule-lines"),
    path("leads/<uuid:uid>/events/<int:pk>/", lead_explained.event, name="event"),
    path("leads/<uuid:uid>/what-if/", lead_explained.what_if, name="what-if"),
    path("leads/<uuid:uid>/facts/<slug:name>/", lead_actions.fact, name="fact"),
    path("leads/<uuid:uid>/mine/", lead_actions.assign_to_me, name="assign"),
    path("leads/<uuid:uid>/write/<slug:kind>/", lead_actions.write, name="write"),
    path("leads/<uuid:uid>/tasks/<int:pk>/done/", lead_actions.task_done, name="lead-task-done"),
    path("leads/<uuid:uid>/consent/", lead_actions.consent, name="consent"),
    path("leads/<uuid:uid>/merge/", merging.find_other, name="merge"),
    path("leads/<uuid:uid>/merge/<uuid:other>/", merging.compare_two, name="compare"),
    path("leads/merges/<int:pk>/undo/", merging.undo_merge, name="undo-merge"),
    path("leads/merges/<int:pk>/apart/", merging.take_apart, name="take-apart"),
    path("leads/reviews/", merging.reviews, name="reviews"),
    path("leads/reviews/<int:pk>/ask-again/", merging.ask_again, name="ask-again"),
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
    path("scoring/rejections/", rejections.rejections, name="rejections"),
    path("scoring/publish/", scoring.publish, name="scoring-publish"),
    path("scoring/discard/", scoring.discard, name="scoring-discard"),
    path("scoring/versions/", versions.versions, name="scoring-versions"),
    path("scoring/versions/<int:number>/", versions.version_page, name="scoring-version"),
    path("scoring/versions/<int:number>/job/", versions.job_part, name="scoring-version-job"),
    path("scoring/versions/<int:number>/pause/", versions.pause, name="scoring-version-pause"),
    path("scoring/versions/<int:number>/resume/", versions.resume, name="scoring-version-resume"),
    path("scoring/versions/<int:number>/restore/", versions.restore, name="scoring-version-restore"),
    path("scoring/broken/", broken.broken, name="scoring-broken"),
    path("scoring/broken/again/", broken.fold_again, name="scoring-try-again"),
    path("scoring/simulator/", whatif.simulator, name="simulator"),
    path("scoring/whatif/", whatif.start, name="whatif-start"),
    path("scoring/whatif/<uuid:uid>/", whatif.what_if_page, name="whatif"),
    path("scoring/whatif/<uuid:uid>/cancel/", whatif.cancel, name="whatif-cancel"),
    path("scoring/whatif/<uuid:uid>/go-on/", whatif.go_on, name="whatif-go-on"),
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
