"""Suspended accounts, data plans, and what a rotation of the keys that seal must remember."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_roster_revisions")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="data_plan",
            field=models.CharField(
                choices=[("basic", "Basic"), ("plus", "Plus")], default="basic", max_length=8
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="suspended_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="account",
            name="suspended_reason",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("suspended_at", None), ("suspended_reason", None))
                | models.Q(("suspended_at__isnull", False), ("suspended_reason__isnull", False)),
                name="a_suspended_account_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("account_type__in", ["master", "trading", "data", "backup"]),
                    ("data_plan__in", ["basic", "plus"]),
                    ("priority__in", ["high", "normal", "low"]),
                ),
                name="type_priority_and_data_plan_are_known_words",
            ),
        ),
        migrations.AddField(
            model_name="credential",
            name="sealed_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now()
            ),
        ),
        migrations.CreateModel(
            name="Rotation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "began_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                ("actor", models.CharField(max_length=128)),
                ("reason", models.CharField(max_length=200)),
                ("master_key_id", models.CharField(max_length=32)),
            ],
        ),
        migrations.AddConstraint(
            model_name="rotation",
            constraint=models.UniqueConstraint(
                models.Value(1),
                condition=models.Q(("ended_at", None)),
                name="one_rotation_at_a_time",
            ),
        ),
    ]
