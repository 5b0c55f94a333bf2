"""Writing many rows with few statements: binary `COPY` on PostgreSQL, `executemany` on SQLite.

Columns come as lists, one per column, because cleaning a list at a time is what is cheap in Python. A plain
value stands for a column that is the same in every row. UUIDs are 16 bytes or 32 hexadecimal digits, texts
may be UTF-8 already, times are aware.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

from django.db import connection, models

from apps.records.services import wire

CHUNK = 900  # keys per IN list: SQLite before 3.32 took 999 variables

EMPTY_BYTES = "''"  # as both databases read it where bytes are expected
Cell = str | int | bytes | dt.datetime | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column to write."""

    name: str
    values: Sequence[Cell] | Cell


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows that only need to be sent: made by `pack`, where no database is needed, and written by `send`."""

    statement: str
    body: bytes | list[tuple[Any, ...]]


def is_postgres() -> bool:
    return connection.vendor == "postgresql"


def hex_of(value: Any) -> str:
    """A UUID, as either driver gives it, as 32 hexadecimal digits."""
    if isinstance(value, bytes):
        return value.hex()
    return value.hex if isinstance(value, uuid.UUID) else str(value).replace("-", "")


def _is_constant(values: Sequence[Cell] | Cell) -> bool:
    return values is None or isinstance(values, (str, int, bytes, dt.datetime))


@lru_cache(maxsize=64)
def _types(model: type[models.Model], vendor: str) -> dict[str, str]:
    """Column → its type on this database, without a length."""
    return {
        str(field.column): (field.db_type(connection) or "").partition("(")[0]
        for field in model._meta.concrete_fields
    }


def _stored(value: Any, kind: str, name: str) -> Any:
    """A value as SQLite's driver takes it."""
    if isinstance(value, bytes) and kind != "BLOB":
        return value.hex() if kind == "char" else value.decode()
    if isinstance(value, dt.datetime):
        return str(connection.ops.adapt_datetimefield_value(value))
    return value


def _cells(column: Column, count: int, kind: str) -> Iterable[Any]:
    """The column's cells; a constant one is repeated `count` times."""
    values = column.values
    if _is_constant(values):
        return repeat(_stored(values, kind, column.name), count)
    cells: Sequence[Any] = values  # type: ignore[assignment]
    if cells and isinstance(cells[0], bytes) and kind != "BLOB" and None not in cells:
        return [cell.hex() for cell in cells] if kind == "char" else [cell.decode() for cell in cells]
    return [_stored(cell, kind, column.name) for cell in cells]


def pack(model: type[models.Model], columns: Sequence[Column], count: int) -> Packed:
    """`count` rows for the model's table, ready to be sent. Needs no connection: any thread may do it."""
    quote = connection.ops.quote_name
    table, types = quote(model._meta.db_table), _types(model, connection.vendor)
    names = ", ".join(quote(c.name) for c in columns)
    if is_postgres():
        body = wire.copy_rows([(c.values, types[c.name], _is_constant(c.values)) for c in columns])
        return Packed(f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)", body)
    marks = ", ".join(["%s"] * len(columns))
    rows = list(zip(*(_cells(c, count, types[c.name]) for c in columns), strict=True))
    return Packed(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def send(parts: Sequence[Packed]) -> None:
    """Write packed rows of one kind, on PostgreSQL by one statement."""
    if not parts:
        return
    statement = parts[0].statement
    with connection.cursor() as cursor:
        if is_postgres():
            with cursor.copy(statement) as copy:
                for piece in wire.copy_stream([part.body for part in parts if isinstance(part.body, bytes)]):
                    copy.write(piece)
            return
        for part in parts:
            if not isinstance(part.body, bytes):
                cursor.executemany(statement, part.body)


def insert(model: type[models.Model], columns: Sequence[Column], count: int) -> None:
    """Insert `count` rows into the model's table."""
    if count:
        send([pack(model, columns, count)])


def update(model: type[models.Model], ids: Sequence[str], columns: Sequence[Column]) -> None:
    """Set columns of the rows with these ids, each row to its own values."""
    if not ids:
        return
    quote = connection.ops.quote_name
    table, types = quote(model._meta.db_table), _types(model, connection.vendor)
    constants = [c for c in columns if _is_constant(c.values)]
    varying = [c for c in columns if not _is_constant(c.values)]
    if not varying and not is_postgres():
        _set_all(table, ids, constants, types)
    elif is_postgres():
        sets = [f"{quote(c.name)} = %s" for c in constants] + [
            f"{quote(c.name)} = v.{quote(c.name)}" for c in varying
        ]
        names = ", ".join(quote(c.name) for c in (Column("id", None), *varying))
        kinds = ["uuid", *(_element(types[c.name]) for c in varying)]
        arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
        cells = [ids, *(c.values for c in varying)]
        with by_index(), wire.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} AS t SET {', '.join(sets)} "  # noqa: S608
                f"FROM unnest({arrays}) AS v({names}) WHERE t.id = v.id",
                [
                    *(c.values for c in constants),
                    *(wire.array(values, kind) for values, kind in zip(cells, kinds, strict=True)),  # type: ignore[arg-type]
                ],
                prepare=False,
            )
    else:
        sets = [f"{quote(c.name)} = %s" for c in (*constants, *varying)]
        rows = zip(
            *(_cells(c, len(ids), types[c.name]) for c in (*constants, *varying)),
            _cells(Column("id", ids), len(ids), "char"),
            strict=True,
        )
        with connection.cursor() as cursor:
            cursor.executemany(f"UPDATE {table} SET {', '.join(sets)} WHERE id = %s", list(rows))  # noqa: S608


