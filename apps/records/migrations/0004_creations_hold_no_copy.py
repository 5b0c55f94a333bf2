"""What a creation wrote is its record's first state: worked out when asked for, not stored a second time."""

from django.db import migrations, models

import apps.records.models.json


class Migration(migrations.Migration):
    dependencies = [("records", "0003_deleted_index")]

    operations = [
        migrations.AlterField(
            "change",
            "after",
            apps.records.models.json.JSONText(
                blank=True,
                db_column="after",
                help_text="Null for a creation, whose values are the record's, less what was changed since.",
                null=True,
            ),
        ),
        migrations.RenameField("change", "after", "written"),
        migrations.RemoveIndex("change", "change_record"),
        migrations.AddIndex(
            "change",
            models.Index(condition=models.Q(("version__gt", 1)), fields=["record", "id"], name="change_record"),
        ),
    ]
