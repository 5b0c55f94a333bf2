"""What calamine does not tell: where each sheet lies, and which cells hold no proper value."""

from __future__ import annotations

import re
import zipfile
from xml.etree import ElementTree
from xml.parsers import expat

from apps.jobs.formats.errors import FormatError

_MAX_MARKS = 100_000
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_REL = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')
_STYLED = re.compile(rb'<c r="([A-Z]{1,3})(\d{1,7})" s="(\d{1,5})"')
_HIDDEN_ROW = re.compile(rb'<row\b[^>]{0,500}? hidden="(?:1|true)"')
_ZEROS = re.compile("0{2,15}")
_SHOWN = re.compile(rb"<v>([^<]{1,20})</v>")


class Marks:
    """Finds, in a sheet's XML as it streams by, cells that hold an error or a formula without a value."""

    _HINTS = (b't="e"', b"</f></c>", b"</f><v></v>", b"</f><v/>", b"</f><v />", b'"/></c>')

    def __init__(self, padded_styles: dict[int, int] | None = None) -> None:
        """`padded_styles`: number of a cell style → how many digits it fills up with zeros."""
        self.found: dict[tuple[int, int], str] = {}
        self.padded: dict[int, list[tuple[int, int, int]]] = {}  # column → (first row, last row, digits)
        self._styles = padded_styles or {}
        self._rest = b""
        self.hidden_rows = 0

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        end = data.rfind(b"</c>") + 4
        if end < 4:
            self._rest = data[-65_536:]
            return
        self._rest = data[end:]
        if b' hidden="' in data:
            self.hidden_rows += len(_HIDDEN_ROW.findall(data, 0, end))
        if self._styles:
            self._note_padded(data[:end])
        if not any(hint in data for hint in self._HINTS):
            return
        for hint in self._HINTS:
            at = data.find(hint, 0, end)
            while at >= 0 and len(self.found) < _MAX_MARKS:
                self._note(data, at, is_error=hint == b't="e"')
                at = data.find(hint, at + len(hint), end)

    def digits_at(self, row: int, column: int) -> int:
        """To how many digits the cell is shown, filled up with zeros; 0 for a usual cell."""
        for first, last, digits in self.padded.get(column, ()):
            if first <= row <= last:
                return digits
        return 0

    def _note_padded(self, data: bytes) -> None:
        for match in _STYLED.finditer(data):
            digits = self._styles.get(int(match.group(3)))
            if digits is None:
                continue
            row, column = int(match.group(2)), _column(match.group(1))
            runs = self.padded.setdefault(column, [])
            if runs and runs[-1][1] == row - 1 and runs[-1][2] == digits:
                runs[-1] = (runs[-1][0], row, digits)
            elif len(runs) < 1_000:
                runs.append((row, row, digits))

    def _note(self, data: bytes, at: int, *, is_error: bool) -> None:
        start = data.rfind(b"<c ", 0, at)
        stop = data.find(b"</c>", at)
        cell = data[start:stop]
        reference = _REFERENCE.search(cell)
        if start < 0 or reference is None or (not is_error and b"<f" not in cell):
            return
        shown = _SHOWN.search(cell)
        if not is_error and (shown is not None or b't="str"' in cell):
            return  # calculated; a formula may well result in an empty text
        self.found[int(reference.group(2)), _column(reference.group(1))] = (
            shown.group(1).decode("utf-8", "replace")
            if shown is not None and is_error
            else "#ERROR"
            if is_error
            else ""
        )


def _column(letters: bytes) -> int:
    """The column's index from 0."""
    column = 0
    for letter in letters:
        column = column * 26 + letter - 64
    return column - 1


def padded_styles(archive: zipfile.ZipFile) -> dict[int, int]:
    """Cell styles that show whole numbers with leading zeros (“00000”) → their digits."""
    if "xl/styles.xml" not in archive.namelist():
        return {}
    styles = _xml(archive, "xl/styles.xml")
    formats: dict[str, int] = {}
    found: dict[int, int] = {}
    for element in styles.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "numFmt" and _ZEROS.fullmatch(code := element.get("formatCode", "")):
            formats[element.get("numFmtId", "")] = len(code)
        elif tag == "cellXfs":
            for index, style in enumerate(element):
                if (digits := formats.get(style.get("numFmtId", ""))) is not None:
                    found[index] = digits
    return found


class RepeatGuard:
    """Judges the content of an OpenDocument sheet as it streams by: repeating cells costs a file nothing."""

    MAX_CELLS = 20_000_000

    def __init__(self) -> None:
        self._cells = self._in_row = self._row_repeat = 0
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.Parse(chunk, False)
        except expat.ExpatError as error:
            raise FormatError(f"The document is damaged ({error}).", code="damaged_file") from None

    def _doctype(self, *_: object) -> None:
        raise FormatError("The document declares XML entities. It is refused as unsafe.", code="unsafe_xml")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition("}")[2]
        if name == "table-row":
            self._row_repeat = _repeat(attributes, "number-rows-repeated")
            self._in_row = 0
        elif name in ("table-cell", "covered-table-cell"):
            filled = any(key.endswith("}value-type") for key in attributes)
            if filled:
                self._in_row += _repeat(attributes, "number-columns-repeated")

    def _end(self, tag: str) -> None:
        if tag.endswith("}table-row") and self._in_row:
            self._cells += self._in_row * self._row_repeat
            if self._cells > self.MAX_CELLS or self._in_row > 16_384 * 4:
                raise FormatError(
                    f"The document has more than {self.MAX_CELLS:,} filled cells. It is refused as unsafe.",
                    code="unsafe_archive",
                )


def _repeat(attributes: dict[str, str], name: str) -> int:
    for key, value in attributes.items():
        if key.endswith("}" + name):
            return int(value) if value.isdigit() and len(value) < 10 else 10**9
    return 1


def sheet_parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Sheet name → the archive member that holds its cells. Raises FormatError if this is no workbook."""
    names = set(archive.namelist())
    if "xl/workbook.xml" not in names:
        raise FormatError(_what_else(names), code="wrong_format")
    book = _xml(archive, "xl/workbook.xml")
    targets: dict[str, str] = {}
    if "xl/_rels/workbook.xml.rels" in names:
        for relation in _xml(archive, "xl/_rels/workbook.xml.rels"):
            target = relation.get("Target", "")
            targets[relation.get("Id", "")] = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    parts = {}
    for element in book.iter():
        if element.tag.rpartition("}")[2] == "sheet":
            relation_id = element.get(_REL) or element.get(_STRICT_REL) or ""
            parts[element.get("name", "")] = targets.get(relation_id, "")
    return parts


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    """A small part of the workbook as XML; document types, and with them entities, are refused."""
    if archive.getinfo(name).file_size > 4 * 1_048_576:
        raise FormatError("The workbook's list of sheets is far too large.", code="unsafe_archive")
    try:
        data = archive.read(name)
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise FormatError(
                "The workbook declares XML entities. It is refused as unsafe.", code="unsafe_xml"
            )
        return ElementTree.fromstring(data)  # noqa: S314 - no DOCTYPE, hence no entities
    except (ElementTree.ParseError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise FormatError(f"The workbook is damaged ({error}).", code="damaged_file") from None


def _what_else(names: set[str]) -> str:
    if "word/document.xml" in names:
        return "This is a Word document, not a table. Save its table as .xlsx or CSV."
    if "content.xml" in names:
        return "This is an OpenDocument file without a table. Save its table as .ods, .xlsx or CSV."
    return "This is no Excel workbook. Save the table as .xlsx or CSV."
