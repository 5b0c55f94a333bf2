"""The guardian: a child that outlives a supervisor which was killed, and takes its process groups down.

The supervisor tells it through a pipe which groups run. When the pipe closes without a farewell, the
supervisor is gone: the guardian asks the groups to stop, and after a while kills them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

PATIENCE = 10.0  # seconds between asking and killing
PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have Linux send SIGTERM to this process when its parent dies. Elsewhere the guardian alone does it."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)


class Guardian:
    """The supervisor's end of the pipe. Fork it before any thread exists."""

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._writer)
                _watch(reader)
                status = 0
            finally:
                os._exit(status)
        os.close(reader)
        os.set_inheritable(self._writer, False)

    def started(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """Everything has been stopped: let the guardian go."""
        os.close(self._writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, line.encode())


def _watch(reader: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    with os.fdopen(reader) as pipe:
        for line in pipe:
            group = int(line[1:])
            if line[0] == "+":
                groups.add(group)
            else:
                groups.discard(group)
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while groups and time.monotonic() < deadline:
        groups = {group for group in groups if _lives(group)}
        time.sleep(0.1)
    _signal(groups, signal.SIGKILL)


def _signal(groups: set[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
