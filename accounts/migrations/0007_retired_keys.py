"""Keys that `replace_key` took out of use, and who of the staff may import the account file."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_staff_pages")]

    operations = [
        migrations.AddField(
            model_name="credential",
            name="retired_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterModelOptions(
            name="rosterversion",
            options={
                "ordering": ["-version"],
                "permissions": [("reload_roster", "Can import the account file again")],
            },
        ),
    ]
