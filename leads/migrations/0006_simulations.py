from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("leads", "0005_seen_properties"),
    ]

    operations = [
        migrations.AddField(
            model_name="whatif",
            name="kind",
            field=models.CharField(
                choices=[("comparison", "Comparison"), ("simulation", "Simulation")], default="comparison", max_length=10
            ),
        ),
        migrations.AlterField(
            model_name="foldstate",
            name="failed_at",
            field=models.DateTimeField(blank=True, help_text="When that was; set exactly when there is an error.", null=True),
        ),
        migrations.AlterField(
            model_name="whatif",
            name="days",
            field=models.PositiveIntegerField(default=30, help_text="For a comparison: how many days back."),
        ),
        migrations.AlterField(
            model_name="whatif",
            name="document",
            field=models.JSONField(help_text="The model tried out, as in ScoringVersion.document."),
        ),
        migrations.AddIndex(
            model_name="foldstate",
            index=models.Index(condition=models.Q(("failed_at__isnull", False)), fields=["failed_at"], name="fold_state_failed"),
        ),
    ]
