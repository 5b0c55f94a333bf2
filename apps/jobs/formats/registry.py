"""The formats that can be read, by what the bytes are rather than by what the file is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from apps.jobs.formats import json_records, pdf, workbook, xml_records
from apps.jobs.formats.containers import Contents, is_zip, office_kind, unpack
from apps.jobs.formats.delimited import FILE_TYPE as CSV
from apps.jobs.formats.delimited import open_delimited
from apps.jobs.formats.encodings import utf16_without_mark
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Options, Table
from apps.jobs.formats.zipguard import open_archive
from apps.kernel.registry import Registry


@dataclass(frozen=True)
class Format:
    """A kind of file. `open` gives the table; `matches` judges the first 8 KB."""

    name: str
    label: str
    extensions: tuple[str, ...]
    mime_type: str
    matches: Callable[[bytes], bool]
    open: Callable[[BinaryIO, Options], Table]


formats: Registry[Format] = Registry("File format")
HEAD = 8_192
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
READABLE = "CSV, Excel, OpenDocument, JSON, NDJSON, XML and PDF, also packed as ZIP or gzip, can be imported."
_SPACES = b"\xef\xbb\xbf \t\r\n"
_OBJECT = re.compile(r'\s*\{\s*("|\}|$)')
_ARRAY = re.compile(r"\s*\[\s*(\{|\[|\]|$)")


def _start(head: bytes) -> str:
    """The first characters as text, as far as a JSON reader would take them."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "ignore")
    guess = utf16_without_mark(head)
    return head.decode(guess.name if guess else "utf-8-sig", "ignore")


def _is_ndjson(head: bytes) -> bool:
    lines = [line for line in _start(head).splitlines() if line.strip()]
    if not lines or not _OBJECT.match(lines[0]):
        return False
    complete = lines if len(head) < HEAD else lines[:-1]
    if len(complete) < 2:
        # One line: a single object is read as a document, unless it is cut off and more may follow.
        return False
    return complete[0].rstrip().endswith("}") and bool(_OBJECT.match(complete[1]))


def _is_json(head: bytes) -> bool:
    text = _start(head)
    return bool(_OBJECT.match(text) or _ARRAY.match(text))


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    if utf16_without_mark(head):
        return True
    # A NUL or two is a row's problem, not the file's; many control characters are no text.
    controls = sum(head.count(code) for code in (*range(9), *range(14, 27), *range(28, 32)))
    return controls <= max(3, len(head) // 50)


for _format in (
    Format(
        "xlsx",
        "Excel workbook",
        (".xlsx", ".xlsm"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        is_zip,
        workbook.open_workbook,
    ),
    Format(
        "xlsb",
        "binary Excel workbook",
        (".xlsb",),
        "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
        lambda head: False,  # told by the archive's names
        workbook.open_xlsb,
    ),
    Format(
        "ods",
        "OpenDocument spreadsheet",
        (".ods",),
        "application/vnd.oasis.opendocument.spreadsheet",
        lambda head: False,  # told by the archive's names
        workbook.open_ods,
    ),
    Format(
        "xls",
        "old Excel workbook",
        (".xls",),
        "application/vnd.ms-excel",
        lambda head: head.startswith(_OLE),
        workbook.open_xls,
    ),
    Format(
        "pdf",
        "PDF document",
        (".pdf",),
        "application/pdf",
        lambda head: head.lstrip(_SPACES).startswith(b"%PDF-"),
        pdf.open_pdf,
    ),
    Format("xml", "XML", (".xml",), "application/xml", xml_records.looks_like_xml, xml_records.open_xml),
    Format(
        json_records.NDJSON,
        "NDJSON",
        (".ndjson", ".jsonl"),
        "application/x-ndjson",
        _is_ndjson,
        json_records.open_ndjson,
    ),
    Format(json_records.JSON, "JSON", (".json",), "application/json", _is_json, json_records.open_json),
    Format(CSV, "CSV", (".csv", ".tsv", ".tab", ".txt"), "text/csv", _is_text, open_delimited),
):
    formats.register(_format)


def recognize(head: bytes, filename: str = "") -> Format:
    """The format of a file that begins with `head` (8 KB). Raises FormatError that says what it is."""
    if not head:
        raise FormatError("The file is empty.", code="empty_file")
    named = f"“{filename[-80:]}” " if filename else "The file "
    if head.startswith(_OLE) and "EncryptedPackage".encode("utf-16-le") in head:
        raise FormatError(f"{named}is protected by a password. Save it without one.", code="password")
    start = head.lstrip(_SPACES)
    for magic, what in _OTHERS:
        if start[: len(magic)].lower() == magic:
            raise FormatError(f"{named}is {what}. {READABLE}", code="wrong_format")
    extension = "." + filename.lower().rpartition(".")[2] if "." in filename else ""
    for candidate in formats:
        # A cut-off first line does not tell NDJSON from one object; the file's name may.
        if extension in candidate.extensions and candidate.name == json_records.NDJSON and _is_json(head):
            return candidate
        if candidate.matches(head):
            return candidate
    raise FormatError(f"{named}is no table that can be read. {READABLE}", code="wrong_format")


_OTHERS = (
    (b"<!doctype html", "a web page (HTML), even if its name says otherwise"),
    (b"<html", "a web page (HTML), even if its name says otherwise"),
    (b"<table", "a web page (HTML), even if its name says otherwise"),
    (b"{\\rtf", "a text document (RTF)"),
    (b"\x89png", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"sqlite format 3\0", "a SQLite database"),
    (b"par1", "a Parquet file"),
)


def open_table(
    file: BinaryIO, options: Options | None = None, *, file_type: str | None = None, filename: str = ""
) -> Table:
    """Open a seekable binary file as a table, unpacking it first if it is packed.

    Raises FormatError when it cannot be read as asked.
    """
    options = options or Options()
    contents = unpack(file, options, filename)
    if file_type is None or contents.packed:
        chosen = _recognized(contents)
    else:
        known = formats.get(file_type)
        if known is None:
            raise FormatError(f"Files of type “{file_type[:40]}” cannot be read.", code="wrong_format")
        chosen = known
    table = chosen.open(contents.file, options)
    if contents.packed:
        table.findings.member, table.findings.members = contents.member, contents.members
    if len(contents.members) > 1:
        others = ", ".join(f"“{name}”" for name in contents.members[:8] if name != contents.member)
        table.notices.insert(0, f"The archive's “{contents.member}” is read; there are also {others}.")
    name = contents.name
    extension = "." + name.lower().rpartition(".")[2] if "." in name else ""
    if extension in {e for other in formats if other is not chosen for e in other.extensions}:
        table.notices.insert(0, f"The file is called {extension} but is {chosen.label}; it is read as that.")
    return table


def _recognized(contents: Contents) -> Format:
    contents.file.seek(0)
    head = contents.file.read(HEAD)
    contents.file.seek(0)
    if is_zip(head):
        archive = open_archive(contents.file, max_unpacked=2**62)
        kind = office_kind(archive.namelist(), archive)
        contents.file.seek(0)
        return formats[kind if kind in ("xlsb", "ods") else "xlsx"]
    return recognize(head, contents.name)
