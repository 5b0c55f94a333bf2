"""A worker process that a test may kill: it works on one sync in the database that it is told."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

from django.db import connections


def _child(job_id: object) -> None:
    from apps.connectors.services import running

    code = 3
    try:
        code = 0 if running.run(job_id=str(job_id)) else 1
    finally:
        connections.close_all()
        os._exit(code)


def start(job_id: object) -> int:
    """Fork a worker; returns its process id. No connection is shared with it."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        _child(job_id)
    return pid


def wait(pid: int) -> int:
    """The exit code of a worker: 0 if it had the sync, 1 if it did not, minus the signal that killed it."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


@contextlib.contextmanager
def working(job_id: object) -> Iterator[int]:
    """A worker that is killed at the end of the block, if it has not ended before."""
    pid = start(job_id)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait(pid)
