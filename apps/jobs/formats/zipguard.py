"""What a ZIP archive may cost, decided before anybody parses it.

The directory is checked first (a million entries are refused by its size alone, without reading them), then
every member is inflated and counted, because the sizes that an archive declares may be lies.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from apps.jobs.formats.errors import FormatError

MAX_ENTRIES = 5_000
MAX_DIRECTORY = 2 * 1_048_576
MAX_RATIO = 250
RATIO_MATTERS_ABOVE = 32 * 1_048_576
_CHUNK = 1_048_576

Watch = Callable[[bytes], None]
"""Is given the unpacked bytes of one member, chunk by chunk."""


def _refuse(detail: str) -> FormatError:
    return FormatError(f"{detail} It is refused as unsafe.", code="unsafe_archive")


def directory_size(file: BinaryIO) -> int:
    """The bytes of the archive's directory as its end record tells. Raises FormatError if there is none."""
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise FormatError(
            "The file is damaged: it is no complete archive. Save or send it again.", code="damaged_file"
        )
    (length,) = struct.unpack_from("<I", tail, at + 12)
    if length == 0xFFFFFFFF:
        locator = tail.rfind(b"PK\x06\x06", 0, at)
        if locator < 0 or len(tail) < locator + 48:
            raise _refuse("The archive has a directory of more than 4 GB.")
        (length,) = struct.unpack_from("<Q", tail, locator + 40)
    return int(length)


def open_archive(file: BinaryIO, *, max_unpacked: int) -> zipfile.ZipFile:
    """The archive, if its directory is modest. Raises FormatError otherwise."""
    if directory_size(file) > MAX_DIRECTORY:
        raise _refuse("The archive has far too many entries.")
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise FormatError(
            f"The file is damaged ({error}). Save or send it again.", code="damaged_file"
        ) from None
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _refuse(f"The archive has {len(entries):,} entries.")
    if any(entry.flag_bits & 0x1 for entry in entries):
        raise FormatError("The archive is protected by a password. Save it without one.", code="password")
    if sum(entry.file_size for entry in entries) > max_unpacked:
        raise _too_much(max_unpacked)
    for entry in entries:
        _check_ratio(entry.file_size, entry.compress_size)
    return archive


def _too_much(limit: int) -> FormatError:
    return FormatError(
        f"Unpacked, the file is larger than {limit // 1_048_576:,} MB. "
        "Save it as CSV, which has no such limit, or split it.",
        code="too_large_unpacked",
    )


def _check_ratio(unpacked: int, packed: int) -> None:
    if unpacked > RATIO_MATTERS_ABOVE and unpacked > max(packed, 1) * MAX_RATIO:
        raise _refuse(f"The archive unpacks to {unpacked // max(packed, 1):,} times its size.")


def inspect(
    archive: zipfile.ZipFile, file: BinaryIO, *, max_unpacked: int, watch: dict[str, Watch] | None = None
) -> None:
    """Inflate every member, count the bytes and hand those of some members to their watcher.

    Raises FormatError for a member larger than declared, more bytes than allowed, or damage.
    """
    total = 0
    for entry in archive.infolist():
        seen = 0
        member_watch = (watch or {}).get(entry.filename)
        for chunk in inflate(file, entry):
            seen += len(chunk)
            total += len(chunk)
            if seen > entry.file_size:
                raise _refuse("The archive lies about the size of its contents.")
            if total > max_unpacked:
                raise _too_much(max_unpacked)
            if member_watch is not None:
                member_watch(chunk)
    file.seek(0)


def inflate(file: BinaryIO, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The unpacked bytes of one member, in chunks of at most 1 MB. Raises FormatError for damage."""
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise FormatError("The file is damaged. Save or send it again.", code="damaged_file")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    file.seek(name_length + extra_length, io.SEEK_CUR)
    left = entry.compress_size
    if entry.compress_type == zipfile.ZIP_STORED:
        while left > 0 and (stored := file.read(min(left, _CHUNK))):
            left -= len(stored)
            yield stored
        return
    if entry.compress_type != zipfile.ZIP_DEFLATED:
        raise FormatError(
            "The archive uses a way of packing that cannot be read; ZIP with “deflate” can.",
            code="damaged_file",
        )
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        while left > 0 and not inflater.eof:
            packed = file.read(min(left, 65_536))
            if not packed:
                raise zlib.error("the file ends too early")
            left -= len(packed)
            while packed:
                yield inflater.decompress(packed, _CHUNK)
                packed = inflater.unconsumed_tail
        while not inflater.eof and (rest := inflater.flush()):
            yield rest
    except zlib.error as error:
        raise FormatError(
            f"The file is damaged ({error}). Save or send it again.", code="damaged_file"
        ) from None
