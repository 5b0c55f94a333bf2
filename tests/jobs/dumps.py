"""What a database holds, to compare before and after."""

from __future__ import annotations

import hashlib

from django.db import connection

NOT_COMPARED = ("jobs_", "django_", "sqlite_")


def dump() -> dict[str, str]:
    """For each table, but those of the jobs themselves, a digest of all its rows."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if not table.startswith(NOT_COMPARED):
                cursor.execute(f'SELECT * FROM "{table}"')
                rows = sorted(repr(row) for row in cursor.fetchall())
                found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found
