"""The formats that can be read, by what the bytes are rather than by what the file is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from apps.jobs.formats.delimited import FILE_TYPE as CSV
from apps.jobs.formats.delimited import open_delimited
from apps.jobs.formats.encodings import utf16_without_mark
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Options, Table
from apps.jobs.formats.workbook import FILE_TYPE as XLSX
from apps.jobs.formats.workbook import open_workbook
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


def _is_zip(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    if utf16_without_mark(head):
        return True
    # A NUL or two is a row's problem, not the file's; many control characters are no text.
    controls = sum(head.count(code) for code in (*range(9), *range(14, 27), *range(28, 32)))
    return controls <= max(3, len(head) // 50)


formats.register(
    Format(
        XLSX,
        "Excel workbook",
        (".xlsx", ".xlsm"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _is_zip,
        open_workbook,
    )
)
formats.register(Format(CSV, "CSV", (".csv", ".tsv", ".tab", ".txt"), "text/csv", _is_text, open_delimited))


def recognize(head: bytes, filename: str = "") -> Format:
    """The format of a file that begins with `head` (8 KB). Raises FormatError that says what it is."""
    if not head:
        raise FormatError("The file is empty.", code="empty_file")
    named = f"“{filename[-80:]}” " if filename else "The file "
    if head.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in head:
            raise FormatError(f"{named}is protected by a password. Save it without one.", code="password")
        raise FormatError(
            f"{named}is an old Excel workbook (.xls) or protected by a password. "
            "Open it in Excel, save it as .xlsx and upload that.",
            code="wrong_format",
        )
    for magic, what in _OTHERS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n")[: len(magic)].lower() == magic:
            raise FormatError(f"{named}is {what}. CSV, TSV and .xlsx can be imported.", code="wrong_format")
    for candidate in formats:
        if candidate.matches(head):
            return candidate
    raise FormatError(
        f"{named}is no table that can be read. CSV, TSV and .xlsx can be imported.", code="wrong_format"
    )


_OTHERS = (
    (b"%pdf-", "a PDF document"),
    (b"<!doctype html", "a web page (HTML), even if its name says otherwise"),
    (b"<html", "a web page (HTML), even if its name says otherwise"),
    (b"<table", "a web page (HTML), even if its name says otherwise"),
    (b"<?xml", "an XML document"),
    (b"\x1f\x8b", "packed with gzip; unpack it first"),
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
    """Open a seekable binary file as a table. Raises FormatError when it cannot be read as asked."""
    options = options or Options()
    if file_type is None:
        file.seek(0)
        chosen = recognize(file.read(HEAD), filename)
    else:
        known = formats.get(file_type)
        if known is None:
            raise FormatError(f"Files of type “{file_type[:40]}” cannot be read.", code="wrong_format")
        chosen = known
    table = chosen.open(file, options)
    extension = "." + filename.lower().rpartition(".")[2] if "." in filename else ""
    if extension in {e for other in formats if other is not chosen for e in other.extensions}:
        table.notices.insert(0, f"The file is called {extension} but is {chosen.label}; it is read as that.")
    return table
