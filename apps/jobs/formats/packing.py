"""What exported files are packed into: gzip, ZIP, ZIP with a password (AES-256: WinZip, 7-Zip)."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyzipper

CHUNK = 1_048_576
ALREADY = frozenset(("xlsx", "pdf", "zip", "gz", "jpg", "jpeg", "png", "docx", "pptx", "mp4", "mp3", "7z"))
"""Endings of files that are not made smaller again."""


@dataclass(frozen=True)
class Member:
    """One file of an archive: its name there, and the open file, read from its beginning."""

    name: str
    file: BinaryIO


def gzipped(source: BinaryIO, target: BinaryIO, name: str) -> None:
    """The file as gzip; nothing about time or machine is written into it."""
    source.seek(0)
    with gzip.GzipFile(filename=name, mode="wb", compresslevel=6, fileobj=target, mtime=0) as packed:
        shutil.copyfileobj(source, packed, CHUNK)


def zipped(members: Iterable[Member], target: BinaryIO, *, password: str = "") -> int:
    """The files as a ZIP archive, encrypted with the password if there is one. Returns how many there are."""
    count = 0
    with _archive(target, password) as archive:
        for member in members:
            count += 1
            ending = member.name.rpartition(".")[2].lower()
            archive.compression = zipfile.ZIP_STORED if ending in ALREADY else zipfile.ZIP_DEFLATED
            member.file.seek(0)
            with archive.open(member.name, "w", force_zip64=True) as part:
                shutil.copyfileobj(member.file, part, CHUNK)
    return count


def _archive(target: BinaryIO, password: str) -> Any:
    if not password:
        return zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
    archive = pyzipper.AESZipFile(target, "w", compression=pyzipper.ZIP_DEFLATED)
    archive.setencryption(pyzipper.WZ_AES, nbits=256)
    archive.setpassword(password.encode())
    return archive
