"""Workbooks (Excel's .xlsx, .xls and .xlsb, OpenDocument's .ods), read with calamine after they were judged.

A workbook has to be held in memory to be read; `Options.max_unpacked` bounds it. What calamine does not
tell (error values, formulas that were never calculated) is found in the sheet's XML while it is counted.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import BinaryIO

import python_calamine as calamine

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.headers import find_header, header_notices, name_columns
from apps.jobs.formats.sheets import named, proposed
from apps.jobs.formats.tables import (
    ESCAPED,
    Cell,
    CellProblem,
    Column,
    Findings,
    Options,
    Row,
    Severity,
    Sheet,
    Table,
)
from apps.jobs.formats.workbook_parts import Marks, RepeatGuard, padded_styles, sheet_parts
from apps.jobs.formats.zipguard import inspect, open_archive

FILE_TYPE = "xlsx"
_EXACT = 2**53
_BEFORE_NO_DAY = "1900-02-28"
"""As which day 60 of Excel's calendar is read, as day 59 is."""


def open_workbook(file: BinaryIO, options: Options) -> Table:
    """Open one sheet of an .xlsx workbook. Raises FormatError when it cannot be read as asked."""
    archive = open_archive(file, max_unpacked=options.max_unpacked)
    parts = sheet_parts(archive)
    styles = padded_styles(archive)
    marks = {name: Marks(styles) for name in parts.values()}
    inspect(
        archive,
        file,
        max_unpacked=options.max_unpacked,
        watch={name: mark.feed for name, mark in marks.items()},
    )
    return _open_sheet(
        file, options, FILE_TYPE, {sheet: marks[part] for sheet, part in parts.items() if part in marks}
    )


def open_xlsb(file: BinaryIO, options: Options) -> Table:
    """Open one sheet of a binary workbook (.xlsb). Raises FormatError when it cannot be read as asked."""
    inspect(open_archive(file, max_unpacked=options.max_unpacked), file, max_unpacked=options.max_unpacked)
    return _without_marks(file, options, "xlsb")


def open_ods(file: BinaryIO, options: Options) -> Table:
    """Open one sheet of an OpenDocument file. Raises FormatError when it cannot be read as asked."""
    inspect(
        open_archive(file, max_unpacked=options.max_unpacked),
        file,
        max_unpacked=options.max_unpacked,
        watch={"content.xml": RepeatGuard().feed},
    )
    return _without_marks(file, options, "ods")


def open_xls(file: BinaryIO, options: Options) -> Table:
    """Open one sheet of an old workbook (.xls). Raises FormatError when it cannot be read as asked."""
    if file.seek(0, io.SEEK_END) > options.max_unpacked:
        raise FormatError(
            "The workbook is too large for its kind. Save it as .xlsx or CSV.", code="too_large"
        )
    file.seek(0)
    return _without_marks(file, options, "xls")


def _without_marks(file: BinaryIO, options: Options, file_type: str) -> Table:
    table = _open_sheet(file, options, file_type, {})
    table.notices.append(
        f"In .{file_type} files, cells that show an error such as #N/A are read as empty. "
        "Save the file as .xlsx to have them found."
    )
    return table


def _open_sheet(file: BinaryIO, options: Options, file_type: str, marks: dict[str, Marks]) -> Table:
    book = _open(file)
    sheets = _sheets(book)
    grid_of = lru_cache(maxsize=2)(lambda sheet: _grid(book, sheet))
    if options.sheet is None:
        chosen = proposed(sheets, lambda sheet: _head(grid_of(sheet)))
    else:
        chosen = named(sheets, options.sheet)
    grid = grid_of(chosen)
    grid_of.cache_clear()
    notices = _notices(sheets, chosen, grid, options)
    head = _head(grid)
    header_row = _find_header_row(head, options)
    header = head[header_row - 1] if header_row and header_row <= len(head) else None
    if header_row and header is None:
        raise FormatError(
            f"The sheet ends before row {header_row}, where its header should be.", line=header_row
        )
    reach = max((len(_trim(row)) for row in head[header_row:]), default=0)
    columns = name_columns(
        _widen(_trim(header), reach) if header is not None else None,
        max(reach, grid.width),
        max_columns=options.max_columns,
    )
    if not columns:
        raise FormatError(f"The sheet “{chosen.name}” has no rows.", code="empty_file")
    notices += header_notices(columns, has_header=header is not None)
    if header_row > 1:
        notices.append(f"The header is in row {header_row}; the rows above it are passed over.")
    progress = _Progress(grid.total_height)
    mark = marks.get(chosen.name)
    if mark and mark.hidden_rows:
        hidden = "1 hidden row is" if mark.hidden_rows == 1 else f"{mark.hidden_rows:,} hidden rows are"
        notices.append(f"{hidden} included, whether filtered out or hidden by hand.")
    if mark and mark.padded:
        shown = ", ".join(f"“{columns[c].name}”" for c in sorted(mark.padded) if c < len(columns))
        notices.append(f"Numbers shown with leading zeros keep them: {shown}.")
    table = Table(
        columns=columns,
        rows=iter(()),
        findings=Findings(
            file_type,
            has_header=header is not None,
            header_row=header_row,
            sheet=chosen.name,
            sheets=tuple(sheets),
        ),
        total_estimate=max(0, grid.total_height - header_row),
        notices=notices,
        position=progress,
    )
    table.rows = _rows(grid, columns, header_row, mark or Marks(), table, progress, options)
    return table


