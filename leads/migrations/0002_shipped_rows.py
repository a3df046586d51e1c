"""The shipped stages, the built-in source and the groups; on PostgreSQL also the trigram index of the search text."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

STAGES = [
    ("cold", "Cold", "open", ""),
    ("mql", "Marketing qualified", "open", ""),
    ("sql", "Sales qualified", "open", "4h"),
    ("won", "Closed won", "won", ""),
    ("lost", "Closed lost", "lost", ""),
]


def create_rows(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create what a fresh database has."""
    Stage = apps.get_model("leads", "Stage")
    for position, (key, name, kind, sla) in enumerate(STAGES):
        Stage.objects.create(key=key, name=name, kind=kind, sla=sla, position=position)
    apps.get_model("leads", "Source").objects.create(name="leadstate", scope="server")
    for name in ("Sales", "Marketing", "Admin"):
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


def create_trigram_index(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Serve `text ILIKE '%…%'` of the board's search; SQLite scans, which is quick enough at its size."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if not cursor.fetchone():
            return
    schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    schema_editor.execute("CREATE INDEX lead_search_trigrams ON leads_leadsearch USING gin (text gin_trgm_ops)")


class Migration(migrations.Migration):
    dependencies = [("leads", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.RunPython(create_rows, migrations.RunPython.noop),
        migrations.RunPython(create_trigram_index, migrations.RunPython.noop),
    ]
