"""The one limiter of this process. `get()` gives it; see `core.Limiter` for what it does.

`generation()`, `bump()` and `on_change(listener)` are for whatever remembers keys, tokens or limits: each
process sees at its very next call that another one has changed something, and its listeners forget what they
remember.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from apps.apikeys.limiter.core import Limiter
from apps.apikeys.limiter.generation import FileGeneration
from apps.apikeys.limiter.remote import RedisStore

_lock = threading.Lock()
_limiter: Limiter | None = None
_listeners: list[Callable[[], None]] = []
_on_outage: list[Callable[[bool], None]] = []


def get() -> Limiter:
    """This process's limiter, made from the settings when it is first asked for."""
    return _limiter if _limiter is not None else use(None)


def use(limiter: Limiter | None) -> Limiter:
    """Put another limiter in its place; None makes one from the settings."""
    global _limiter
    with _lock:
        if limiter is None and _limiter is not None:
            return _limiter
        made = limiter or _from_settings()
        for listener in _listeners:
            made.on_change(listener)
        _limiter = made
        return made


def forget() -> None:
    """Make the limiter anew when it is next asked for."""
    global _limiter
    with _lock:
        _limiter = None


def generation() -> int:
    """The number of the present generation, as far as this process has seen. Take it before remembering."""
    return get().generation()


def bump() -> None:
    """Begin a new generation, after the commit of whatever takes rights or limits away. Never raises."""
    get().bump()


def on_change(listener: Callable[[], None]) -> None:
    """Register what forgets when a new generation is seen; in `AppConfig.ready()`."""
    if listener not in _listeners:
        _listeners.append(listener)
    if _limiter is not None:
        _limiter.on_change(listener)


def on_outage(listener: Callable[[bool], None]) -> None:
    """Register who is told that the shared counters went (True) and came back (False)."""
    if listener not in _on_outage:
        _on_outage.append(listener)


def _tell(began: bool) -> None:
    for listener in _on_outage:
        listener(began)


def _from_settings() -> Limiter:
    url: str = settings.LIMITS_REDIS_URL
    return Limiter(
        store=RedisStore(url, prefix=settings.LIMITS_PREFIX, timeout=settings.LIMITS_TIMEOUT)
        if url
        else None,
        generations=None if url else FileGeneration(Path(settings.HUB_HOME) / "generation"),
        when_down=settings.LIMITS_WHEN_DOWN,
        processes=settings.LIMITS_PROCESSES,
        on_outage=_tell,
    )
