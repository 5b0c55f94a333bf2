"""Writing tables as CSV and XLSX, row by row, with formulas made harmless.

A cell that a spreadsheet program would run (it begins with =, +, -, @, tab, carriage return or NUL, as
OWASP ASVS 1.2.10 lists) gets a single quote in front, unless it is a number. Our own reader takes it off.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import xlsxwriter

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import ESCAPED

_DANGEROUS = frozenset("=+-@\t\r\0")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d+)?%?")
_PHONE = re.compile(r"\+\d[\d ()/-]*")
XLSX_MAX_ROWS = 1_048_576
XLSX_MAX_CELL = 32_767
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def harmless(text: str) -> str:
    """The text as a spreadsheet program shows it without running it.

    A text that has such a quote of its own gets a second one, so that taking one off gives it back.
    """
    if not text:
        return text
    if text[0] in _DANGEROUS:
        return text if _NUMBER.fullmatch(text) or _PHONE.fullmatch(text) else "'" + text
    return "'" + text if ESCAPED.match(text) else text


def _text(value: Any) -> str:
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
            self._csv.writerow([_text(value) for value in row])
            self.rows += 1

    def close(self) -> None:
        """Finish the file, which stays open for its owner."""
        self._text.flush()
        self._text.detach()


class XlsxWriter:
    """Writes one sheet in constant memory. Numbers are numbers, all else is text, nothing a formula."""

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
        self._sheet = self._book.add_worksheet(sheet[:31])
        bold = self._book.add_format({"bold": True, "bottom": 1})
        self._sheet.freeze_panes(1, 0)
        for index, name in enumerate(header):
            self._sheet.set_column(index, index, min(40, max(10, len(name) + 2)))
        for index, name in enumerate(header):
            self._sheet.write_string(0, index, _cell_text(harmless(name)), bold)
        self.rows = 0

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        sheet = self._sheet
        for row in rows:
            self.rows += 1
            if self.rows >= XLSX_MAX_ROWS:
                raise FormatError(
                    f"An Excel sheet holds {XLSX_MAX_ROWS - 1:,} rows. "
                    "Choose CSV, or filter what is exported.",
                    code="too_many_rows",
                )
            for index, value in enumerate(row):
                if value is None or value == "":
                    continue
                if isinstance(value, bool):
                    sheet.write_boolean(self.rows, index, value)
                elif isinstance(value, int | float | Decimal) and _fits(value):
                    sheet.write_number(self.rows, index, float(value))
                else:
                    sheet.write_string(self.rows, index, _cell_text(_text(value)))

    def close(self) -> None:
        self._book.close()


def _fits(value: int | float | Decimal) -> bool:
    """Whether Excel, which keeps 15 digits, can hold the number."""
    if isinstance(value, float):
        return value == value and value not in (float("inf"), float("-inf"))
    number = Decimal(value)
    return number.is_finite() and len(number.normalize().as_tuple().digits) <= 15


def _cell_text(text: str) -> str:
    return _NOT_XML.sub("�", text)[:XLSX_MAX_CELL]


WRITERS: dict[str, Any] = {"csv": CsvWriter, "xlsx": XlsxWriter}
MIME_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
