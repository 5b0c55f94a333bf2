"""Nested objects as rows: dotted columns, one cell each, nothing changed silently.

`{"id": 7, "address": {"city": "Oslo"}, "tags": ["a", "b"]}` has the columns `id`, `address.city` and `tags`;
a list becomes its JSON text; an object is one cell, too, where `Options.whole` says so. The columns are those
of the first records; what a later record has besides is said with that record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Cell, CellProblem, Column, Options, Row, Severity, Table

SAMPLED = 5_000
"""Records whose fields become the columns."""
MAX_DEPTH = 32
_USUAL = Options()
_AMOUNT = {"amount", "currency"}


class Exact(str):
    """A number as the file writes it, where a floating-point number holds fewer digits."""


def number_of(text: str) -> float | Exact:
    """The number that a JSON text names, exactly: as a float if that is the same number, else as written."""
    value = float(text)
    shown = repr(value)
    if shown == text:
        return value
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent and "." in mantissa and shown == (mantissa.rstrip("0").rstrip(".") or "0"):
        return value
    if not exponent and shown == mantissa.rstrip("0") + "0":
        return value
    if exponent and value != float("inf") and _same(value, text):
        return value
    return Exact(text)


def _same(value: float, text: str) -> bool:
    return Decimal(repr(value)) == Decimal(text)


class Unflattenable(Exception):
    """The record cannot be a row; the message says why."""


def flatten(record: Mapping[str, Any], options: Options = _USUAL) -> dict[str, Cell]:
    """Dotted name → cell. Raises Unflattenable for a record nested too deep."""
    flat: dict[str, Cell] = {}
    whole, amounts = options.whole, options.amounts
    for name, value in record.items():
        kind = type(value)
        if name in whole and (kind is dict or kind is list):
            flat[name] = _text(value)
        elif kind is dict and name in amounts and value.keys() == _AMOUNT:
            flat[name] = f"{value['amount']} {value['currency']}"
        elif kind is dict:
            _descend(name, value, flat, 1)
        elif kind is list:
            flat[name] = _list_text(value)
        else:
            flat[name] = value
    return flat


def _descend(prefix: str, value: Mapping[str, Any], flat: dict[str, Cell], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unflattenable(f"The record is nested more than {MAX_DEPTH} levels deep.")
    if not value:
        flat.setdefault(prefix, None)
    for name, inner in value.items():
        path = f"{prefix}.{name}"
        kind = type(inner)
        if kind is dict:
            _descend(path, inner, flat, depth + 1)
        elif kind is list:
            flat[path] = _list_text(inner)
        else:
            flat[path] = inner


def _list_text(value: Sequence[Any]) -> str | None:
    return _text(value) if value else None


def _text(value: Sequence[Any] | Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS, default=_exactly).decode()
    except (TypeError, ValueError, RecursionError):
        raise Unflattenable("The record holds a list or an object that is nested too deep.") from None


def _exactly(value: Any) -> Any:
    if isinstance(value, Exact):
        return orjson.Fragment(str(value))
    raise TypeError


def columns_of(records: Iterable[Mapping[str, Cell]], *, max_columns: int) -> tuple[Column, ...]:
    """The columns that these flattened records have, in the order in which they first appear."""
    names: dict[str, None] = {}
    for record in records:
        names.update(dict.fromkeys(record))
        if len(names) > max_columns:
            raise FormatError(
                f"The records have more than {max_columns:,} different fields. Is the record path right?",
                code="too_many_columns",
            )
    columns, taken = [], set()
    for index, raw in enumerate(names):
        base = " ".join(raw.split()).replace("\0", "")[:200] or f"Column {index + 1}"
        name, n = base, 1
        while name in taken:
            n += 1
            name = f"{base} ({n})"
        taken.add(name)
        columns.append(Column(index, name, raw[:1000], made_up=not raw.strip(), repeated=n > 1))
    return tuple(columns)


Record = tuple[int, int, Any, tuple[CellProblem, ...]]
"""Number from 1, line from 1, the object (or None if it could not be read), what is wrong with it."""


def rows_of(
    records: Iterable[Record], names: Sequence[str], columns: Sequence[Column], table: Table, options: Options
) -> Iterator[Row]:
    """The rows of flattened records, in the order of `names` (the fields as the file calls them)."""
    known = frozenset(names)
    empty = [None] * len(names)
    for number, line, record, problems in records:
        if problems:
            yield Row(number, line, empty, problems)
            continue
        if type(record) is not dict:
            yield Row(number, line, empty, (_no_object(record),))
            continue
        try:
            flat = flatten(record, options)
        except Unflattenable as error:
            yield Row(number, line, empty, (CellProblem("too_deep", str(error)),))
            continue
        if not flat:
            table.blank_rows += 1
            continue
        found: list[CellProblem] = []
        if not known.issuperset(flat):
            found += _unknown(flat, known)
        for index, name in enumerate(names):
            cell = flat.get(name)
            if type(cell) is str and ("\0" in cell or len(cell) > options.max_cell):
                found.append(_bad_text(columns[index].name, cell, options))
        yield Row(number, line, list(map(flat.get, names)), tuple(found))


def _no_object(value: Any) -> CellProblem:
    return CellProblem(
        "not_an_object",
        "The record is no object with named fields.",
        value=str(value)[:200].replace("\0", "␀"),
    )


def _unknown(flat: Mapping[str, Cell], known: frozenset[str]) -> Iterator[CellProblem]:
    for name, value in flat.items():
        if name not in known and value not in (None, ""):
            yield CellProblem(
                "unknown_field",
                f"The field “{name[:80]}” does not occur in the first {SAMPLED:,} records and has no column. "
                "Its value is left out.",
                name[:200],
                str(value)[:200].replace("\0", "␀"),
                Severity.WARNING,
            )


def _bad_text(column: str, cell: str, options: Options) -> CellProblem:
    if "\0" in cell:
        return CellProblem(
            "nul_byte",
            "The value contains a NUL character, which is no text.",
            column,
            cell[:200].replace("\0", "␀"),
        )
    return CellProblem(
        "cell_too_long",
        f"The value has {len(cell):,} characters; at most {options.max_cell:,} are read.",
        column,
        cell[:200],
    )