class _Progress:
    def __init__(self, total: int) -> None:
        self.total = total
        self.row = 0

    def __call__(self) -> float:
        return min(1.0, self.row / self.total) if self.total else 1.0


def _open(file: BinaryIO) -> calamine.CalamineWorkbook:
    file.seek(0)
    try:
        return calamine.CalamineWorkbook.from_filelike(file)
    except calamine.PasswordError:
        raise FormatError(
            "The workbook is protected by a password. Save it without one.", code="password"
        ) from None
    except Exception as error:  # what the Rust side raises has no common base
        raise FormatError(
            f"The workbook cannot be read ({str(error)[:200]}). "
            "Open it in Excel, save it as .xlsx and try again.",
            code="damaged_file",
        ) from None


def _sheets(book: calamine.CalamineWorkbook) -> list[Sheet]:
    sheets = [
        Sheet(meta.name, meta.visible == calamine.SheetVisibleEnum.Visible)
        for meta in book.sheets_metadata
        if meta.typ == calamine.SheetTypeEnum.WorkSheet
    ]
    if not sheets:
        raise FormatError("The workbook has no sheet with cells.", code="empty_file")
    return sorted(sheets, key=lambda sheet: not sheet.visible)


def _grid(book: calamine.CalamineWorkbook, sheet: Sheet) -> calamine.CalamineSheet:
    try:
        return book.get_sheet_by_name(sheet.name)
    except Exception as error:
        raise FormatError(
            f"The sheet “{sheet.name}” cannot be read ({str(error)[:200]}).", code="damaged_file"
        ) from None


def _notices(
    sheets: Sequence[Sheet], chosen: Sheet, grid: calamine.CalamineSheet, options: Options
) -> list[str]:
    notices = []
    if len(sheets) > 1:
        others = ", ".join(f"“{s.name}”{'' if s.visible else ' (hidden)'}" for s in sheets if s != chosen)
        notices.append(f"The sheet “{chosen.name}” is read; there are also {others}.")
    if not chosen.visible:
        notices.append(f"The sheet “{chosen.name}” is hidden.")
    if grid.merged_cell_ranges:
        notices.append(
            "The sheet has merged cells: each cell of a range is read with the range's value."
            if options.fill_merged
            else "The sheet has merged cells: only the first cell of each has the value, the others are "
            "empty."
        )
    return notices


def _head(grid: calamine.CalamineSheet) -> list[list[Cell]]:
    head = []
    for row in grid.iter_rows():
        head.append([_cell(value)[0] for value in row])
        if len(head) >= 200:
            break
    return head


def _find_header_row(head: Sequence[Sequence[Cell]], options: Options) -> int:
    if options.has_header is False:
        return 0
    if options.header_row:
        return options.header_row
    index = find_header(head)
    if index is None and options.has_header:
        index = next((n for n, row in enumerate(head) if not _is_blank(row)), None)
    return 0 if index is None else index + 1


def _trim(row: Sequence[Cell]) -> list[Cell]:
    cells = list(row)
    while cells and (cells[-1] is None or not str(cells[-1]).strip()):
        cells.pop()
    return cells


def _widen(row: list[Cell], width: int) -> list[Cell]:
    return row + [None] * (width - len(row))


