"""Leaves a server alone that does not answer, and notices when it does again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FAILURES = 3
PAUSE = 1.0  # seconds


class Breaker:
    """Closed: calls go through. Open, after `failures` in a row: none does, but one every `pause` seconds.

    `on_change(open)` is told of each change, outside the lock, by the thread that noticed.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        pause: float = PAUSE,
        on_change: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._pause, self._clock = failures, pause, clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failed = 0
        self._try_at = 0.0
        self.is_open = False

    def allows(self) -> bool:
        """Whether to try. While open, the one thread that is told so tries for all."""
        if not self.is_open:
            return True
        with self._lock:
            now = self._clock()
            if self.is_open and now < self._try_at:
                return False
            self._try_at = now + self._pause
            return True

    def succeeded(self) -> None:
        if self._failed == 0 and not self.is_open:
            return
        with self._lock:
            changed, self.is_open, self._failed = self.is_open, False, 0
        if changed:
            self._on_change(False)

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            changed = not self.is_open and self._failed >= self._most
            self.is_open = self.is_open or changed
            if self.is_open:
                self._try_at = self._clock() + self._pause
        if changed:
            self._on_change(True)
