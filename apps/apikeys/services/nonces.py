"""Which signatures were used already: remembered for as long as they would be accepted."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time

from django.core.cache import cache

from apps.apikeys.signing import TOLERANCE

KEPT = 2 * TOLERANCE + 10  # seconds
_MOST = 100_000

_lock = threading.Lock()
_here: dict[str, float] = {}


def is_new(subject: str, nonce: str) -> bool:
    """Remember a nonce of a subject; False if it was used within the last minutes.

    The shared cache decides for all processes. While it is down each process decides for itself.
    """
    name = hashlib.blake2b(f"{subject}:{nonce}".encode(), digest_size=20).hexdigest()
    now = time.monotonic()
    with _lock:
        if _here.get(name, 0.0) > now:
            return False
        if len(_here) >= _MOST:
            for old in [key for key, until in _here.items() if until <= now]:
                del _here[old]
        _here[name] = now + KEPT
    with contextlib.suppress(Exception):  # whatever a cache raises
        return bool(cache.add(f"apikeys:nonce:{name}", 1, KEPT))
    return True
