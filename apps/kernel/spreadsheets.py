"""Tables that people open in spreadsheet programs: CSV and XLSX, row by row, with formulas made harmless.

A cell that a spreadsheet program would run (it begins with =, +, -, @, tab, carriage return or NUL, as
OWASP ASVS 1.2.10 lists) gets a single quote in front, unless it is a number. Our own reader takes it off.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import xlsxwriter

ESCAPED = re.compile(r"'+[=+\-@\t\r\0]")
"""A text to which a single quote was put in front, so that no spreadsheet runs it as a formula."""
DANGEROUS = frozenset("=+-@\t\r\0")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?")
_PHONE = re.compile(r"\+\d[\d ()/-]*")
MAX_ROWS = 1_048_576
"""Rows of a sheet, with its header."""
MAX_CELL = 32_767
"""Characters of a cell of a workbook."""
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def harmless(text: str) -> str:
    """The text as a spreadsheet program shows it without running it.

    A text that has such a quote of its own gets a second one, so that taking one off gives it back.
    """
    if not text:
        return text
    if text[0] in DANGEROUS:
        return text if _NUMBER.fullmatch(text) or _PHONE.fullmatch(text) else "'" + text
    return "'" + text if ESCAPED.match(text) else text


def text_of(value: Any) -> str:
    """Any value as the harmless text of a cell."""
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return str(value)


class CsvWriter:
    """Writes UTF-8 CSV with a byte order mark, so that Excel reads the letters right, and CRLF (RFC 4180)."""

    def __init__(self, file: BinaryIO, header: Sequence[str], *, delimiter: str = ",") -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        self._csv = csv.writer(self._text, delimiter=delimiter)
        self._csv.writerow([harmless(name) for name in header])
        self.rows = 0

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._csv.writerow([text_of(value) for value in row])
            self.rows += 1

    def close(self) -> None:
        """Finish the file, which stays open for its owner."""
        self._text.flush()
        self._text.detach()


class XlsxWriter:
    """Writes sheets in constant memory. Numbers are numbers, all else is text, nothing a formula.

    What does not fit on a sheet goes on on the next.
    """

    def __init__(self, file: BinaryIO, header: Sequence[str], *, sheet: str = "Data") -> None:
        self._book = xlsxwriter.Workbook(
            file,
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "strings_to_numbers": False,
            },
        )
        self._bold = self._book.add_format({"bold": True, "bottom": 1})
        self._header = header
        self._name = sheet[:25]
        self._sheets = 0
        self.rows = 0
        self._begin()

    def _begin(self) -> None:
        self._sheets += 1
        self._row = 0
        self._sheet = self._book.add_worksheet(
            self._name if self._sheets == 1 else f"{self._name} {self._sheets}"
        )
        self._sheet.freeze_panes(1, 0)
        for index, name in enumerate(self._header):
            self._sheet.set_column(index, index, min(40, max(10, len(name) + 2)))
        for index, name in enumerate(self._header):
            self._sheet.write_string(0, index, _cell_text(harmless(name)), self._bold)

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self.rows += 1
            self._row += 1
            if self._row >= MAX_ROWS:
                self._begin()
                self._row = 1
            for index, value in enumerate(row):
                self._cell(index, value)

    def _cell(self, index: int, value: Any, style: Any = None) -> None:
        if value is None or value == "":
            if style is not None:
                self._sheet.write_blank(self._row, index, None, style)
        elif isinstance(value, bool):
            self._sheet.write_boolean(self._row, index, value, style)
        elif isinstance(value, int | float | Decimal) and fits(value):
            self._sheet.write_number(self._row, index, float(value), style)
        else:
            self._sheet.write_string(self._row, index, _cell_text(text_of(value)), style)

    def close(self) -> None:
        self._book.close()


class MarkedXlsxWriter(XlsxWriter):
    """As `XlsxWriter`, for rows with marked cells: coloured, with a note that says why.

    With `as_text` the columns keep what is typed into them as it is typed: leading zeros, dates.
    """

    MAX_NOTES = 20_000
    """Spreadsheet programs grow slow with more of them; further cells are coloured only."""

    def __init__(
        self, file: BinaryIO, header: Sequence[str], *, sheet: str = "Data", as_text: bool = False
    ) -> None:
        self._as_text = as_text
        self._notes = 0
        super().__init__(file, header, sheet=sheet)

    def _begin(self) -> None:
        typed = {"num_format": "@"} if self._as_text else {}
        self._marked = self._book.add_format({"bg_color": "#FECACA", **typed})
        super()._begin()
        if self._as_text:
            plain = self._book.add_format(typed)
            for index, name in enumerate(self._header):
                self._sheet.set_column(index, index, min(40, max(10, len(name) + 2)), plain)

    def write_marked(self, row: Sequence[Any], reasons: Mapping[int, str]) -> None:
        """Write a row whose cells at these places are wrong, and why."""
        self.write([row])
        for index, reason in reasons.items():
            self._cell(index, row[index] if index < len(row) else None, self._marked)
            if self._notes < self.MAX_NOTES:
                self._notes += 1
                self._sheet.write_comment(self._row, index, _cell_text(reason), {"x_scale": 2})


def fits(value: int | float | Decimal) -> bool:
    """Whether Excel, which keeps 15 digits, can hold the number."""
    if isinstance(value, float):
        return value == value and value not in (float("inf"), float("-inf"))
    number = Decimal(value)
    return number.is_finite() and len(number.normalize().as_tuple().digits) <= 15


def _cell_text(text: str) -> str:
    return NOT_XML.sub("�", text)[:MAX_CELL]


WRITERS: dict[str, Any] = {"csv": CsvWriter, "xlsx": XlsxWriter}
