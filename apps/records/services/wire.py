"""PostgreSQL's binary formats: rows for `COPY` and arrays as parameters.

Values go to the server as it keeps them, so that nobody escapes, scans and parses them as text: a third of
what a row costs, on both sides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

import psycopg
from django.db import connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_LENGTHS = [n.to_bytes(4, "big") for n in range(4096)]
_EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
PIECE = 131_072  # bytes handed to libpq at once: it gets slow with more
_TEXTS = ("text", "varchar")
_ELEMENTS = {
    "uuid": 2950,
    "text": 25,
    "bytea": 17,
    "integer": 23,
    "bigint": 20,
    "timestamp with time zone": 1184,
}
_SIZES = {"uuid": 16, "integer": 4, "bigint": 8, "smallint": 2, "timestamp with time zone": 8}


def _wire(value: Any, kind: str) -> bytes:
    """A value that is not null as PostgreSQL receives it in binary."""
    if kind in _TEXTS:
        return value.encode() if isinstance(value, str) else bytes(value)
    if kind == "uuid":
        return value if isinstance(value, bytes) else bytes.fromhex(str(value).replace("-", ""))
    if kind == "bytea":
        return bytes(value)
    if kind == "timestamp with time zone":
        return ((value - _EPOCH) // _MICROSECOND).to_bytes(8, "big", signed=True)
    if kind in _SIZES:
        return int(value).to_bytes(_SIZES[kind], "big", signed=True)
    raise TypeError(f"A column of type {kind} cannot be written in bulk.")


def _wires(values: Sequence[Any], kind: str) -> Sequence[bytes]:
    """The cells of a column without nulls."""
    first = values[0]
    if kind in _TEXTS and isinstance(first, str):
        return [value.encode() for value in values]
    if isinstance(first, bytes):
        return values
    if kind == "uuid" and isinstance(first, str):
        return [bytes.fromhex(value) for value in values]
    return [_wire(value, kind) for value in values]


def _prefixed(values: Sequence[Any], kind: str) -> tuple[bytes, list[Iterable[bytes]]]:
    """The cells of a column with their lengths before them: as bytes that come before each, and iterables."""
    if None in values:
        wired = [None if value is None else _wire(value, kind) for value in values]
        return b"", [[_NULL if c is None else len(c).to_bytes(4, "big") + c for c in wired]]
    cells = _wires(values, kind) if values else ()
    if kind in _SIZES:
        return _LENGTHS[_SIZES[kind]], [cells]
    lengths = list(map(len, cells))
    if lengths and max(lengths) >= len(_LENGTHS):
        return b"", [[length.to_bytes(4, "big") for length in lengths], cells]
    return b"", [map(_LENGTHS.__getitem__, lengths), cells]


def copy_rows(columns: Sequence[tuple[Any, str, bool]]) -> bytes:
    """Rows in COPY's binary format, from columns: (values, type, whether it is one value for all rows).

    What is the same in all rows lies between the columns that vary, of which there must be one, and is
    encoded once.
    """
    parts: list[Iterable[bytes]] = []
    fixed = len(columns).to_bytes(2, "big")
    for values, kind, is_constant in columns:
        if values is None:
            fixed += _NULL
        elif is_constant:
            cell = _wire(values, kind)
            fixed += len(cell).to_bytes(4, "big") + cell
        else:
            lead, cells = _prefixed(values, kind)
            if fixed or lead:
                parts.append(repeat(fixed + lead))
            parts += cells
            fixed = b""
    if fixed:
        parts.append(repeat(fixed))
    rows = chain.from_iterable(zip(*parts, strict=False))
    return b"".join(rows)


def copy_stream(rows: Iterable[bytes]) -> Iterator[Buffer]:
    """What `COPY` is sent: made of several `copy_rows`, in pieces that libpq is quick with."""
    yield _HEADER
    for body in rows:
        view = memoryview(body)
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]
    yield _TRAILER


class Array:
    """A parameter that is an array already in its binary form. Cast it in the statement: `%s::uuid[]`."""

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body


def array(values: Sequence[Any], kind: str) -> Array:
    """An array of a type's values, which may be null."""
    lead, parts = _prefixed(values, kind)
    if lead:
        parts.insert(0, repeat(lead))
    head = b"".join(
        number.to_bytes(4, "big") for number in (1, int(None in values), _ELEMENTS[kind], len(values), 1)
    )
    if not values:
        head = bytes(8) + _ELEMENTS[kind].to_bytes(4, "big")
        return Array(head)
    return Array(b"".join(chain((head,), chain.from_iterable(zip(*parts, strict=False)))))


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> Buffer:
        return obj.body


class _PlainUUID(Loader):
    """UUIDs as 16 bytes: building objects of them costs more than reading the row."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


@contextmanager
def cursor() -> Iterator[psycopg.Cursor[Any]]:
    """A cursor that sends parameters apart from the statement and reads results in binary form.

    Django's own writes parameters into the statement, where megabytes of them would be parsed as text.
    """
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors, psycopg.Cursor(raw) as found:
        found.format = Format.BINARY
        found.adapters.register_dumper(Array, _ArrayDumper)
        found.adapters.register_loader("uuid", _PlainUUID)
        yield found
