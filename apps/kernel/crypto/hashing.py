"""Keyed hashes of high-entropy secrets (API keys, tokens): HMAC-SHA256 with a pepper that has an id.

The pepper's id is stored beside the digest, so that peppers rotate without breaking what they hashed. The
purpose separates domains: the digest of one value for two purposes differs.
"""

from __future__ import annotations

import contextlib
import hmac
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Self

from django.conf import settings

from apps.kernel.crypto import keyfile
from apps.kernel.crypto.errors import KeyFileExists, KeyRingError

ENV_NAME = "HUB_PEPPERS"
_PREFIX = "p"


class PepperRing:
    """Peppers by id; the active one hashes, every one verifies."""

    def __init__(self, keys: keyfile.Keys, path: Path | None = None) -> None:
        self._keys = keys
        self._path = path

    def __repr__(self) -> str:
        return f"<PepperRing active={self.active_id!r} peppers={list(self.pepper_ids)!r}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("A pepper ring is not pickled: its peppers would leave the process.")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The ring of a pepper file. Raises KeyRingError."""
        return cls(keyfile.read(Path(path)), Path(path))

    @classmethod
    def from_env(cls, text: str) -> Self:
        """The ring of `id:base64,…` (the first is active) or of a key file's JSON. Raises KeyRingError."""
        return cls(keyfile.parse_text(text, ENV_NAME))

    @classmethod
    def generate_file(cls, path: str | Path) -> Self:
        """Create a pepper file with one random pepper. Raises KeyRingError if the file exists."""
        keys = keyfile.first(_PREFIX)
        keyfile.create(Path(path), keys)
        return cls(keys, Path(path))

    @classmethod
    def load_or_generate(cls, path: str | Path) -> Self:
        """The ring of a pepper file, created if there is none, also by several processes at once."""
        if not Path(path).exists():
            with contextlib.suppress(KeyFileExists):
                return cls.generate_file(path)
        return cls.load(path)

    @property
    def active_id(self) -> str:
        return self._keys.active

    @property
    def pepper_ids(self) -> tuple[str, ...]:
        return self._keys.ids

    def add_key(self) -> str:
        """Add a random pepper, make it active, and return its id. Raises KeyRingError if there is no file."""
        if self._path is None:
            raise KeyRingError(
                f"The peppers come from {ENV_NAME}: put the new one first in that variable and restart."
            )
        with keyfile.locked(self._path):
            keys = keyfile.read(self._path).with_new(_PREFIX)
            keyfile.replace(self._path, keys)
        self._keys = keys
        return keys.active

    def drop_keys(self, pepper_ids: Collection[str]) -> None:
        """Forget peppers for good: what they hashed matches nothing. KeyRingError for the active one."""
        if self._path is None:
            raise KeyRingError(f"The peppers come from {ENV_NAME}: remove the unused ones there.")
        with keyfile.locked(self._path):
            keys = keyfile.read(self._path).without(pepper_ids)
            keyfile.replace(self._path, keys)
        self._keys = keys

    def digest(self, value: str, *, purpose: str) -> tuple[str, bytes]:
        """The active pepper's id and the 32-byte HMAC-SHA256 of `value` for `purpose`."""
        keys = self._keys
        return keys.active, _hash(keys.keys[keys.active], value, purpose)

    def digests(self, value: str, *, purpose: str) -> list[bytes]:
        """The digest with each pepper: what a value may have been kept as, to find it by."""
        return [_hash(pepper, value, purpose) for pepper in self._keys.keys.values()]

    def digest_with(self, pepper_id: str, value: str, *, purpose: str) -> bytes | None:
        """The digest with the pepper of this id; None for an unknown pepper."""
        pepper = self._keys.keys.get(pepper_id)
        return None if pepper is None else _hash(pepper, value, purpose)

    def verify(self, value: str, pepper_id: str, digest: bytes, purpose: str) -> bool:
        """Whether `digest` is that of `value`; constant time. False for an unknown pepper."""
        pepper = self._keys.keys.get(pepper_id)
        if pepper is None:
            return False
        return hmac.compare_digest(_hash(pepper, value, purpose), bytes(digest))


def _hash(pepper: bytes, value: str, purpose: str) -> bytes:
    label = purpose.encode()
    # The length in front keeps (purpose, value) pairs apart whatever bytes either holds.
    message = len(label).to_bytes(2, "big") + label + value.encode("utf-8", "surrogatepass")
    return hmac.digest(pepper, message, "sha256")


def digest(value: str, *, purpose: str) -> tuple[str, bytes]:
    """The pepper's id and the digest of `value`, with the hub's peppers."""
    return get_peppers().digest(value, purpose=purpose)


def verify(value: str, pepper_id: str, digest: bytes, purpose: str) -> bool:
    """Whether `digest` is that of `value`, with the hub's peppers; constant time."""
    return get_peppers().verify(value, pepper_id, digest, purpose)


_lock = threading.Lock()
_cached: tuple[keyfile.Source, PepperRing] | None = None


def get_peppers() -> PepperRing:
    """The hub's peppers: the setting HUB_PEPPERS_JSON (text) or HUB_PEPPERS (a file), else the variable.

    Read again when the text or the file has changed, so that a rotation reaches every process without a
    restart. Raises KeyRingError.
    """
    global _cached
    source = keyfile.source(
        text=getattr(settings, "HUB_PEPPERS_JSON", "") or "",
        path=getattr(settings, "HUB_PEPPERS", None),
        env_name=ENV_NAME,
    )
    cached = _cached
    if cached is not None and cached[0] == source:
        return cached[1]
    with _lock:
        ring = PepperRing.from_env(source.text) if source.path is None else PepperRing.load(source.path)
        _cached = (source, ring)
    return ring
