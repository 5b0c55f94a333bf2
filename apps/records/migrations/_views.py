"""The view of all changes. SQLite rebuilds a table to alter a column, which it refuses while a view reads it: a
migration that does so to `records_record` or `records_change` drops the view before and makes it again after."""

# The living and the deleted records apart, so that each part is answered by an index of theirs.
PART = """
SELECT id, organization_id, dataset_id, id AS record_id, origin_id, CAST('created' AS varchar(8)) AS operation,
    CAST(1 AS integer) AS version, CAST(NULL AS text) AS before, CAST(NULL AS text) AS after, created_at,
    uncreated_by AS undone_by
FROM records_record WHERE origin_id IS NOT NULL AND deleted_at IS {}NULL
"""
VIEW = """
CREATE VIEW records_changes AS
SELECT id, organization_id, dataset_id, record_id, origin_id, operation, version, before, after, created_at,
    undone_by
FROM records_change
UNION ALL {} UNION ALL {}
"""


def create_view(apps, schema_editor):
    parts = [PART.format(""), PART.format("NOT ")]
    if schema_editor.connection.vendor == "postgresql":
        # Parts with conditions are planned by themselves: told the order, PostgreSQL reads them by an index
        # and merges. SQLite finds that out alone, and takes no order here.
        parts = [f"({part} ORDER BY id DESC)" for part in parts]
    schema_editor.execute(VIEW.format(*parts))


def drop_view(apps, schema_editor):
    schema_editor.execute("DROP VIEW records_changes")
