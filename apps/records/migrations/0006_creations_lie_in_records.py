"""A creation is no row of its own any more: the record knows its origin, and a view shows it as a change."""

import apps.kernel.ids
import apps.records.models.json
import django.db.models.deletion
from apps.records.migrations._views import create_view, drop_view
from django.db import migrations, models

INTO_RECORDS = """
UPDATE records_record SET
    origin_id = (SELECT c.origin_id FROM records_change c
        WHERE c.record_id = records_record.id AND c.operation = 'created' ORDER BY c.id LIMIT 1),
    uncreated_by = (SELECT c.undone_by FROM records_change c
        WHERE c.record_id = records_record.id AND c.operation = 'created' ORDER BY c.id LIMIT 1)
"""
OUT_OF_CHANGES = "DELETE FROM records_change WHERE operation = 'created'"
INTO_CHANGES = """
INSERT INTO records_change
    (id, organization_id, dataset_id, record_id, origin_id, operation, version, created_at, undone_by)
SELECT id, organization_id, dataset_id, id, origin_id, 'created', 1, created_at, uncreated_by
FROM records_record WHERE origin_id IS NOT NULL
"""
COLUMNS = [
    (
        "id",
        models.UUIDField(default=apps.kernel.ids.uuid7, editable=False, primary_key=True, serialize=False),
    ),
    (
        "operation",
        models.CharField(
            choices=[
                ("created", "Created"),
                ("updated", "Updated"),
                ("deleted", "Deleted"),
                ("restored", "Restored"),
            ],
            max_length=8,
        ),
    ),
    ("version", models.PositiveIntegerField(help_text="The record's version after the change.")),
    ("before", apps.records.models.json.JSONText(blank=True, null=True)),
    (
        "written",
        apps.records.models.json.JSONText(
            blank=True,
            db_column="after",
            help_text="Null for a creation, whose values are the record's, less what was changed since.",
            null=True,
        ),
    ),
    ("created_at", models.DateTimeField()),
    (
        "undone_by",
        models.UUIDField(blank=True, help_text="The origin that took it back.", null=True),
    ),
    *(
        (
            name,
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=(
                    django.db.models.deletion.DO_NOTHING
                    if name == "record"
                    else django.db.models.deletion.PROTECT
                ),
                related_name="+",
                to=to,
            ),
        )
        for name, to in (
            ("dataset", "records.dataset"),
            ("organization", "tenants.organization"),
            ("origin", "records.origin"),
            ("record", "records.record"),
        )
    ),
]


class Migration(migrations.Migration):
    dependencies = [
        ("records", "0005_undo_in_the_background"),
        ("tenants", "0003_organization_api_version"),
    ]

    operations = [
        migrations.RemoveIndex("change", "change_record"),
        migrations.AddIndex("change", models.Index(fields=["record", "id"], name="change_record")),
        migrations.AddField(
            "record",
            "origin",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                help_text="Who created it: what is shown as its first change (ADR 0016).",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="records.origin",
            ),
        ),
        migrations.AddField(
            "record",
            "uncreated_by",
            models.UUIDField(editable=False, help_text="The origin that took that back.", null=True),
        ),
        migrations.RunSQL(INTO_RECORDS, migrations.RunSQL.noop),
        migrations.RunSQL(OUT_OF_CHANGES, INTO_CHANGES),
        migrations.AddIndex(
            "record",
            models.Index(
                condition=models.Q(("origin__isnull", False)), fields=["origin", "id"], name="record_origin"
            ),
        ),
        # The table of changes stays what it is and gets a model of another name. (Django knows nothing of it
        # here, or the rights that people have to see changes would go to that name.)
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel("Change"),
                migrations.CreateModel(
                    "LaterChange",
                    fields=[(name, field.clone()) for name, field in COLUMNS],
                    options={
                        "db_table": "records_change",
                        "ordering": ["-id"],
                        "indexes": [
                            models.Index(fields=["record", "id"], name="change_record"),
                            models.Index(fields=["origin", "id"], name="change_origin"),
                            models.Index(fields=["dataset", "id"], name="change_dataset"),
                        ],
                    },
                ),
            ]
        ),
        migrations.CreateModel(
            "Change",
            fields=[(name, field.clone()) for name, field in COLUMNS],
            options={"db_table": "records_changes", "ordering": ["-id"], "managed": False},
        ),
        migrations.RunPython(create_view, drop_view),
    ]
