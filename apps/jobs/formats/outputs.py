"""What exports are written by: a function generated for each export, a batch at a time.

An `Output` says for each kind of column with which expression its cell is made; `compile_rows` puts these
together to one function without a branch more than the columns need. A batch in which a value is not of its
column's kind (left from an earlier definition of the field) is written value by value instead.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, repeat
from typing import Any, BinaryIO, ClassVar, NamedTuple

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OutColumn:
    """One column. `kind` is a field type, `id`, or `changes` (a nested list).

    `source` says where its values are: ("data", field), ("meta", position) or ("related", position of the
    join, field that refers, field that is shown).
    """

    name: str
    title: str
    kind: str
    source: tuple[Any, ...]
    places: int | None = None


class Batch(NamedTuple):
    """Some records: values; what is known about each besides; per join, the related values by key."""

    data: Sequence[Data]
    meta: Sequence[tuple[Any, ...]] = ()
    related: Sequence[Mapping[str, Data]] = ()


@dataclass(frozen=True)
class OutOptions:
    """How a file is written; each format reads what concerns it."""

    title: str = "Data"
    labels: bool = False
    delimiter: str = ","
    encoding: str = "utf-8"
    bom: bool = True
    quote_all: bool = False
    zone: Any = None
    element: str = "record"
    root: str = "records"


@dataclass
class Notes:
    """What a format could not hold as it is, counted; told when the export is done."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, times: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + times

    def sentences(self) -> list[str]:
        return [what.format(n=f"{times:,}") for what, times in self.counts.items()]


class Output(ABC):
    """One file being written. Write batches, then close; the file itself stays open for its owner."""

    nested: ClassVar[bool] = False
    """Whether a cell can hold a list, such as a record's changes."""

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        self.file = file
        self.columns = columns
        self.options = options
        self.notes = Notes()
        self.rows = 0
        self._fast = compile_rows(columns, self)

    # What a format says.

    @abstractmethod
    def inline(self, column: OutColumn, value: str) -> str:
        """The expression of a cell; `value` is the expression of its value. May bind `v`."""

    @abstractmethod
    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        """The same for any value, whatever it is."""

    @abstractmethod
    def join(self, cells: Sequence[str]) -> str:
        """The expression of a row of these expressions. May use `n`, the number of the row from 1."""

    @abstractmethod
    def whole(self, cells: Sequence[Any], row: int) -> Any:
        """The same for made cells."""

    @abstractmethod
    def put(self, rows: list[Any]) -> None:
        """Write made rows."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""

    def names(self) -> dict[str, Any]:
        """What the expressions call by name."""
        return {}

    # What all share.

    def first(self) -> int:
        """The number of the next row."""
        return self.rows + 1

    def headings(self) -> list[str]:
        return [column.title if self.options.labels else column.name for column in self.columns]

    def write(self, batch: Batch) -> None:
        first = self.first()
        try:
            made = self._fast(batch.data, batch.meta or repeat(()), batch.related, first)
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            made = self._slowly(batch, first)
        self.put(made)
        self.rows += len(made)

    def _slowly(self, batch: Batch, first: int) -> list[Any]:
        found = []
        for n, data, meta in zip(count(first), batch.data, batch.meta or repeat(()), strict=False):
            cells = [self.cell(c, value_of(c, data, meta, batch.related), n) for c in self.columns]
            found.append(self.whole(cells, n))
        return found


def value_of(
    column: OutColumn, data: Data, meta: tuple[Any, ...], related: Sequence[Mapping[str, Data]]
) -> Any:
    """The column's value of one record; null where a reference leads nowhere."""
    where = column.source
    if where[0] == "data":
        return data.get(where[1])
    if where[0] == "meta":
        return meta[where[1]]
    key = data.get(where[2])
    return related[where[1]].get(key, {}).get(where[3]) if isinstance(key, str) else None


def compile_rows(columns: Sequence[OutColumn], output: Output) -> Callable[..., list[Any]]:
    """The function (data, meta, related, first row number) → made rows.

    The source consists of the format's own expressions and of names as literals: of nobody's text.
    """
    cells = [output.inline(column, _expression(column)) for column in columns]
    joins = sorted({c.source[1] for c in columns if c.source[0] == "related"})
    lines = [
        "def rows(data, meta, related, first):",
        *(f" r{n} = related[{n}].get" for n in joins),
        " made = []",
        " add = made.append",
        " for n, d, m in zip(count(first), data, meta):",
        "  g = d.get",
        f"  add({output.join(cells)})",
        " return made",
    ]
    names: dict[str, Any] = {"count": count, "E": {}, **output.names()}
    exec(compile("\n".join(lines), "<export>", "exec"), names)  # noqa: S102 - generated from literals above
    made: Callable[..., list[Any]] = names["rows"]
    return made


def _expression(column: OutColumn) -> str:
    where = column.source
    if where[0] == "data":
        return f"g({where[1]!r})"
    if where[0] == "meta":
        return f"m[{int(where[1])}]"
    return f"r{int(where[1])}(g({where[2]!r}), E).get({where[3]!r})"


def money_text(value: Mapping[str, str]) -> str:
    """`12.30 EUR`, which an import reads as the same amount."""
    return f"{value['amount']} {value['currency']}"


def json_text(value: Any) -> str:
    """A JSON value as the text of a cell; a text stands for itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def plain_text(value: Any) -> str:
    """Any value as text, as an import reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        return money_text(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
