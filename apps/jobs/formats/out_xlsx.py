"""Exports as XLSX, at the speed of text and in constant memory.

xlsxwriter makes the workbook: its parts, styles, headers, widths. Only the rows of the sheets are written
here, as the XML that they are, straight into the archive. A cell is a number, a date, true or false, or a
text; nothing is ever a formula. What does not fit on a sheet goes on on the next.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import shutil
import tempfile
import zipfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import IO, Any, BinaryIO
from xml.sax.saxutils import escape

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name

from apps.jobs.formats.outputs import (
    Batch,
    OutColumn,
    OutOptions,
    Output,
    json_text,
    money_text,
    plain_text,
)
from apps.kernel.spreadsheets import DANGEROUS, MAX_CELL, MAX_ROWS, NOT_XML, harmless

LEVEL = 1
"""Of deflate: a tenth larger than at 6, in a third of the time."""
AHEAD = 1
"""Batches that wait to be packed while the next is written."""
REPLACED = "{n} characters that a workbook cannot hold were replaced by “�”."
CUT = (
    "{n} texts were cut: a cell of a workbook holds 32,767 characters. Choose another format for all of them."
)
_EPOCH = dt.date(1899, 12, 30)
_FIRST_DAY = dt.date(1900, 3, 1)
"""Before it Excel counts a day that never was."""
_ESCAPE_LIKE = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")
_WIDTHS = {"boolean": 10, "integer": 12, "decimal": 14, "date": 12, "datetime": 20, "id": 32, "money": 16}
_EXACT = 999_999_999_999_999
"""The largest whole number whose digits Excel keeps."""
_BOUNDS = {
    "": ("><v>", "</v></c>"),
    "boolean": (' t="b"><v>', "</v></c>"),
    "text": (' t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>"),
    "plain": (' t="inlineStr"><is><t>', "</t></is></c>"),  # no white space at its ends, nothing to escape
}
"""What stands around a cell's content, after its reference and style."""
_SHEET_PART = re.compile(r"xl/worksheets/sheet(\d+)\.xml")


