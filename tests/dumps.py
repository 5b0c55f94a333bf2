"""The whole database as text: every row of every table, and on PostgreSQL every sequence."""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection


def dump(without: Collection[str] = ()) -> str:
    """A dump that two moments can be compared by. `without` leaves tables out."""
    lines = []
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            if table in without:
                continue
            cursor.execute(f'SELECT * FROM "{table}"')
            lines += sorted(
                f"{table}: {tuple(bytes(c) if isinstance(c, memoryview) else c for c in row)!r}"
                for row in cursor
            )
        if connection.vendor == "postgresql":
            cursor.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
            lines += [f"sequence {name}: {value}" for name, value in cursor.fetchall()]
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1")
            lines += [f"schema {name}: {sql}" for name, sql in cursor.fetchall()]
    return "\n".join(lines)
