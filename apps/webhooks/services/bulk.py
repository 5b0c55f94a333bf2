"""Many rows in one statement, for the paths where building model instances would be the cost.

PostgreSQL: INSERT … SELECT and UPDATE … FROM over one JSON text of all rows, which is written many times
faster than arrays of texts are quoted. SQLite: the same statement row by row, which costs little inside the
process. Values are plain: UUIDs, aware datetimes,
numbers, texts, bytes; JSON columns take JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, models, transaction
from django.db.models import BinaryField, Field, JSONField


def _field(model: type[models.Model], name: str) -> Field[Any, Any]:
    field = model._meta.get_field(name)
    assert isinstance(field, Field)
    return field


def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(str(_field(model, name).column))


def _recordset(fields: Sequence[Field[Any, Any]]) -> str:
    """The rows of one JSON text as v(c0, c1, …) with the columns' types."""
    columns = ", ".join(f"c{n} {field.db_type(connection)}" for n, field in enumerate(fields))
    return f"json_to_recordset(%s::json) AS v({columns})"


def _json(fields: Sequence[Field[Any, Any]], rows: Sequence[tuple[Any, ...]]) -> str:
    names = [f"c{n}" for n in range(len(fields))]
    raw = [n for n, field in enumerate(fields) if isinstance(field, JSONField)]
    binary = [n for n, field in enumerate(fields) if isinstance(field, BinaryField)]
    told = [dict(zip(names, row, strict=True)) for row in rows]
    for row in told:
        for n in raw:  # JSON already
            row[names[n]] = orjson.Fragment(row[names[n]])
        for n in binary:
            row[names[n]] = "\\x" + row[names[n]].hex()
    return orjson.dumps(told).decode()


def plain(field: Field[Any, Any], value: Any) -> Any:
    """A value as SQLite keeps it."""
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value
    return field.get_db_prep_value(value, connection)


def fetch(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement on PostgreSQL, with parameters and answers in binary where it has such a form.

    Django's cursors write parameters into the text and read answers as text, which costs more than the
    statement where many UUIDs or bodies go to and fro. Not for reading times: Django's zone is not put in.
    """
    import psycopg

    connection.ensure_connection()
    if connection.needs_rollback:
        raise transaction.TransactionManagementError("The transaction is broken and must be rolled back.")
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(sql, params, binary=True)
        return cursor.fetchall() if cursor.description is not None else []


def insert(model: type[models.Model], names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows; `names` are the fields of each tuple."""
    if not rows:
        return
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(_column(model, name) for name in names)
    fields = [_field(model, name) for name in names]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            fetch(
                f"INSERT INTO {table} ({columns}) SELECT * FROM {_recordset(fields)}",  # noqa: S608
                [_json(fields, rows)],
            )
        else:
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608
                [[plain(field, value) for field, value in zip(fields, row, strict=True)] for row in rows],
            )


def update(
    model: type[models.Model],
    match: Sequence[str],
    change: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    *,
    only_if: str = "",
) -> set[UUID]:
    """Set the fields `change` of the rows whose fields `match` (the id first) have the given values.

    Each tuple holds the values of `match`, then those of `change`. `only_if` is a further SQL condition, on
    a column that no partial index has its condition on, or the planner may take that index for the way in.
    Returns the ids of the rows that were changed.
    """
    if not rows:
        return set()
    table = connection.ops.quote_name(model._meta.db_table)
    names = [*match, *change]
    fields = [_field(model, name) for name in names]
    condition = f" AND ({only_if})" if only_if else ""
    changed: set[UUID] = set()
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            sets = ", ".join(f"{_column(model, name)} = v.c{len(match) + n}" for n, name in enumerate(change))
            where = " AND ".join(f"t.{_column(model, name)} = v.c{n}" for n, name in enumerate(match))
            found = fetch(
                f"UPDATE {table} AS t SET {sets} FROM {_recordset(fields)} "  # noqa: S608
                f"WHERE {where}{condition} RETURNING t.{_column(model, match[0])}",
                [_json(fields, rows)],
            )
            return {row[0] for row in found}
        sets = ", ".join(f"{_column(model, name)} = %s" for name in change)
        where = " AND ".join(f"{_column(model, name)} = %s" for name in match)
        sql = f"UPDATE {table} SET {sets} WHERE {where}{condition}"  # noqa: S608
        for row in rows:
            values = [plain(field, value) for field, value in zip(fields, row, strict=True)]
            cursor.execute(sql, [*values[len(match) :], *values[: len(match)]])
            if cursor.rowcount:
                changed.add(row[0])
    return changed