class XlsxOutput(Output):
    """One table as the sheets of a workbook; `also` adds the sheets of another in the end."""

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        self._letters = [xl_col_to_name(n) for n in range(len(columns))]
        self._zone = options.zone or dt.UTC
        self._day = lru_cache(maxsize=65_536)(_day)
        heads, tails = _skeleton_parts([(options.title, columns, options)])
        self._head, self._tail = heads[0], tails[0]
        self._styles = _styles(self._head)
        super().__init__(file, columns, options)
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._others: list[tuple[str, Sequence[OutColumn], OutOptions, IO[bytes]]] = []
        self.sheets = 0
        self._part: IO[bytes] | None = None
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="xlsx")
        self._unpacked: deque[Future[int]] = deque()

    # --- cells

    def names(self) -> dict[str, Any]:
        return {
            "X": self._text, "D": DANGEROUS | {"'", " "}, "money": money_text, "js": json_text,
            "day": self._day, "moment": self._moment, "number": _number,
            "B": {True: "1", False: "0"}, "AMP": "&", "LT": "<", "GT": ">", "UX": "_x", "SP": " ",
        }  # fmt: skip

    def _cell(self, column: OutColumn, value: str, *, kind: str = "", style: bool = False) -> str:
        """The expression of a cell around that of its content: a text, and without quotes."""
        index = self.columns.index(column)
        styled = f' s="{self._styles[index]}"' if style and index in self._styles else ""
        start, end = _BOUNDS[kind]
        return f"f'<c r=\"{self._letters[index]}{{s}}\"{styled}{start}{{{value}}}{end}'"

    def inline(self, column: OutColumn, value: str) -> str:
        kind = column.kind
        blank = f"'' if (v := {value}) is None else"
        text = self._cell(column, "v", kind="text")
        if kind == "boolean":
            return f"({blank} {self._cell(column, 'B[v]', kind='boolean')})"
        if kind == "integer":
            number = self._cell(column, "v", style=True)
            digits = self._cell(column, "v", kind="text")
            return f"({blank} {number} if -{_EXACT} <= v <= {_EXACT} else {digits})"
        if kind == "decimal":
            fits = f"number(v, {column.places!r})"
            return f"({blank} {self._cell(column, 'v', style=True)} if {fits} else {text})"
        if kind in ("date", "datetime"):
            call = "day" if kind == "date" else "moment"
            number = self._cell(column, "w", style=True)
            return f"({blank} {number} if (w := {call}(v)) is not None else {text})"
        if kind == "id":
            return f"({blank} {text})"
        if kind in ("money", "json"):
            made = self._cell(column, f"X({'money' if kind == 'money' else 'js'}(v))", kind="text")
            return f"({blank} {made})"
        plain = (
            "v.isprintable() and v[:1] not in D and v[-1] != SP and AMP not in v and LT not in v "
            "and GT not in v and UX not in v and len(v) < 32000"
        )
        made = self._cell(column, "X(v)", kind="text")
        return (
            f"('' if not (v := {value}) else {self._cell(column, 'v', kind='plain')} if {plain} else {made})"
        )

    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        if value is None or value == "":
            return ""
        letter = self._letters[self.columns.index(column)]
        start, end = _BOUNDS["text"]
        return f'<c r="{letter}{row}"{start}{self._text(plain_text(value))}{end}'

    def join(self, cells: Sequence[str]) -> str:
        return f"""''.join((f'<row r="{{(s := str(n))}}">', {", ".join(cells)}, '</row>'))"""

    def whole(self, cells: Sequence[Any], row: int) -> Any:
        return "".join([f'<row r="{row}">', *cells, "</row>"])

    def first(self) -> int:
        """The row of the sheet that comes next: below a header on each."""
        return self.rows % (MAX_ROWS - 1) + 2

    def write(self, batch: Batch) -> None:
        """As for all formats, but no batch reaches over the end of a sheet."""
        room = (MAX_ROWS - 1) - self.rows % (MAX_ROWS - 1)
        if len(batch.data) <= room:
            super().write(batch)
            return
        super().write(Batch(batch.data[:room], batch.meta[:room], batch.related))
        self.write(Batch(batch.data[room:], batch.meta[room:], batch.related))

    def _text(self, text: str) -> str:
        """A harmless text, escaped for XML and for what Excel reads as an escaped character."""
        text = harmless(text)
        if len(text) > MAX_CELL:
            text = text[:MAX_CELL]
            self.notes.add(CUT)
        if not text.isprintable() and NOT_XML.search(text):
            text, times = NOT_XML.subn("�", text)
            self.notes.add(REPLACED, times)
        if "_x" in text:
            text = _ESCAPE_LIKE.sub("_x005F_", text)
        return escape(text, {"\r": "&#13;"})

    def _moment(self, value: str) -> str | None:
        """A moment in the organization's zone as a number; None where that would not name it exactly."""
        if len(value) != 20:
            return None
        moment = dt.datetime.fromisoformat(value)
        local = moment.astimezone(self._zone).replace(tzinfo=None)
        if local.replace(tzinfo=self._zone, fold=0) != moment or local.date() < _FIRST_DAY:
            return None
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        return repr((local.date() - _EPOCH).days + seconds / 86_400)

    # --- sheets

    def put(self, rows: list[Any]) -> None:
        if self._part is None or (self.rows and self.rows % (MAX_ROWS - 1) == 0):
            self._end()
            self._begin()
        assert self._part is not None
        self._settle(AHEAD)
        # Deflating lets other threads run: the next rows are written as XML meanwhile.
        self._unpacked.append(self._packer.submit(self._part.write, "".join(rows).encode()))

    def _settle(self, left: int) -> None:
        """Wait until no more than so many batches are to be packed. Raises what writing them raised."""
        while len(self._unpacked) > left:
            self._unpacked.popleft().result()

    def _begin(self) -> None:
        self.sheets += 1
        head = self._head if self.sheets == 1 else self._head.replace(' tabSelected="1"', "")
        self._part = self._archive.open(self._info(self.sheets), "w", force_zip64=self._is_wide())
        self._part.write(head.encode())

    def _is_wide(self) -> bool:
        """Whether a full sheet could pass 2 GiB of XML, which takes an extension that old readers lack."""
        return len(self.columns) > 20

    def _end(self) -> None:
        if self._part is not None:
            self._settle(0)
            self._part.write(self._tail.encode())
            self._part.close()
            self._part = None

    @staticmethod
    def _info(number: int) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(f"xl/worksheets/sheet{number}.xml", date_time=(1980, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        return info

    def also(self, title: str, columns: Sequence[OutColumn], options: OutOptions) -> _Spooled:
        """A further table, written while this one is; its sheet comes after those of this one."""
        made = _Spooled(columns, options)
        self._others.append((title, columns, options, made.spool))
        return made

    def close(self) -> None:
        if self._part is None:
            self._begin()
        self._end()
        sheets = [(self._named(n), self.columns, self.options) for n in range(1, self.sheets + 1)]
        heads, tails = _skeleton_parts(
            [*sheets, *((title, columns, options) for title, columns, options, _ in self._others)],
            into=self._archive,
        )
        for n, (_, _, _, spool) in enumerate(self._others, start=self.sheets):
            with self._archive.open(self._info(n + 1), "w") as part, spool:
                part.write(heads[n].encode())
                spool.seek(0)
                shutil.copyfileobj(spool, part, 1_048_576)
                part.write(tails[n].encode())
        self._archive.close()
        self._packer.shutdown()
        self.file.flush()

    def _named(self, number: int) -> str:
        return self.options.title if number == 1 else f"{_sheet_name(self.options.title)[:27]} {number}"


class _Spooled(XlsxOutput):
    """A table whose rows wait in a temporary file until the workbook that they belong to is closed."""

    def __init__(self, columns: Sequence[OutColumn], options: OutOptions) -> None:
        self._letters = [xl_col_to_name(n) for n in range(len(columns))]
        self._zone = options.zone or dt.UTC
        self._day = lru_cache(maxsize=65_536)(_day)
        self._styles = _styles(_skeleton_parts([(options.title, columns, options)])[0][0])
        self.spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the workbook
        Output.__init__(self, self.spool, columns, options)

    def put(self, rows: list[Any]) -> None:
        kept = rows[: max(0, MAX_ROWS - 1 - self.rows)]
        if len(kept) < len(rows):
            self.notes.add("{n} changes more than a sheet holds were left out.", len(rows) - len(kept))
        self.spool.write("".join(kept).encode())

    def close(self) -> None:
        """Nothing: the workbook takes the rows."""


def _sheet_name(text: str) -> str:
    """A name that Excel accepts for a sheet."""
    return re.sub(r"[\[\]:*?/\\']", " ", text).strip()[:31] or "Data"


def _skeleton_parts(
    sheets: Sequence[tuple[str, Sequence[OutColumn], OutOptions]], *, into: zipfile.ZipFile | None = None
) -> tuple[list[str], list[str]]:
    """What stands before and after the rows of each sheet; all other parts go into the archive, if given."""
    made = io.BytesIO()
    book = xlsxwriter.Workbook(made, {"in_memory": True})
    bold = book.add_format({"bold": True, "bottom": 1})
    formats: dict[str, Any] = {}
    taken: set[str] = set()
    for title, columns, options in sheets:
        name = _sheet_name(title)
        while name.lower() in taken:
            name = f"{name[:28]} {len(taken) + 1}"
        taken.add(name.lower())
        sheet = book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        for index, column in enumerate(columns):
            code = _format_of(column)
            if code and code not in formats:
                formats[code] = book.add_format({"num_format": code})
            heading = column.title if options.labels else column.name
            width = min(60, max(_WIDTHS.get(column.kind, 24), len(heading) + 2))
            sheet.set_column(index, index, width, formats.get(code))
            sheet.write_string(0, index, NOT_XML.sub("�", harmless(heading))[:MAX_CELL], bold)
    book.close()
    heads, tails = [], []
    with zipfile.ZipFile(made) as archive:
        for info in archive.infolist():
            found = _SHEET_PART.fullmatch(info.filename)
            if found is None:
                if into is not None:
                    into.writestr(info, archive.read(info))
                continue
            text = re.sub(r"<dimension [^>]*/>", "", archive.read(info).decode())
            head, _, tail = text.partition("</sheetData>")
            heads.append((int(found[1]), head))
            tails.append((int(found[1]), "</sheetData>" + tail))
    return [text for _, text in sorted(heads)], [text for _, text in sorted(tails)]


def _format_of(column: OutColumn) -> str:
    if column.kind == "date":
        return "yyyy-mm-dd"
    if column.kind == "datetime":
        return "yyyy-mm-dd hh:mm:ss"
    if column.kind == "decimal" and column.places is not None:
        return "0." + "0" * column.places if column.places else "0"
    return ""


def _styles(head: str) -> dict[int, str]:
    """Column → number of its style, as the skeleton says."""
    found: dict[int, str] = {}
    for first, last, attributes in re.findall(r'<col min="(\d+)" max="(\d+)"([^>]*)/>', head):
        style = re.search(r' style="(\d+)"', attributes)
        if style:
            found.update(dict.fromkeys(range(int(first) - 1, int(last)), style[1]))
    return found


def _day(value: str) -> str | None:
    """A day as Excel counts it; None for days that it does not know."""
    day = dt.date.fromisoformat(value)
    return str((day - _EPOCH).days) if day >= _FIRST_DAY else None


def _number(value: str, places: int | None) -> bool:
    """Whether a number cell gives back this decimal: of 15 digits at most, and, where the field sets no
    number of decimals, written as Excel's number is."""
    if len(value) > 15:
        return False
    if places is not None:
        return True
    return "." not in value or value[-1] != "0"