def _is_blank(cells: Sequence[Cell]) -> bool:
    return all(cell is None or cell == "" or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def _rows(
    grid: calamine.CalamineSheet,
    columns: tuple[Column, ...],
    header_row: int,
    mark: Marks,
    table: Table,
    progress: _Progress,
    options: Options,
) -> Iterator[Row]:
    width = len(columns)
    first_column = grid.start[1] if grid.start else 0
    marked_rows: dict[int, list[tuple[int, str]]] = {}
    for (row, column), code in mark.found.items():
        marked_rows.setdefault(row, []).append((column - first_column, code))
    number = 0
    merged = _Merged(grid, first_column) if options.fill_merged else None
    for line, raw in enumerate(grid.iter_rows(), start=1):
        progress.row = line
        if line <= header_row:
            continue
        cells: list[Cell] = []
        problems: list[CellProblem] = []
        for index, value in enumerate(raw):
            if type(value) is str:
                cells.append(value[1:] if value[:1] == "'" and ESCAPED.match(value) else value)
                continue
            cell, odd = _cell(value)
            cells.append(cell)
            if odd:
                problems.append(_imprecise(columns, index, odd))
            elif isinstance(value, dt.date) and cell[:10] == _BEFORE_NO_DAY:  # type: ignore[index]
                problems.append(_no_day(columns, index, str(cell)))
        for column in mark.padded:
            index = column - first_column
            if (
                0 <= index < len(cells)
                and type(cells[index]) is int
                and (digits := mark.digits_at(line, column))
            ):
                cells[index] = format(cells[index], f"0{digits}d")
        if merged is not None:
            merged.fill(line, cells)
        for index, code in marked_rows.get(line, ()):
            if 0 <= index < len(cells):
                problems.append(_error_cell(columns, index, code))
                cells[index] = code
        if not problems and _is_blank(cells):
            table.blank_rows += 1
            continue
        number += 1
        if number <= options.skip_rows:
            continue
        if len(cells) > width:
            extra = [cell for cell in cells[width:] if cell not in ("", None)]
            if extra:
                problems.append(
                    CellProblem(
                        "extra_cell",
                        "The row has a value to the right of the last column that has a header.",
                        value=str(extra[0])[:200],
                    )
                )
            else:
                del cells[width:]
        elif len(cells) < width:
            cells.extend([None] * (width - len(cells)))
        yield Row(number, line, cells, tuple(problems))


class _Merged:
    """Gives the cells of merged ranges the value of their first one, row by row."""

    def __init__(self, grid: calamine.CalamineSheet, first_column: int) -> None:
        self._starting: dict[int, list[tuple[int, int, int]]] = {}
        for (top, left), (bottom, right) in grid.merged_cell_ranges or ():
            span = (left - first_column, right - first_column, bottom + 1)
            self._starting.setdefault(top + 1, []).append(span)
        self._open: list[tuple[int, int, int, Cell]] = []

    def fill(self, line: int, cells: list[Cell]) -> None:
        for left, right, last, value in self._open:
            for index in range(left, min(right + 1, len(cells))):
                if line <= last and cells[index] in ("", None):
                    cells[index] = value
        self._open = [span for span in self._open if span[2] > line]
        for left, right, last in self._starting.get(line, ()):
            if 0 <= left < len(cells):
                for index in range(left + 1, min(right + 1, len(cells))):
                    if cells[index] in ("", None):
                        cells[index] = cells[left]
                self._open.append((left, right, last, cells[left]))


def _cell(value: object) -> tuple[Cell, str]:
    """The cell's value, and its text if it is a number that Excel could not hold exactly."""
    if value is None or isinstance(value, str | bool):
        return value, ""
    if isinstance(value, float):
        shown = format(value, ".15g")  # the digits that Excel keeps and shows
        if not value.is_integer():
            return float(shown), ""
        if abs(value) <= _EXACT:
            return int(value), ""
        text = format(Decimal(shown), "f")
        return text, text
    if isinstance(value, int):
        return value, ""
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat(), ""
    if isinstance(value, dt.timedelta):
        return _duration(value), ""
    return str(value), ""


def _duration(value: dt.timedelta) -> str:
    """Hours, minutes and seconds, such as 36:00:00."""
    seconds = int(value.total_seconds())
    sign = "-" if seconds < 0 else ""
    hours, rest = divmod(abs(seconds), 3600)
    return f"{sign}{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _name(columns: Sequence[Column], index: int) -> str:
    return columns[index].name if index < len(columns) else ""


def _imprecise(columns: Sequence[Column], index: int, text: str) -> CellProblem:
    return CellProblem(
        "precision_lost",
        f"{text} has more digits than Excel keeps (15): the last ones may be wrong. "
        "Format such columns as text.",
        _name(columns, index),
        text,
        Severity.WARNING,
    )


def _no_day(columns: Sequence[Column], index: int, text: str) -> CellProblem:
    return CellProblem(
        "impossible_date",
        "The cell holds 28 February 1900, or day 60 of Excel's calendar, which it shows as 29 February 1900, "
        "a day that never was. Look whether it is meant to be a date.",
        _name(columns, index),
        text,
        Severity.WARNING,
    )


def _error_cell(columns: Sequence[Column], index: int, code: str) -> CellProblem:
    if code:
        return CellProblem("excel_error", f"The cell shows the error {code}.", _name(columns, index), code)
    return CellProblem(
        "not_calculated",
        "The cell's formula was never calculated. Open the file in Excel, save it and upload it again.",
        _name(columns, index),
    )
