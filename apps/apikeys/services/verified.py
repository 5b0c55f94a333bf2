"""Keys that were verified a moment ago, and the one statement that finds a key.

A warm call costs no SQL: a verified key is kept in this process for five seconds. Revoking, suspending,
rotating or changing a key takes it out at once here, and in other processes at their next call, which the
limiter tells (only while Redis is away, within those seconds). The end of its life is compared at every call,
so it is exact everywhere.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from uuid import UUID

from django.db import transaction

from apps.apikeys import limiter
from apps.apikeys.models import APIKey

SECONDS = 5.0
_MOST = 10_000

_lock = threading.Lock()
_salt = os.urandom(16)
_entries: dict[bytes, tuple[float, APIKey]] = {}
_generation = 0


def look_up(public_part: str) -> APIKey | None:
    """The key with this public part and its organization."""
    return APIKey.objects.select_related("organization").filter(public_part=public_part).first()


def recall(text: str) -> APIKey | None:
    """The key of this very text if it was verified within the last seconds and has not ended since."""
    found = _entries.get(_name(text))
    if found is None or time.monotonic() - found[0] > SECONDS:
        return None
    key = found[1]
    if key.expires_at is not None and time.time() >= key.expires_at.timestamp():
        return None
    return key


def generation() -> int:
    """Take it before verifying, and give it to `remember`: what was forgotten meanwhile is not remembered."""
    return _generation


def remember(text: str, key: APIKey, taken: int) -> None:
    with _lock:
        if taken != _generation:
            return
        if len(_entries) >= _MOST:
            _entries.clear()
        _entries[_name(text)] = (time.monotonic(), key)


def forget(key_id: UUID) -> None:
    """No longer trust what is remembered of a key: now, and again when the running transaction commits."""
    _forget(key_id)
    transaction.on_commit(limiter.bump)


def forget_all() -> None:
    global _generation
    with _lock:
        _generation += 1
        _entries.clear()


def _forget(key_id: UUID) -> None:
    global _generation
    with _lock:
        _generation += 1
        for name in [name for name, (_, key) in _entries.items() if key.pk == key_id]:
            del _entries[name]


def _name(text: str) -> bytes:
    # The text itself is not kept: a salted digest cannot be presented as a key.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20, key=_salt).digest()


__all__ = ["forget", "forget_all", "generation", "look_up", "recall", "remember"]
