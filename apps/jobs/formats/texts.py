"""Text in a binary file: its encoding, its characters as a stream, and a sentence where it cannot be read."""

from __future__ import annotations

import codecs
import io
from typing import Any, BinaryIO

from apps.jobs.formats.encodings import NAMES, detect, first_undecodable, is_known
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.tables import Options

_MARKED = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


class Position:
    """How far a file has been read, from 0 to 1."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.size = raw.seek(0, io.SEEK_END)
        raw.seek(0)

    def __call__(self) -> float:
        try:
            return min(1.0, self._raw.tell() / self.size) if self.size else 1.0
        except ValueError:  # closed meanwhile
            return 1.0


class _Unowned(io.BufferedReader):
    """Lets TextIOWrapper read a file that stays its owner's when the wrapper is thrown away."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_Raw(file), buffer_size=262_144)


class _Raw(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def text_of(file: BinaryIO, encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    file.seek(0)
    if encoding in _MARKED and file.read(2) != _MARKED[encoding]:
        file.seek(0)
    return io.TextIOWrapper(_Unowned(file), encoding=codec, errors=errors, newline="")


def choose_encoding(file: BinaryIO, options: Options) -> tuple[str, list[str]]:
    if options.encoding:
        name = options.encoding.lower()
        if not is_known(name):
            raise FormatError(
                f"“{options.encoding[:40]}” is no encoding that can be read here.", code="unknown_encoding"
            )
        return name, []
    found = detect(file)
    if found.sure:
        return found.name, []
    return found.name, [
        f"Read as {found.label} ({found.reason}). If letters look wrong, choose another encoding."
    ]


class decoding:
    """Turns a decoding error into a sentence with the place where it happened."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._encoding = file, encoding

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnicodeError):
            raise _undecodable(self._file, self._encoding) from None


def _undecodable(file: BinaryIO, encoding: str) -> FormatError:
    place = first_undecodable(file, encoding)
    where = f" Byte {place[0]:,} on line {place[1]:,} does not belong to it." if place else ""
    return FormatError(
        f"The file is not {NAMES.get(encoding, encoding)} throughout.{where} "
        "Choose the encoding in which it was saved.",
        code="wrong_encoding",
        line=place[1] if place else None,
    )
