"""Named 256-bit keys in a JSON file or an environment variable: the common ground of both rings.

File: `{"active": "k2", "keys": {"k1": "<base64 of 32 bytes>", "k2": "…"}}`, mode 0600.
Environment: the same JSON, or `k2:<base64>,k1:<base64>`, of which the first is active.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apps.kernel.crypto.errors import KeyFileExists, KeyRingError

KEY_BYTES = 32
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Keys:
    """Keys by id, and the id of the one that new work is done with. Key bytes never show in a repr."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            raise KeyRingError(f"The active key {self.active!r} is not among the keys of the ring.")
        for key_id, key in self.keys.items():
            if not _KEY_ID.match(key_id):
                raise KeyRingError(
                    f"The key id {key_id[:80]!r} is not valid: use 1 to 64 letters, digits, '.', '_' or '-'."
                )
            if len(key) != KEY_BYTES:
                raise KeyRingError(f"The key {key_id!r} has {len(key)} bytes, not {KEY_BYTES}.")

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.keys)

    def with_new(self, prefix: str) -> Keys:
        """A copy with a fresh random key, which is active; its id is the next free number."""
        numbers = [
            int(k[len(prefix) :]) for k in self.keys if re.fullmatch(re.escape(prefix) + r"\d{1,9}", k)
        ]
        key_id = f"{prefix}{max(numbers, default=0) + 1}"
        return Keys(key_id, {**self.keys, key_id: secrets.token_bytes(KEY_BYTES)})

    def without(self, key_ids: Collection[str]) -> Keys:
        """A copy without some keys. Raises KeyRingError if the active key is among them."""
        if self.active in key_ids:
            raise KeyRingError(f"The active key {self.active!r} cannot be dropped.")
        return Keys(self.active, {k: v for k, v in self.keys.items() if k not in key_ids})


def first(prefix: str) -> Keys:
    """A ring of one fresh random key."""
    return Keys(f"{prefix}1", {f"{prefix}1": secrets.token_bytes(KEY_BYTES)})


def parse_text(text: str, name: str) -> Keys:
    """Keys from `id:base64,id:base64`, or from the file's JSON. Raises KeyRingError, which quotes no key."""
    if text.lstrip().startswith("{"):
        return _parse_json(text, name)
    keys: dict[str, bytes] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key_id, separator, encoded = part.partition(":")
        if not separator:
            raise KeyRingError(f"{name} is not of the form id:base64,id:base64.")
        if key_id in keys:
            raise KeyRingError(f"{name} names the key {key_id[:80]!r} twice.")
        keys[key_id] = _decode(encoded, key_id, name)
    if not keys:
        raise KeyRingError(f"{name} holds no key.")
    return Keys(next(iter(keys)), keys)


def read(path: Path) -> Keys:
    """Keys of a file. Raises KeyRingError if it is absent, malformed or open to other users."""
    try:
        with path.open("rb") as handle:
            mode = stat.S_IMODE(os.fstat(handle.fileno()).st_mode)
            data = handle.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise KeyRingError(f"The key file {path} does not exist.") from None
    except OSError as exc:
        raise KeyRingError(f"The key file {path} cannot be read: {exc.strerror}.") from None
    if mode & 0o027:
        raise KeyRingError(f"The key file {path} is open to other users (mode {mode:04o}): chmod 600 it.")
    return _parse_json(data, f"The key file {path}")


def create(path: Path, keys: Keys) -> None:
    """Write a new file, atomically, mode 0600. Raises KeyFileExists, or KeyRingError."""
    with _said_clearly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _write_temporary(path, keys)
        try:
            os.link(temporary, path)  # unlike rename(2), link(2) refuses to replace
        except FileExistsError:
            raise KeyFileExists(f"The key file {path} exists already and is never overwritten.") from None
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)


def replace(path: Path, keys: Keys) -> None:
    """Replace a file, atomically and durably, mode 0600. Call it within `locked`."""
    with _said_clearly(path):
        temporary = _write_temporary(path, keys)
        try:
            os.rename(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Exclude other processes that change the same file, so that no key is lost between read and write."""
    with _said_clearly(path):
        lock = path.with_name(path.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said_clearly(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise KeyRingError(f"The key file {path} cannot be written: {exc.strerror}.") from None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a ring's keys come from: a text, or a file as it was when it was looked at."""

    text: str = field(default="", repr=False)
    path: Path | None = None
    seen: tuple[int, int, int] | None = None


def source(*, text: str, path: str | Path | None, env_name: str) -> Source:
    """The configured source: `text`, else `path`, else the environment. Raises KeyRingError if none is."""
    if not text and not path:
        text = os.environ.get(env_name, "")
    if text:
        return Source(text=text)
    if not path:
        raise KeyRingError(f"No keys are configured: set {env_name}, or the path of a key file.")
    return Source(path=Path(path), seen=fingerprint(Path(path)))


def fingerprint(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does: inode, size, modification time in ns. None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _parse_json(text: str | bytes, where: str) -> Keys:
    try:
        document = json.loads(text)
        active, encoded = document["active"], document["keys"]
        if not isinstance(active, str) or not isinstance(encoded, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KeyRingError(
            f'{where} is not of the form {{"active": "k1", "keys": {{"k1": "<base64 of 32 bytes>"}}}}.'
        ) from None
    return Keys(active, {key_id: _decode(value, key_id, where) for key_id, value in encoded.items()})


def _decode(text: object, key_id: str, where: str) -> bytes:
    try:
        if isinstance(text, str):
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise KeyRingError(f"The key {key_id[:80]!r} in {where} is not base64.") from None


def _write_temporary(path: Path, keys: Keys) -> Path:
    document = {
        "active": keys.active,
        "keys": {k: base64.b64encode(v).decode("ascii") for k, v in keys.keys.items()},
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(json.dumps(document, indent=1).encode("ascii") + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
