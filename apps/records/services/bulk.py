"""Writing many rows with few statements: `COPY` on PostgreSQL, `executemany` on SQLite.

Columns come as lists, one per column, because cleaning a list at a time is what is cheap in Python. A plain
value stands for a column that is the same in every row. UUIDs are 32 hexadecimal digits, times are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from django.db import connection, models

CHUNK = 900  # keys per IN list: SQLite before 3.32 took 999 variables

Cell = str | int | bytes | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column to write. `text` marks values that may hold any character and need escaping."""

    name: str
    values: Sequence[Cell] | Cell
    text: bool = False


def is_postgres() -> bool:
    return connection.vendor == "postgresql"


def hex_of(value: Any) -> str:
    """A UUID, as either driver gives it, as 32 hexadecimal digits."""
    return (
        value.hex
        if hasattr(value, "hex") and not isinstance(value, (str, bytes))
        else str(value).replace("-", "")
    )


def _is_constant(values: Sequence[Cell] | Cell) -> bool:
    return values is None or isinstance(values, (str, int, bytes))


def _cells(column: Column, count: int) -> Iterable[Cell]:
    """The column's cells; a constant one is repeated `count` times."""
    values = column.values
    if _is_constant(values):
        return repeat(values, count)  # type: ignore[arg-type]
    return values  # type: ignore[return-value]


_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(value: str) -> str:
    if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
        return value.translate(_ESCAPES)
    return value


def _cell(value: Cell, text: bool) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return _escaped(value) if text else value
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return str(value)


def _copy_cells(column: Column) -> Iterable[str]:
    """The column's cells in COPY's text format."""
    values = column.values
    if _is_constant(values):
        return repeat(_cell(values, column.text))  # type: ignore[arg-type]
    cells: Sequence[Cell] = values  # type: ignore[assignment]
    if None in cells:
        return [_cell(v, column.text) for v in cells]
    first = cells[0]
    if isinstance(first, bytes):
        return ["\\\\x" + v.hex() for v in cells]  # type: ignore[union-attr]
    if not isinstance(first, str):
        return [str(v) for v in cells]
    if column.text and not _is_plain(cells):  # type: ignore[arg-type]
        return [_escaped(v) for v in cells]  # type: ignore[arg-type]
    return cells  # type: ignore[return-value]


def _is_plain(cells: Sequence[str]) -> bool:
    """Whether no cell needs escaping: one scan of all, instead of one per cell and character."""
    whole = "".join(cells)
    return not ("\\" in whole or "\t" in whole or "\n" in whole or "\r" in whole)


def insert(model: type[models.Model], columns: Sequence[Column], count: int) -> None:
    """Insert `count` rows into the model's table."""
    if not count:
        return
    table = connection.ops.quote_name(model._meta.db_table)
    names = ", ".join(connection.ops.quote_name(c.name) for c in columns)
    with connection.cursor() as cursor:
        if is_postgres():
            # Constant columns repeat for ever: the varying ones end the rows.
            body = "\n".join(map("\t".join, zip(*(_copy_cells(c) for c in columns), strict=False)))
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                copy.write(body)
                copy.write("\n")
        else:
            marks = ", ".join(["%s"] * len(columns))
            rows = zip(*(_cells(c, count) for c in columns), strict=True)
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(rows))  # noqa: S608


def update(model: type[models.Model], ids: Sequence[str], columns: Sequence[Column]) -> None:
    """Set columns of the rows with these ids, each row to its own values."""
    if not ids:
        return
    table = connection.ops.quote_name(model._meta.db_table)
    constants = [c for c in columns if _is_constant(c.values)]
    varying = [c for c in columns if not _is_constant(c.values)]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        if is_postgres():
            types = {f.column: f.db_type(connection) or "text" for f in model._meta.concrete_fields}
            sets = [f"{quote(c.name)} = %s" for c in constants] + [
                f"{quote(c.name)} = v.{quote(c.name)}" for c in varying
            ]
            arrays = ", ".join(["%s::uuid[]", *(f"%s::{_array_type(types[c.name])}[]" for c in varying)])
            names = ", ".join(["id", *(quote(c.name) for c in varying)])
            cursor.execute(
                f"UPDATE {table} AS t SET {', '.join(sets)} "  # noqa: S608
                f"FROM unnest({arrays}) AS v({names}) WHERE t.id = v.id",
                [*(c.values for c in constants), list(ids), *(list(_cells(c, 0)) for c in varying)],  # type: ignore[list-item]
            )
        else:
            sets = [f"{quote(c.name)} = %s" for c in (*constants, *varying)]
            rows = zip(*(_cells(c, len(ids)) for c in (*constants, *varying)), ids, strict=True)
            cursor.executemany(f"UPDATE {table} SET {', '.join(sets)} WHERE id = %s", list(rows))  # noqa: S608


def _array_type(column_type: str) -> str:
    return "text" if column_type.startswith("varchar") else column_type


def rows_in(
    sql: str, before: Sequence[Any], keys: Sequence[Any], cast: str = "text"
) -> Iterator[tuple[Any, ...]]:
    """The rows of `sql`, whose `{keys}` placeholder is a membership test of one column in `keys`.

    One statement on PostgreSQL (`= ANY(array)`), a few on SQLite (`IN (…)`).
    """
    if not keys:
        return
    with connection.cursor() as cursor:
        if is_postgres():
            cursor.execute(sql.format(keys=f"= ANY(%s::{cast}[])"), [*before, list(keys)])
            yield from cursor.fetchall()
        else:
            for start in range(0, len(keys), CHUNK):
                part = list(keys[start : start + CHUNK])
                cursor.execute(sql.format(keys=f"IN ({', '.join(['%s'] * len(part))})"), [*before, *part])
                yield from cursor.fetchall()


def lock_dataset(dataset_id: Any) -> None:
    """Let one writer of a dataset in at a time, until the transaction ends.

    On PostgreSQL by an advisory lock; on SQLite the write transaction itself is the lock. It makes "look up,
    then insert" exact without catching unique violations, and writers cannot deadlock over row order.
    """
    if is_postgres():
        number = int(hex_of(dataset_id)[16:], 16)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s)", [number - (1 << 64) if number >> 63 else number]
            )
