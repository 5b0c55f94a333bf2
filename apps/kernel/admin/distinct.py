"""The different values of an indexed column, found by jumping from one to the next in the index.

`SELECT DISTINCT` reads every entry of the index; on a table of millions that is a scan for a few words.
"""

from __future__ import annotations

from typing import Any

from django.db import connections, models

LIMIT = 100


def distinct_values(
    model: type[models.Model], column: str, *, where: dict[str, Any], limit: int = LIMIT
) -> list[Any]:
    """The first `limit` different values of `column`, ascending, among the rows that equal `where`.

    Needs an index that begins with the columns of `where` and continues with `column`.
    """
    connection = connections["default"]
    quote = connection.ops.quote_name
    table, wanted = quote(model._meta.db_table), quote(_column(model, column))
    conditions, values = [], []
    for name, value in where.items():
        field: Any = model._meta.get_field(name)
        conditions.append(f"{quote(field.column)} = %s")
        values.append(field.get_db_prep_value(getattr(value, "pk", value), connection))
    narrow = " AND ".join([*conditions, f"{wanted} IS NOT NULL"])
    # Every name comes from the models and is quoted; every value is a parameter.
    sql = (
        f"WITH RECURSIVE found(v) AS ("  # noqa: S608
        f"SELECT MIN({wanted}) FROM {table} WHERE {narrow}"
        f" UNION ALL SELECT (SELECT MIN({wanted}) FROM {table} WHERE {narrow} AND {wanted} > found.v)"
        f" FROM found WHERE found.v IS NOT NULL)"
        f" SELECT v FROM found WHERE v IS NOT NULL LIMIT %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*values, *values, limit])
        return [row[0] for row in cursor.fetchall()]


def _column(model: type[models.Model], name: str) -> str:
    field: Any = model._meta.get_field(name)
    return str(field.column)
