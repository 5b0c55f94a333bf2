"""Files that hold a file: gzip, and ZIP archives that are no workbook. Unpacked into a temporary file.

What the archive says of sizes is not believed: bytes are counted while they are unpacked. Names inside an
archive choose a member and are never used as a path.
"""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Options
from apps.jobs.formats.zipguard import MAX_RATIO, RATIO_MATTERS_ABOVE, inflate, open_archive

_CHUNK = 262_144
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MANY = 200


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds: itself, or the member that was unpacked from it."""

    file: BinaryIO
    name: str
    member: str = ""
    members: tuple[str, ...] = ()
    packed: str = ""


def is_zip(head: bytes) -> bool:
    return head.startswith(_ZIP)


def office_kind(names: Iterable[str], archive: zipfile.ZipFile) -> str:
    """Which kind of office document an archive is: xlsx, xlsb, ods, other; empty for a plain archive."""
    found = set(names)
    if "xl/workbook.xml" in found:
        return "xlsx"
    if "xl/workbook.bin" in found:
        return "xlsb"
    if "mimetype" in found and "content.xml" in found:
        kind = archive.read("mimetype")[:100] if archive.getinfo("mimetype").file_size < 200 else b""
        return "ods" if b"spreadsheet" in kind else "other"
    return "other" if "[Content_Types].xml" in found else ""


def _is_beside(name: str) -> bool:
    """Whether it is what our own exports put beside their rows."""
    return name == "manifest.json" or name.endswith("-changes.csv") or name.startswith("attachments/")


def unpack(file: BinaryIO, options: Options, filename: str = "") -> Contents:
    """The file to read: the given one, or what it holds. Raises FormatError for what must not be unpacked."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if head.startswith(_GZIP):
        inner = _gunzip(file, options)
        name = filename[:-3] if filename.lower().endswith(".gz") else filename
        if filename.lower().endswith(".tgz") or name.lower().endswith(".tar"):
            raise FormatError(
                "The file is a TAR archive. Send its tables singly or as ZIP.", code="wrong_format"
            )
        _refuse_nested(inner)
        return Contents(inner, name, packed="gzip")
    if not is_zip(head):
        return Contents(file, filename)
    archive = open_archive(file, max_unpacked=options.max_extracted)
    if office_kind(archive.namelist(), archive):
        file.seek(0)
        return Contents(file, filename)
    entries = {
        entry.filename: entry
        for entry in archive.infolist()
        if not entry.is_dir()
        and not entry.filename.startswith("__MACOSX/")
        and not entry.filename.rpartition("/")[2].startswith(".")
    }
    if not entries:
        raise FormatError("The archive holds no file.", code="empty_file")
    members = tuple(sorted(entries, key=lambda name: (_is_beside(name), name))[:_MANY])
    chosen = options.member or members[0]
    if chosen not in entries:
        listed = ", ".join(f"“{name[:80]}”" for name in members[:10])
        raise FormatError(f"The archive has no file “{chosen[:80]}”; it has {listed}.", code="unknown_member")
    inner = _extract(file, entries[chosen], options)
    _refuse_nested(inner)
    return Contents(inner, chosen.rpartition("/")[2], chosen, members, "zip")


def _extract(file: BinaryIO, entry: zipfile.ZipInfo, options: Options) -> BinaryIO:
    out = _temporary()
    seen = 0
    for chunk in inflate(file, entry):
        seen += len(chunk)
        if seen > entry.file_size:
            raise FormatError(
                "The archive lies about the size of its contents. It is refused as unsafe.",
                code="unsafe_archive",
            )
        _check(seen, options)
        out.write(chunk)
    out.seek(0)
    return out


def _gunzip(file: BinaryIO, options: Options) -> BinaryIO:
    out = _temporary()
    inflater = zlib.decompressobj(31)
    read = seen = 0
    ended = True
    try:
        while packed := file.read(65_536):
            read += len(packed)
            while packed:
                if inflater.eof:
                    if not packed.startswith(_GZIP[:1]):
                        break  # padding after the last part
                    inflater = zlib.decompressobj(31)
                chunk = inflater.decompress(packed, _CHUNK)
                seen += len(chunk)
                _check(seen, options)
                if seen > RATIO_MATTERS_ABOVE and seen > read * MAX_RATIO:
                    raise FormatError(
                        f"The file unpacks to more than {MAX_RATIO} times its size. It is refused as unsafe.",
                        code="unsafe_archive",
                    )
                out.write(chunk)
                packed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            ended = inflater.eof
        if not ended:
            rest = inflater.flush()
            if not inflater.eof:
                raise zlib.error("the file ends too early")
            out.write(rest)
    except zlib.error as error:
        raise FormatError(f"The file is damaged ({error}). Send it again.", code="damaged_file") from None
    out.seek(0)
    return out


def _temporary() -> Any:
    return tempfile.TemporaryFile()


def _check(seen: int, options: Options) -> None:
    if seen > options.max_extracted:
        raise FormatError(
            f"Unpacked, the file is larger than {options.max_extracted // 1_048_576:,} MB. Split it.",
            code="too_large_unpacked",
        )


def _refuse_nested(file: BinaryIO) -> None:
    head = file.read(4)
    file.seek(0)
    if head.startswith(_GZIP) or (is_zip(head) and not _is_office(file)):
        raise FormatError(
            "The archive holds another archive. Unpack it and upload the table itself.", code="nested_archive"
        )


def _is_office(file: BinaryIO) -> bool:
    archive = open_archive(file, max_unpacked=2**62)
    kind = office_kind(archive.namelist(), archive)
    file.seek(0)
    return bool(kind)
