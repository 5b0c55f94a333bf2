"""What every place can do, what it may say when it cannot, and which names and paths are taken from it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from apps.kernel.errors import TerminalError, TransientError

MAX_LISTED = 20_000
"""Entries of one folder that are looked at; more is told to be too many."""
CHUNK = 256 * 1024


class PlaceRefused(TerminalError):
    """The place says no, and will say so again: wrong keys, no such file, no right to write."""

    code = "place_refused"
    status = 422
    title = "The place refused"


class PlaceUnreachable(TransientError):
    """The place does not answer as it should just now."""

    code = "place_unreachable"
    status = 502
    title = "The place cannot be reached"


class FileChanged(PlaceUnreachable):
    """Somebody wrote the file while it was read."""

    code = "file_changed"
    title = "The file was changed while it was read"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a place is and how one is let in. `repr` tells no secret."""

    kind: str
    host: str = ""
    port: int = 22
    host_key: str = ""
    endpoint_url: str = ""
    region: str = ""
    bucket: str = ""
    base_url: str = ""
    folder: str = ""
    username: str = ""
    secrets: dict[str, Any] = field(default_factory=dict, repr=False)
    allow_http: bool | None = None  # None: as the hub's policy has it

    def secret(self, name: str) -> str:
        return str(self.secrets.get(name) or "")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at a place. `path` is below the place's folder; `version` differs once the file is another."""

    path: str
    size: int
    modified_at: datetime | None
    version: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Place(Protocol):
    """An open place. All raise PlaceRefused, PlaceUnreachable and the errors of outbound calls."""

    def test(self) -> str:
        """Try to get in and look around; a sentence about what was found."""

    def files(self, folder: str) -> list[RemoteFile]:
        """The files in a folder (not in those below it)."""

    def download(self, file: RemoteFile, into: BinaryIO, *, max_bytes: int, seconds: float) -> RemoteFile:
        """Write the file into `into`. Raises FileChanged if it is not the one that was listed any more."""

    def upload(self, path: str, content: BinaryIO) -> None:
        """Store a file whole or not at all, in the place of one of that name."""

    def move(self, path: str, to: str) -> None: ...

    def delete(self, path: str) -> None: ...

    def close(self) -> None: ...


def checked_path(text: str, *, what: str = "path") -> str:
    """A path below a folder, without slashes at its ends. Raises ValueError with a sentence."""
    path = text.strip().strip("/")
    if any(not char.isprintable() for char in path) or "\\" in path:
        raise ValueError(f"The {what} has a backslash or a character that cannot be seen.")
    if any(part in ("..", ".") for part in path.split("/")):
        raise ValueError(f"The {what} may not lead upwards with “..”.")
    return path


def safe_name(name: str) -> bool:
    """Whether a name in a listing is one file's name and nothing that leads elsewhere, or hides."""
    return (
        bool(name)
        and len(name) <= 255
        and not name.startswith(".")
        and "/" not in name
        and "\\" not in name
        and all(char.isprintable() for char in name)
    )


def join(*parts: str) -> str:
    """A path of parts, without doubled slashes."""
    return "/".join(filter(None, (part.strip("/") for part in parts)))


def matching(files: Iterable[RemoteFile], pattern: str) -> list[RemoteFile]:
    """Those whose names fit a glob pattern (case matters), the oldest first."""
    found = [file for file in files if fnmatch.fnmatchcase(file.name, pattern or "*")]
    return sorted(found, key=lambda f: (f.modified_at.timestamp() if f.modified_at else 0.0, f.path))
