"""What the staff pages need: a right to suspend, and an account's own history by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_custody")]

    operations = [
        migrations.AlterModelOptions(
            name="account",
            options={
                "ordering": ["account_id"],
                "permissions": [("suspend_account", "Can suspend and resume account")],
            },
        ),
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(
                condition=models.Q(("order_id__isnull", True)),
                fields=["account_id", "seq"],
                name="entries_of_no_order",
            ),
        ),
    ]
