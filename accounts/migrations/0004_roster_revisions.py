"""What each roster version made of an account, for rollbacks; accounts that are being closed."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_standings")]

    operations = [
        migrations.AddField(
            model_name="account",
            name="closing",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="AccountRevision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("account_type", models.CharField(max_length=16)),
                ("url", models.CharField(blank=True, max_length=200)),
                ("priority", models.CharField(max_length=8)),
                ("max_connections", models.PositiveSmallIntegerField()),
                ("data_plan", models.CharField(max_length=8)),
                ("enabled", models.BooleanField()),
                ("key_version", models.PositiveIntegerField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="revisions",
                        to="accounts.account",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="revisions",
                        to="accounts.rosterversion",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="accountrevision",
            constraint=models.UniqueConstraint(
                fields=("account", "version"), name="one_revision_of_an_account_a_version"
            ),
        ),
    ]
