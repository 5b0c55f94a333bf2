"""What every reader gives: a table with named columns and a stream of rows that know where they stood.

Nothing here knows Django, a dataset or a mapping; readers turn bytes into cells and say what is odd.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from apps.kernel.spreadsheets import ESCAPED as ESCAPED

Cell = str | int | float | bool | None
"""A cell as read. Text formats give texts only; dates and times of spreadsheets come as ISO 8601 texts."""


class Severity(enum.StrEnum):
    """What a problem means for its row: not to be written, written nevertheless, or left out on purpose."""

    ERROR = "error"
    WARNING = "warning"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class CellProblem:
    """Something odd in one row. `column` is the name of the source column, or empty for the whole row."""

    code: str
    message: str
    column: str = ""
    value: str = ""
    severity: Severity = Severity.ERROR


class Row(NamedTuple):
    """One data row: its number among the data rows from 1, and the line or sheet row on which it begins.

    A row with an error among its `problems` is not to be written; its values are as many as were found.
    """

    number: int
    line: int
    values: Sequence[Cell]
    problems: tuple[CellProblem, ...] = ()

    @property
    def is_wrong(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    @property
    def is_skipped(self) -> bool:
        """Somebody decided that this row is no data."""
        return any(problem.severity is Severity.SKIP for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `name` is unique in the table; `raw` is what the file says.

    `made_up` tells a name that the reader gave (no header, or an empty one); `repeated` that an earlier
    column has the same header, so that it takes a person to say which is meant.
    """

    index: int
    name: str
    raw: str
    made_up: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    name: str
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Options:
    """How to read. None means: find out.

    `fill_merged` gives every cell of a merged range the range's value. `record_path` says where in a nested
    file the records are, `member` which file of an archive is meant.
    `whole` names the fields of JSON objects that are one cell, their JSON text, and `amounts` those that are
    one cell such as `12.30 EUR`; other nested objects become dotted columns.
    `max_unpacked` bounds workbooks, `max_extracted` other packed files. `skip_rows` data rows are passed
    over, for those who come back.
    """

    encoding: str | None = None
    delimiter: str | None = None
    has_header: bool | None = None
    header_row: int | None = None
    sheet: str | None = None
    record_path: str | None = None
    member: str | None = None
    pad_short_rows: bool = False
    fill_merged: bool = False
    whole: frozenset[str] = frozenset()
    amounts: frozenset[str] = frozenset()
    skip_rows: int = 0
    max_columns: int = 2_000
    max_cell: int = 1_048_576
    max_row: int = 8 * 1_048_576
    max_unpacked: int = 512 * 1_048_576
    max_extracted: int = 2_048 * 1_048_576


@dataclass(slots=True)
class Findings:
    """What was found or chosen, to be shown as chips. `header_row` is a line or sheet row, 0 for none."""

    file_type: str
    encoding: str = ""
    delimiter: str = ""
    has_header: bool = True
    header_row: int = 1
    sheet: str = ""
    sheets: tuple[Sheet, ...] = ()
    record_path: str = ""
    record_paths: tuple[str, ...] = ()
    member: str = ""
    members: tuple[str, ...] = ()


@dataclass(slots=True)
class Table:
    """An open table. Read `rows` once; `position` tells how far that is, from 0 to 1."""

    columns: tuple[Column, ...]
    rows: Iterator[Row]
    findings: Findings
    total_estimate: int | None = None
    total_is_exact: bool = False
    notices: list[str] = field(default_factory=list)
    position: Callable[[], float] = lambda: 0.0
    blank_rows: int = 0

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]
