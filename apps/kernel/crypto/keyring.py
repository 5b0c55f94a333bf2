"""The key ring: authenticated encryption of small secrets with AES-256-GCM (NIST SP 800-38D).

Envelope: version byte 1, length of the key id, key id, 12-byte random nonce, ciphertext with 16-byte tag. The
header is authenticated together with the caller's AAD, which names the place that the secret belongs to, so
that an envelope moved to another row, field or key does not decrypt.

Random nonces: at most 2**32 encryptions per key are safe; rotate long before.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from apps.kernel.crypto import keyfile
from apps.kernel.crypto.errors import DecryptionFailed, KeyFileExists, KeyRingError

ENV_NAME = "HUB_ENCRYPTION_KEYS"
_PREFIX = "k"
_VERSION = 1
_NONCE = 12
_TAG = 16

__all__ = ["DecryptionFailed", "KeyRing", "KeyRingError", "get_keyring"]


class KeyRing:
    """Encryption keys by id; the active one encrypts, every one decrypts."""

    def __init__(self, keys: keyfile.Keys, path: Path | None = None) -> None:
        self._path = path
        self._adopt(keys)

    def _adopt(self, keys: keyfile.Keys) -> None:
        ciphers = {key_id: AESGCM(key) for key_id, key in keys.keys.items()}
        name = keys.active.encode("ascii")
        header = bytes([_VERSION, len(name)]) + name
        # One assignment, so that a thread never meets a header of one ring with a cipher of another.
        self._state = (keys, ciphers, header, ciphers[keys.active])

    def __repr__(self) -> str:
        return f"<KeyRing active={self.active_id!r} keys={list(self.key_ids)!r}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("A key ring is not pickled: its keys would leave the process.")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The ring of a key file. Raises KeyRingError."""
        return cls(keyfile.read(Path(path)), Path(path))

    @classmethod
    def from_env(cls, text: str) -> Self:
        """The ring of `id:base64,…` (the first is active) or of a key file's JSON. Raises KeyRingError."""
        return cls(keyfile.parse_text(text, ENV_NAME))

    @classmethod
    def generate_file(cls, path: str | Path) -> Self:
        """Create a key file with one random key. Raises KeyRingError if the file exists."""
        keys = keyfile.first(_PREFIX)
        keyfile.create(Path(path), keys)
        return cls(keys, Path(path))

    @classmethod
    def load_or_generate(cls, path: str | Path) -> Self:
        """The ring of a key file, created if there is none, also by several processes at once."""
        if not Path(path).exists():
            with contextlib.suppress(KeyFileExists):
                return cls.generate_file(path)
        return cls.load(path)

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def active_id(self) -> str:
        return self._state[0].active

    @property
    def key_ids(self) -> tuple[str, ...]:
        return self._state[0].ids

    def add_key(self) -> str:
        """Add a random key, make it active, and return its id. Raises KeyRingError if there is no file."""
        path = self._writable()
        with keyfile.locked(path):
            keys = keyfile.read(path).with_new(_PREFIX)
            keyfile.replace(path, keys)
        self._adopt(keys)
        return keys.active

    def drop_keys(self, key_ids: Collection[str]) -> None:
        """Forget keys for good: what they encrypted is lost. Raises KeyRingError for the active one."""
        path = self._writable()
        with keyfile.locked(path):
            keys = keyfile.read(path).without(key_ids)
            keyfile.replace(path, keys)
        self._adopt(keys)

    def restore_keys(self, other: KeyRing, key_ids: Collection[str]) -> None:
        """Put back keys that `other`, an earlier copy of this ring, still has."""
        path = self._writable()
        lost = {k: v for k, v in other._state[0].keys.items() if k in key_ids}
        with keyfile.locked(path):
            now = keyfile.read(path)
            keys = keyfile.Keys(now.active, {**lost, **now.keys})
            keyfile.replace(path, keys)
        self._adopt(keys)

    def encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        """The envelope of `plaintext` for the place that `aad` names."""
        _, _, header, cipher = self._state
        nonce = os.urandom(_NONCE)
        return header + nonce + cipher.encrypt(nonce, plaintext, header + aad)

    def decrypt(self, envelope: bytes, aad: bytes) -> bytes:
        """The plaintext of an envelope. Raises DecryptionFailed, and never returns anything doubtful."""
        key_id = self.key_id_of(envelope)
        cipher = self._state[1].get(key_id)
        if cipher is None:
            raise DecryptionFailed(
                f"The secret was encrypted with the key {key_id!r}, which is not in the key ring: "
                "put that key back, or enter the secret again.",
                code="decryption_key_missing",
            )
        start = 2 + envelope[1]
        nonce_end = start + _NONCE
        try:
            return cipher.decrypt(envelope[start:nonce_end], envelope[nonce_end:], envelope[:start] + aad)
        except InvalidTag:
            raise DecryptionFailed(
                "The stored secret was damaged or belongs to another row: enter it again."
            ) from None

    @staticmethod
    def key_id_of(envelope: bytes) -> str:
        """The id of the key that made an envelope. Raises DecryptionFailed if it is not an envelope."""
        if len(envelope) < 2 or envelope[0] != _VERSION or len(envelope) < 2 + envelope[1] + _NONCE + _TAG:
            raise DecryptionFailed("The stored secret is not an envelope of this hub: enter it again.")
        try:
            return envelope[2 : 2 + envelope[1]].decode("ascii")
        except UnicodeDecodeError:
            raise DecryptionFailed("The stored secret names no readable key: enter it again.") from None

    def _writable(self) -> Path:
        if self._path is None:
            raise KeyRingError(
                f"The keys come from {ENV_NAME}: change that variable and restart every process."
            )
        return self._path


_lock = threading.Lock()
_cached: tuple[keyfile.Source, KeyRing] | None = None


def get_keyring() -> KeyRing:
    """The hub's ring: the setting HUB_ENCRYPTION_KEYS (text) or HUB_KEYRING (a file), else the variable.

    Read again when the text or the file has changed, so that a rotation reaches every process without a
    restart. Raises KeyRingError.
    """
    global _cached
    source = keyfile.source(
        text=getattr(settings, "HUB_ENCRYPTION_KEYS", "") or "",
        path=getattr(settings, "HUB_KEYRING", None),
        env_name=ENV_NAME,
    )
    cached = _cached
    if cached is not None and cached[0] == source:
        return cached[1]
    with _lock:
        ring = KeyRing.from_env(source.text) if source.path is None else KeyRing.load(source.path)
        _cached = (source, ring)
    return ring
