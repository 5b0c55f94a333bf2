"""Keyset slices of a queryset: rows after a position, in an order that ends with the primary key.

A position is a row's (column, id); the condition is the row comparison `(column, id) > (value, id)`, which an
index on (…, column, id) answers at the same cost at any depth. Rows whose column is NULL come last in both
directions; they are a second slice, so that the first can use an index that leaves NULLs out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable
from django.db.models.sql.compiler import SQLCompiler


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list: by `column` (or by id alone), then by id, both in one direction.

    `has_nulls` is to be turned off for a column that is nullable but has a value in every row of the list.
    """

    column: str = "id"
    descending: bool = True
    has_nulls: bool = True

    @classmethod
    def parse(cls, text: str) -> Order:
        return cls(text.removeprefix("-"), text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.column}" if self.descending else self.column

    def reversed(self) -> Order:
        return Order(self.column, not self.descending, self.has_nulls)


# The position of a row: the value of the column (None if the order is by id alone, or it is NULL) and the id.
Position = tuple[Any, Any]


class _RowCompare(models.Func):
    """`(a, b) > (x, y)` in SQL's row value syntax."""

    output_field = models.BooleanField()
    conditional = True

    def __init__(self, operator: str, *expressions: Combinable | models.Expression) -> None:
        super().__init__(*expressions)
        self.operator = operator

    def as_sql(  # type: ignore[override]
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        params: list[Any] = []
        for expression in self.get_source_expressions():
            sql, inner = compiler.compile(expression)
            parts.append(sql)
            params.extend(inner)
        return f"({parts[0]}, {parts[1]}) {self.operator} ({parts[2]}, {parts[3]})", tuple(params)


def position_of(row: Any, order: Order) -> Position:
    """Where a row stands. `row` is an instance or a mapping."""
    read = row.get if isinstance(row, dict) else lambda name: getattr(row, name)
    pk = row["id"] if isinstance(row, dict) else row.pk
    return (None if order.column in ("id", "pk") else read(order.column), pk)


def fetch(
    queryset: models.QuerySet[Any],
    order: Order,
    after: Position | None,
    count: int,
    *,
    backwards: bool = False,
) -> list[Any]:
    """At most `count` rows after the position (or from the start), in `order`.

    `backwards` gives the rows before the position instead, nearest first.
    """
    meta = queryset.model._meta
    pk = meta.pk.name
    walk = order.reversed() if backwards else order
    if order.column in ("id", "pk", pk):
        rows = queryset.order_by(f"-{pk}" if walk.descending else pk)
        if after is not None:
            rows = rows.filter(**{f"pk__{'lt' if walk.descending else 'gt'}": after[1]})
        return list(rows[:count])
    field = meta.get_field(order.column)
    sign = "-" if walk.descending else ""

    def valued(value: Any | None = None, row_id: Any = None) -> models.QuerySet[Any]:
        rows = queryset.order_by(f"{sign}{order.column}", f"{sign}{pk}")
        if field.null:
            rows = rows.filter(**{f"{order.column}__isnull": False})
        if value is not None:
            rows = rows.filter(
                _RowCompare(
                    "<" if walk.descending else ">",
                    models.F(order.column),
                    models.F(pk),
                    models.Value(value, field),
                    models.Value(row_id, meta.pk),
                )
            )
        return rows

    def empty(row_id: Any = None) -> models.QuerySet[Any]:
        rows = queryset.filter(**{f"{order.column}__isnull": True}).order_by(f"{sign}{pk}")
        if row_id is not None:
            rows = rows.filter(**{f"pk__{'lt' if walk.descending else 'gt'}": row_id})
        return rows

    if not (field.null and order.has_nulls):
        value, row_id = after or (None, None)
        return list(valued(value, row_id)[:count])
    if after is None:
        slices = [empty(), valued()] if backwards else [valued(), empty()]
    elif after[0] is None:
        slices = [empty(after[1]), valued()] if backwards else [empty(after[1])]
    else:
        slices = [valued(*after)] if backwards else [valued(*after), empty()]
    found: list[Any] = []
    for part in slices:
        found.extend(part[: count - len(found)])
        if len(found) == count:
            break
    return found
