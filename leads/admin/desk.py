"""What colleagues left on the pages: notes and calls, saved filters, imported files. Edited there, looked at here."""

from django.contrib import admin

from leads.admin.kinds import HistoryAdmin
from leads.models import Activity, CsvImport, SavedView


@admin.register(Activity)
class ActivityAdmin(HistoryAdmin):
    """Notes, calls and meetings."""

    list_display = ("lead", "kind", "outcome", "by_user", "at")
    list_filter = ("kind", "outcome")
    list_select_related = ("lead", "by_user")
    search_fields = ("lead__name", "lead__email", "text")


@admin.register(CsvImport)
class CsvImportAdmin(HistoryAdmin):
    """Imported files and what became of their rows."""

    list_display = ("name", "state", "rows", "taken", "by_user", "created_at")
    list_filter = ("state",)
    list_select_related = ("by_user",)
    exclude = ("text", "claim_token", "lease_until")


@admin.register(SavedView)
class SavedViewAdmin(HistoryAdmin):
    """Filters that colleagues saved."""

    list_display = ("name", "user", "page", "query")
    list_filter = ("page",)
    list_select_related = ("user",)
