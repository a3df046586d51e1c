"""What the groups may do: Sales nothing in the admin, Marketing all but colleagues and keys, Admin everything."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Q

# Whose permissions the groups hold, and what of it Marketing doesn't.
OURS = ("leads", "campaigns")
ADMINS_TOO = ("auth", "axes")
NOT_MARKETING = ("user", "source")


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor | None) -> None:
    """Give each group its permissions. They are otherwise made after the last migration, so they are made here first."""
    for label in (*OURS, *ADMINS_TOO):
        config = apps.get_app_config(label)
        if getattr(config, "models_module", None) is None:  # apps of the past have none, and would be passed over
            config.models_module = True
        create_permissions(config, verbosity=0, apps=apps)
    groups, permissions = apps.get_model("auth", "Group").objects, apps.get_model("auth", "Permission").objects
    ours = permissions.filter(content_type__app_label__in=OURS)
    groups.get(name="Marketing").permissions.add(*ours.exclude(content_type__model__in=NOT_MARKETING))
    groups.get(name="Admin").permissions.add(*permissions.filter(Q(pk__in=ours) | Q(content_type__app_label__in=ADMINS_TOO)))


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0002_shipped_rows"),
        ("campaigns", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
