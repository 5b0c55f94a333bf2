"""Exports as CSV: the generated function makes texts and defuses formulas.

Most columns need no quotes in any row, so a column is searched as one text before its cells are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, BinaryIO

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.outputs import OutColumn, OutOptions, Output, json_text, money_text, plain_text
from apps.kernel.spreadsheets import DANGEROUS, harmless

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "cp1252": "Windows-1252 (Western Europe)",
    "cp1250": "Windows-1250 (Central Europe)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "iso-8859-1": "ISO 8859-1 (Latin 1)",
    "iso-8859-15": "ISO 8859-15 (Latin 9)",
}
SAFE = frozenset(("integer", "decimal", "date", "datetime", "id"))
"""Kinds whose texts begin with a digit or a number's sign."""


class CsvOutput(Output):
    """RFC 4180 with CRLF; UTF-8 with a byte order mark unless asked otherwise."""

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        super().__init__(file, columns, options)
        self._delimiter = options.delimiter
        self._special = re.compile(f'["\r\n{re.escape(options.delimiter)}]').search
        # A lone empty cell is no empty line: the writer knows how that is written.
        self._plain = not options.quote_all and len(columns) > 1
        self._buffer = io.StringIO(newline="")
        self._csv = csv.writer(
            self._buffer,
            delimiter=options.delimiter,
            quoting=csv.QUOTE_ALL if options.quote_all else csv.QUOTE_MINIMAL,
        )
        self._encoding = "utf-16-le" if options.encoding == "utf-16" else options.encoding
        if options.encoding == "utf-16" or (options.encoding == "utf-8" and options.bom):
            file.write("\ufeff".encode(self._encoding))
        self._csv.writerow([harmless(name) for name in self.headings()])
        self._flush()

    def names(self) -> dict[str, Any]:
        return {
            "H": harmless, "D": DANGEROUS | {"'"}, "money": money_text, "js": json_text,
            "B": {None: "", True: "true", False: "false"},
        }  # fmt: skip

    def inline(self, column: OutColumn, value: str) -> str:
        if column.kind in SAFE:
            return f"('' if (v := {value}) is None else str(v))"
        if column.kind == "boolean":
            return f"B[{value}]"
        if column.kind in ("money", "json"):
            make = "money" if column.kind == "money" else "js"
            return f"('' if (v := {value}) is None else H({make}(v)))"
        return f"('' if (v := {value}) is None else v if v[:1] not in D else H(v))"

    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return harmless(plain_text(value))

    def join(self, cells: Sequence[str]) -> str:
        return f"({', '.join(cells)},)"

    def whole(self, cells: Sequence[Any], row: int) -> Any:
        return tuple(cells)

    def put(self, rows: list[Any]) -> None:
        if self._plain:
            self._put_joined(rows)
        else:
            self._csv.writerows(rows)
            self._flush()

    def _put_joined(self, rows: list[Any]) -> None:
        """Look for what needs quotes in whole columns first, then at the cells of those that have some."""
        columns: list[Sequence[str]] = list(zip(*rows, strict=True))
        for n, column in enumerate(columns):
            text = "".join(column)
            if self._delimiter in text or '"' in text or "\n" in text or "\r" in text:
                special = self._special
                columns[n] = [
                    '"' + cell.replace('"', '""') + '"' if special(cell) else cell for cell in column
                ]
        lines = "\r\n".join(map(self._delimiter.join, zip(*columns, strict=True)))
        self._encode(f"{lines}\r\n" if rows else "")

    def _taken(self) -> str:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text

    def _flush(self) -> None:
        self._encode(self._taken())

    def _encode(self, text: str) -> None:
        try:
            self.file.write(text.encode(self._encoding))
        except UnicodeEncodeError as error:
            label = ENCODINGS.get(self.options.encoding, self.options.encoding)
            raise FormatError(
                f"“{text[error.start]}” cannot be written in {label}. Choose UTF-8.",
                code="not_in_encoding",
            ) from None

    def close(self) -> None:
        self.file.flush()
