"""What a long bulk run with threads asks of the interpreter while it lasts."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SLICE = 0.0005
"""Seconds after which a thread that computes hands over to one that has an answer of the database to read."""
THRESHOLD = 50_000
"""Objects made before their garbage is looked for. A batch of rows is none: with the usual 700 all that the
process holds is searched again and again, which costs more than checking the rows."""

_lock = threading.Lock()
_running = 0
_before: tuple[float, tuple[int, int, int]] = (0.005, (700, 10, 10))


@contextmanager
def calm() -> Iterator[None]:
    """Short turns for threads and rare searches for garbage, until the last of those who asked has ended."""
    global _running, _before
    with _lock:
        _running += 1
        if _running == 1:
            _before = (sys.getswitchinterval(), gc.get_threshold())
            sys.setswitchinterval(min(SLICE, _before[0]))
            gc.set_threshold(max(THRESHOLD, _before[1][0]), *_before[1][1:])
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                sys.setswitchinterval(_before[0])
                gc.set_threshold(*_before[1])
