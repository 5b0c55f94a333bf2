"""Which sheet of a workbook is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.headers import find_header
from apps.jobs.formats.tables import Cell, Sheet

LOOKED_AT = 8
"""Sheets that are looked at."""
LIKE_A_TABLE = 30
"""Filled cells below a header from which on a sheet is taken for the table, whatever the others hold."""
MUCH_MORE = 3

Heads = Callable[[Sheet], Sequence[Sequence[Cell]]]


def proposed(sheets: Sequence[Sheet], head_of: Heads) -> Sheet:
    """The first visible sheet, unless it is a cover or a few notes and another one holds a table.

    `head_of` gives the first rows of a sheet; it is asked for others than the first only if that is no table.
    """
    visible = [sheet for sheet in sheets if sheet.visible][:LOOKED_AT]
    if len(visible) < 2:
        return sheets[0]
    first = _cells_of_table(visible[0], head_of)
    if first >= LIKE_A_TABLE:
        return visible[0]
    others = {sheet.name: _cells_of_table(sheet, head_of) for sheet in visible[1:]}
    best = max(visible[1:], key=lambda sheet: others[sheet.name])
    return best if others[best.name] > MUCH_MORE * first else visible[0]


def _cells_of_table(sheet: Sheet, head_of: Heads) -> int:
    """The filled cells below the header, among the first rows; 0 for what is no table of two columns."""
    try:
        head = head_of(sheet)
    except FormatError:
        return 0
    header = find_header(head)
    if header is None or sum(map(_is_filled, head[header])) < 2:
        return 0
    return sum(_is_filled(cell) for row in head[header + 1 :] for cell in row)


def _is_filled(cell: Cell) -> bool:
    return cell is not None and bool(str(cell).strip())


def named(sheets: Sequence[Sheet], wanted: str) -> Sheet:
    """The sheet of that name. Raises FormatError that lists those that there are."""
    for sheet in sheets:
        if sheet.name == wanted:
            return sheet
    listed = ", ".join(f"“{sheet.name}”" for sheet in sheets[:10])
    raise FormatError(f"The workbook has no sheet “{wanted[:60]}”; it has {listed}.", code="unknown_sheet")
