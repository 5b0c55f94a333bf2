"""The content hash may be followed by a mark. No database limits the bytes, so that no table is touched."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("records", "0006_creations_lie_in_records")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    "record",
                    "content_hash",
                    models.BinaryField(
                        help_text="16 bytes of what it holds, and 8 of the row it was written from (ADR 0017).",
                        max_length=24,
                    ),
                )
            ]
        )
    ]
