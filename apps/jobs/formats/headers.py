"""Finding the header row, and giving every column a name of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Cell, Column

_VALUE = re.compile(
    r"""^\s*(?:
        [-+(]?[\d.,'\s%€$£]*\d[\d.,'\s%€$£)]*-?      # a number, an amount, a percentage
      | \d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T\s].*)?   # a date
      | \d{1,2}:\d{2}(?::\d{2})?                      # a time
      | [^@\s]+@[^@\s]+\.[^@\s]+                      # an e-mail address
      | https?://\S+
      | (?:true|false|yes|no|null|nan)
    )\s*$""",
    re.VERBOSE | re.IGNORECASE,
)


def _is_value(cell: Cell) -> bool:
    """Whether the cell looks like data rather than like a name."""
    if isinstance(cell, str):
        return bool(_VALUE.match(cell))
    return cell is not None


def _filled(row: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in row if cell is not None and str(cell).strip()]


def usual_width(rows: Sequence[Sequence[Cell]]) -> int:
    """The most common number of cells up to the last filled one, the larger of two equally common ones."""
    widths = Counter(_reach(row) for row in rows if _filled(row))
    return max(widths, key=lambda width: (widths[width], width), default=0)


def _reach(row: Sequence[Cell]) -> int:
    for index in range(len(row), 0, -1):
        cell = row[index - 1]
        if cell is not None and str(cell).strip():
            return index
    return 0


def find_header(rows: Sequence[Sequence[Cell]]) -> int | None:
    """The index of the header among the first rows, or None if the table seems to have none.

    The header is the first row that is about as wide as the table and consists of names: no numbers, dates
    or addresses. What stands above it (a title, a date of printing) is narrower.
    """
    width = usual_width(rows)
    if not width:
        return None
    for index, row in enumerate(rows[:25]):
        filled = _filled(row)
        if len(filled) * 2 < width or (width > 2 and len(filled) < 2):
            continue
        values = sum(_is_value(cell) for cell in filled)
        if values * 4 > len(filled):
            return None
        below = [_filled(other) for other in rows[index + 1 : index + 50]]
        texts = {str(cell).strip().casefold() for cell in filled}
        repeats = sum(len(texts & {str(cell).strip().casefold() for cell in other}) for other in below)
        if width > 1 and below and repeats > len(below):
            return None  # the same words stand below it again and again: data, not names
        return index + 1 if _is_grouped(rows, index) else index
    return None


def _is_grouped(rows: Sequence[Sequence[Cell]], index: int) -> bool:
    """Whether the row names groups of columns only (“Price”, blank, blank), and the next one the columns.

    The next one is at least twice as full and has no values, and below it there are some.
    """
    if index + 2 >= len(rows):
        return False
    group, names = _filled(rows[index]), _filled(rows[index + 1])
    if len(names) < 2 * len(group) or any(_is_value(cell) for cell in names):
        return False
    below = [_filled(row) for row in rows[index + 2 : index + 12]]
    return any(_is_value(cell) for row in below for cell in row)


def name_columns(header: Sequence[Cell] | None, width: int, *, max_columns: int) -> tuple[Column, ...]:
    """A name for each column: its header, “Column 3” where there is none, “Name (2)” where it is repeated."""
    cells = list(header or ())
    width = max(width if header is None else 0, len(cells))
    if width > max_columns:
        raise FormatError(
            f"The file has {width:,} columns; at most {max_columns:,} can be read. Is the delimiter right?",
            code="too_many_columns",
        )
    taken: set[str] = set()
    columns = []
    for index in range(width):
        cell = cells[index] if index < len(cells) else None
        raw = "" if cell is None else str(cell)
        clean = " ".join(raw.split()).replace("\0", "")[:200]
        made_up = not clean
        base = clean or f"Column {index + 1}"
        name, n = base, 1
        while name in taken:
            n += 1
            name = f"{base} ({n})"
        taken.add(name)
        columns.append(Column(index, name, raw[:1000], made_up=made_up, repeated=n > 1))
    return tuple(columns)


def header_notices(columns: Sequence[Column], *, has_header: bool) -> list[str]:
    """What to tell about the names."""
    if not has_header:
        return ["The file seems to have no header row; its columns are numbered."]
    notices = []
    repeated = [column.raw.strip() for column in columns if column.repeated and not column.made_up]
    if repeated:
        listed = ", ".join(f"“{name[:60]}”" for name in dict.fromkeys(repeated))
        notices.append(f"More than one column is called {listed}: the later ones carry a number.")
    unnamed = [str(column.index + 1) for column in columns if column.made_up]
    if unnamed:
        notices.append(
            f"Column {unnamed[0]} has no header." if len(unnamed) == 1
            else f"Columns {', '.join(unnamed[:10])}{' …' if len(unnamed) > 10 else ''} have no header."
        )  # fmt: skip
    return notices
