"""Key and slots compare by code point on PostgreSQL, as they do on SQLite: prefixes are then ranges (ADR 0003)."""

from django.db import migrations

COLUMNS = ("key", "s1", "s2", "s3", "s4", "s5", "s6")


def _alter(collation):
    def run(apps, schema_editor):
        if schema_editor.connection.vendor == "postgresql":
            changes = ", ".join(f'ALTER COLUMN "{c}" TYPE varchar(190) COLLATE {collation}' for c in COLUMNS)
            schema_editor.execute(f"ALTER TABLE records_record {changes}")

    return run


class Migration(migrations.Migration):
    dependencies = [("records", "0001_initial")]

    operations = [migrations.RunPython(_alter('"C"'), _alter('"default"'))]
