"""CSV, TSV and their relatives (RFC 4180 and what programs make of it), as a stream.

Memory does not depend on the file's size: one row is held at a time. Rows never shift: a row with cells
too many or too few is handed out as wrong. A quote that is never closed does not swallow the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from apps.jobs.formats import dialects
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.headers import header_notices, name_columns
from apps.jobs.formats.tables import ESCAPED, Cell, CellProblem, Column, Findings, Options, Row, Table
from apps.jobs.formats.texts import Position, choose_encoding, decoding, text_of

csv.field_size_limit(2**31 - 1)  # bounded by Options.max_row instead, which also bounds the memory

FILE_TYPE = "csv"
_SAMPLE = 131_072


class _Unclosed(Exception):
    """The text ended, or went on for too long, inside quotes."""


class _Lines:
    """Feeds physical lines to csv.reader and remembers those of the record that is being read.

    The consumer sets `fresh` when it has taken a record. `odd` is raised when a line needs a second look: a
    NUL, a very long cell, an escaped formula.
    """

    __slots__ = ("_max_cell", "_max_row", "_readline", "fresh", "odd", "record", "size")

    def __init__(self, text: io.TextIOWrapper, options: Options) -> None:
        self._readline = text.readline
        self._max_row = options.max_row
        self._max_cell = options.max_cell
        self.record: list[str] = []
        self.size = 0
        self.odd = False
        self.fresh = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._readline(self._max_row)
        if self.fresh:
            if not line:
                raise StopIteration
            self.fresh = self.odd = False
            self.record = [line]
            self.size = len(line)
        else:
            if not line:
                raise _Unclosed
            self.record.append(line)
            self.size += len(line)
        if self.size > self._max_cell or "'" in line or "\0" in line:
            self.odd = True
            if self.size >= self._max_row:
                raise _Unclosed
        return line


def open_delimited(file: BinaryIO, options: Options) -> Table:
    """Open a delimited text file. Raises FormatError when it cannot be read as asked."""
    position = Position(file)
    if not position.size:
        raise FormatError("The file is empty.", code="empty_file")
    encoding, notices = choose_encoding(file, options)
    sample = _sample(file, encoding)
    dialect = dialects.sniff(sample, options.delimiter)
    header_line = dialects.find_header_line(sample, dialect, options)
    header = _header_record(file, encoding, dialect, header_line, options) if header_line else None
    width = 0 if header is not None else dialects.sample_width(sample, dialect)
    columns = name_columns(header, width, max_columns=options.max_columns)
    if not columns:
        raise FormatError("The file has no rows.", code="empty_file")
    notices += header_notices(columns, has_header=header is not None)
    if header_line > 1 + dialect.has_sep_line:
        notices.append(f"The header is on line {header_line}; the lines above it are passed over.")
    table = Table(
        columns=columns,
        rows=iter(()),
        findings=Findings(
            FILE_TYPE,
            encoding=encoding,
            delimiter=dialect.delimiter,
            has_header=header is not None,
            header_row=header_line,
        ),
        total_estimate=_estimate(sample, dialect, position.size, encoding, header_line),
        notices=notices,
        position=position,
    )
    start = header_line + 1 if header_line else 1 + dialect.has_sep_line
    table.rows = _rows(file, encoding, dialect, start, header_line, table, options)
    return table


def _sample(file: BinaryIO, encoding: str) -> list[str]:
    """The complete lines among the first 128 K characters; what cannot be decoded is replaced."""
    text = text_of(file, encoding, errors="replace").read(_SAMPLE)
    lines = io.StringIO(text, newline="").readlines()
    if len(text) == _SAMPLE and len(lines) > 1:
        lines.pop()
    if lines:
        lines[0] = lines[0].removeprefix("\ufeff")
    return lines


def _estimate(
    sample: list[str], dialect: dialects.Dialect, size: int, encoding: str, header_line: int
) -> int:
    records = sum(1 for _ in dialects.records(sample, dialect, limit=_SAMPLE)) - bool(header_line)
    length = len("".join(sample).encode(encoding, "replace")) if sample else 0
    if not length or length >= size - 4:
        return max(0, records)
    return max(0, round(records * size / length))


def _header_record(
    file: BinaryIO, encoding: str, dialect: dialects.Dialect, line: int, options: Options
) -> list[str]:
    """The cells of the header, which begins on physical line `line`."""
    with decoding(file, encoding):
        lines, reader = _reader(file, encoding, dialect, line, options)
        try:
            return next(reader)
        except StopIteration:
            raise FormatError(
                f"The file ends before line {line}, where its header should be.", line=line
            ) from None
        except csv.Error:
            return _loosely(lines.record, dialect)
        except _Unclosed:
            raise _unclosed(lines, line, dialect, options) from None


def _loosely(record: list[str], dialect: dialects.Dialect) -> list[str]:
    return next(csv.reader(record, delimiter=dialect.delimiter, skipinitialspace=dialect.skip_space), [])


def _reader(
    file: BinaryIO, encoding: str, dialect: dialects.Dialect, first_line: int, options: Options
) -> tuple[_Lines, Any]:
    """A strict csv.reader that begins on a physical line."""
    text = text_of(file, encoding)
    for number in range(1, first_line):
        if len(text.readline(options.max_row)) >= options.max_row:
            raise FormatError(f"Line {number} is longer than {options.max_row:,} characters.", line=number)
    lines = _Lines(text, options)
    reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=dialect.skip_space, strict=True)
    return lines, reader


def _unclosed(lines: _Lines, first_line: int, dialect: dialects.Dialect, options: Options) -> FormatError:
    opened = dialects.unclosed_quote(lines.record, dialect)
    if opened is None:
        return FormatError(
            f"The row on line {first_line:,} is longer than {options.max_row:,} characters.",
            code="row_too_long",
            line=first_line,
        )
    line = first_line + opened
    return FormatError(
        f'A quote (") is opened on line {line:,} and never closed. '
        "Close or remove it and upload the file again.",
        code="unclosed_quote",
        line=line,
    )


def _rows(
    file: BinaryIO,
    encoding: str,
    dialect: dialects.Dialect,
    first_line: int,
    header_line: int,
    table: Table,
    options: Options,
) -> Iterator[Row]:
    columns = table.columns
    width = len(columns)
    named = max((column.index + 1 for column in columns if not column.made_up), default=width)
    needed = 1 if options.pad_short_rows else named if header_line else width
    skip = options.skip_rows
    with decoding(file, encoding):
        if header_line:  # the header itself may stand on several lines
            lines, reader = _reader(file, encoding, dialect, header_line, options)
            _next(lines, reader, header_line, dialect, options)
            lines.fresh = True
            base = header_line - 1
        else:
            lines, reader = _reader(file, encoding, dialect, first_line, options)
            base = first_line - 1
        number = 0
        new_row: Any = tuple.__new__  # the named tuple's own constructor costs more than the row
        while True:
            line = base + reader.line_num + 1
            problems: tuple[CellProblem, ...] = ()
            try:
                cells: list[Cell] = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells = list(_loosely(lines.record, dialect))
                problems = (_stray_quote(),)
            except _Unclosed:
                raise _unclosed(lines, line, dialect, options) from None
            first = cells[0] if cells else ""
            if (not first or first.isspace()) and not "".join(cells).strip():  # type: ignore[union-attr,arg-type]
                table.blank_rows += 1
                lines.fresh = True
                continue
            number += 1
            if number <= skip:
                lines.fresh = True
                continue
            count = len(cells)
            if count != width:
                if count > width and not any(cells[width:]):
                    del cells[width:]
                elif count < width and count >= needed:
                    cells.extend([""] * (width - count))
                elif not problems:
                    problems = (_ragged(cells, columns),)
            if lines.odd:
                problems += tuple(_second_look(cells, columns, options))
            lines.fresh = True
            yield new_row(Row, (number, line, cells, problems))


def _next(lines: _Lines, reader: Any, line: int, dialect: dialects.Dialect, options: Options) -> None:
    try:
        next(reader, None)
    except csv.Error:
        return
    except _Unclosed:
        raise _unclosed(lines, line, dialect, options) from None


def _stray_quote() -> CellProblem:
    return CellProblem(
        "stray_quote",
        "A quoted cell is followed by more text before the next delimiter: "
        "a quote inside quotes is written twice.",
    )


def _ragged(cells: list[Cell], columns: tuple[Column, ...]) -> CellProblem:
    found, wanted = len(cells), len(columns)
    if found > wanted:
        return CellProblem(
            "extra_cell",
            f"The row has {found:,} cells, but there are {wanted:,} columns.",
            value=str(cells[wanted])[:200],
        )
    missing = columns[found].name
    return CellProblem(
        "missing_cell",
        f"The row has {found:,} of {wanted:,} cells: it ends before “{missing}”.",
        column=missing,
    )


def _second_look(cells: list[Cell], columns: tuple[Column, ...], options: Options) -> Iterator[CellProblem]:
    """Cells with a NUL or too long are wrong; the quote that an export puts before formulas is taken off."""
    for index, cell in enumerate(cells):
        if not isinstance(cell, str):
            continue
        name = columns[index].name if index < len(columns) else ""
        if "\0" in cell:
            yield CellProblem(
                "nul_byte",
                "The cell contains a NUL character, which is no text.",
                name,
                cell[:200].replace("\0", "␀"),
            )
        if len(cell) > options.max_cell:
            yield CellProblem(
                "cell_too_long",
                f"The cell has {len(cell):,} characters; at most {options.max_cell:,} are read.",
                name,
                cell[:200],
            )
        elif ESCAPED.match(cell):
            cells[index] = cell[1:]