def _set_all(table: str, ids: Sequence[str], columns: Sequence[Column], types: dict[str, str]) -> None:
    """The same values for all rows, on SQLite: a few statements instead of one per row."""
    quote = connection.ops.quote_name
    sets = ", ".join(f"{quote(c.name)} = %s" for c in columns)
    values = [next(iter(_cells(c, 1, types[c.name]))) for c in columns]
    keys = list(_cells(Column("id", ids), len(ids), "char"))
    with connection.cursor() as cursor:
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ", ".join(["%s"] * len(part))
            cursor.execute(f"UPDATE {table} SET {sets} WHERE id IN ({marks})", [*values, *part])  # noqa: S608


def _element(kind: str) -> str:
    return "text" if kind == "varchar" else kind


@contextmanager
def by_index() -> Iterator[None]:
    """Let PostgreSQL find rows by their indexes, in a transaction.

    Right after many rows were written its statistics know nothing of them, and it would rather read whole
    tables, again for each batch.
    """
    if not is_postgres():
        yield
        return
    ways = ("hashjoin", "mergejoin", "seqscan", "bitmapscan", "sort")
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL enable_{way} TO off" for way in ways))
        yield
        cursor.execute("; ".join(f"SET LOCAL enable_{way} TO DEFAULT" for way in ways))


def rows_of(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement. UUIDs come as the driver's plain form: see `hex_of`."""
    if is_postgres():
        with wire.cursor() as found:
            return found.execute(sql, values, prepare=False).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def rows_in(
    sql: str, before: Sequence[Any], keys: Sequence[Any], cast: str = "text"
) -> Iterator[tuple[Any, ...]]:
    """The rows of `sql`, whose `{keys}` placeholder is a test of one column against each of `keys`.

    One statement on PostgreSQL, which looks each key up by index whatever its statistics say, a few on
    SQLite. UUIDs come as the driver's plain form: see `hex_of`.
    """
    if not keys:
        return
    if is_postgres():
        with wire.cursor() as cursor:
            cursor.execute(
                f"SELECT found.* FROM unnest(%s::{cast}[]) AS wanted(key) "  # noqa: S608
                f"CROSS JOIN LATERAL ({sql.format(keys='= wanted.key')} OFFSET 0) AS found",
                [wire.array(keys, cast), *before],
                prepare=False,
            )
            yield from cursor.fetchall()
        return
    with connection.cursor() as cursor:
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


def commit_without_waiting() -> None:
    """Let the commit of this transaction not wait until the disk has it, on PostgreSQL.

    Rows and checkpoint are lost together, or not at all, and only if the server dies within a second. For
    all but the last of many transactions: see `settle`.
    """
    if is_postgres():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL synchronous_commit TO off")


def settle() -> None:
    """Wait until the disk has all that was committed before."""
    if is_postgres():
        with connection.cursor() as cursor:
            # A commit that wrote nothing waits for nothing.
            cursor.execute("SELECT pg_logical_emit_message(true, 'hub', 'settle')")
