"""One loop per worker: a lock between the threads or forked children of one Celery worker."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if os.name == "posix":
    import fcntl


class Turn:
    """Whether the lock is `mine`; `give_up` lets another one begin before the block ends."""

    def __init__(self, handle: int, *, mine: bool) -> None:
        self._handle = handle
        self.mine = mine

    def give_up(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@contextmanager
def turn_in_worker(name: str) -> Iterator[Turn]:
    """The turn of one thread or child of this worker at `name`. The lock ends with the process, however it
    ends.

    A file lock, because the children of a prefork worker share no memory; per worker and not per machine,
    because more workers shall do more.
    """
    path = Path(tempfile.gettempdir()) / f"hub-{name}-{os.getuid()}-{_worker_pid()}.lock"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, flags, 0o600)
    mine = True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        mine = False
    turn = Turn(handle, mine=mine)
    try:
        yield turn
    finally:
        turn.give_up()


def _worker_pid() -> int:
    """The process of the worker that this process or thread belongs to."""
    from billiard.process import current_process

    return os.getppid() if current_process().name.startswith("ForkPoolWorker") else os.getpid()


def worker_is_stopping() -> bool:
    """Whether the worker was asked to stop. A forked child is told by its parent's end only."""
    from celery.worker import state

    return state.should_stop not in (None, False) or state.should_terminate not in (None, False)
