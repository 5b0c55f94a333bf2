"""When keys were last used: noted in memory and the cache, written by a task, never in a request's way."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime

from django.core.cache import cache
from django.db.models import Q

from apps.apikeys.models import APIKey
from apps.apikeys.statuses import KeyStatus

# A process tells the cache about a key at most this often, in seconds.
EVERY = 15.0
_KEPT = 24 * 3600
_MOST = 50_000
_told: dict[str, float] = {}


def note(key: APIKey, ip: str | None) -> None:
    """Remember that a key was used now. A cache that is down loses a little of "last used", nothing else."""
    name = key.public_part
    now = time.monotonic()
    last = _told.get(name)
    if last is not None and now - last < EVERY:
        return
    if len(_told) >= _MOST:
        _told.clear()
    _told[name] = now
    # Whatever a cache raises, the call goes on.
    with contextlib.suppress(Exception):
        cache.set(_name(name), time.time(), _KEPT)


def forget_all() -> None:
    """Tell the cache anew about every key."""
    _told.clear()


def flush() -> int:
    """Write what the cache knows into the keys, forward only; returns how many keys moved."""
    moved = 0
    parts = APIKey.objects.filter(status=KeyStatus.ACTIVE).values_list("public_part", flat=True)
    batch: list[str] = []
    for part in parts.iterator(chunk_size=500):
        batch.append(part)
        if len(batch) == 500:
            moved += _flush(batch)
            batch = []
    return moved + (_flush(batch) if batch else 0)


def _flush(parts: list[str]) -> int:
    moved = 0
    for name, moment in cache.get_many([_name(part) for part in parts]).items():
        used_at = datetime.fromtimestamp(moment, UTC)
        later = Q(last_used_at=None) | Q(last_used_at__lt=used_at)
        moved += APIKey.objects.filter(later, public_part=name.rpartition(":")[2]).update(
            last_used_at=used_at
        )
    return moved


def _name(public_part: str) -> str:
    return f"apikeys:used:{public_part}"
