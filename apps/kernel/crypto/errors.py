"""Errors of the key rings and the encrypted fields."""

from __future__ import annotations

from apps.kernel.errors import TerminalError


class KeyRingError(TerminalError):
    """A key file is missing, unreadable, malformed, or must not be changed in the way asked for."""

    code = "key_ring_invalid"
    title = "The key ring cannot be used"


class KeyFileExists(KeyRingError):
    """A key file is there already; it is never overwritten."""


class DecryptionFailed(TerminalError):
    """The envelope is damaged, was made for another place, or its key is not in the ring."""

    code = "decryption_failed"
    title = "The stored secret cannot be decrypted"
