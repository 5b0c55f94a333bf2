"""What calamine does not tell: where each sheet lies, and which cells hold no proper value."""

from __future__ import annotations

import re
import zipfile
from xml.etree import ElementTree

from apps.jobs.formats.errors import FormatError

_MAX_MARKS = 100_000
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_REL = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')
_SHOWN = re.compile(rb"<v>([^<]{1,20})</v>")


class Marks:
    """Finds, in a sheet's XML as it streams by, cells that hold an error or a formula without a value."""

    _HINTS = (b't="e"', b"</f></c>", b"</f><v></v>", b"</f><v/>", b"</f><v />", b'"/></c>')

    def __init__(self) -> None:
        self.found: dict[tuple[int, int], str] = {}
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        end = data.rfind(b"</c>") + 4
        if end < 4:
            self._rest = data[-65_536:]
            return
        self._rest = data[end:]
        if not any(hint in data for hint in self._HINTS):
            return
        for hint in self._HINTS:
            at = data.find(hint, 0, end)
            while at >= 0 and len(self.found) < _MAX_MARKS:
                self._note(data, at, is_error=hint == b't="e"')
                at = data.find(hint, at + len(hint), end)

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
        column = 0
        for letter in reference.group(1):
            column = column * 26 + letter - 64
        self.found[int(reference.group(2)), column - 1] = (
            shown.group(1).decode("utf-8", "replace")
            if shown is not None and is_error
            else "#ERROR"
            if is_error
            else ""
        )


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
    if "xl/workbook.bin" in names:
        return "This is a binary Excel workbook (.xlsb). Save it as .xlsx and upload it again."
    if "word/document.xml" in names:
        return "This is a Word document, not a table. Save its table as .xlsx or CSV."
    if "content.xml" in names:
        return "This is an OpenDocument file. Save it as .xlsx or CSV and upload it again."
    return "This is a ZIP archive, not an Excel workbook. Unpack it and upload the table itself."
