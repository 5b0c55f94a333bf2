"""Keeps a few child processes running, and leaves nothing behind. Plain Python: no Django, no Celery.

Each child leads a process group of its own. One that dies is started again after a pause that doubles
while it keeps dying. SIGTERM, SIGINT and SIGHUP stop all of them: they are asked, given GRACE seconds, and
then killed with all their descendants; a second signal shortens the wait. Should the supervisor itself be
killed, its guardian does the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from integration_hub.runtime.guardian import Guardian, die_with_parent

GRACE = 25.0  # seconds that children have to stop
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a dead child is started again
SETTLED = 60.0  # seconds of life after which earlier deaths are forgotten
TICK = 0.25
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def say(message: str) -> None:
    """A line of the supervisor on standard error, in the form that LOG_FORMAT asks for."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if os.environ.get("LOG_FORMAT", "").lower() == "json":
        line = json.dumps({"time": moment, "level": "info", "logger": "hub.supervisor", "message": message})
    else:
        line = f"{moment} INFO hub.supervisor {message}"
    print(line, file=sys.stderr, flush=True)


@dataclass
class Child:
    """A process to keep running. `environ` is added to the supervisor's own environment; `yields` says by how
    much it stands back where processes compete for the processor (0 to 19, see nice(1))."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    yields: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    deaths: int = 0


class Supervisor:
    """Runs children until it is told to stop, or until the process `parent`, if not 0, has gone.

    `watch` is called every TICK while they run.
    """

    def __init__(
        self, children: Sequence[Child], *, watch: Callable[[], None] | None = None, parent: int = 0
    ) -> None:
        self.children = list(children)
        self._watch = watch
        self._parent = parent
        self._stops = 0

    def run(self) -> int:
        """Start the children and keep them; returns the exit status."""
        guardian = Guardian()
        wakeup = self._listen()
        try:
            while not self._stops:
                self._reap(guardian)
                for child in self.children:
                    if child.process is None and time.monotonic() >= child.start_at:
                        self._start(child, guardian)
                if self._watch is not None:
                    self._watch()
                if self._parent and os.getppid() != self._parent:
                    say("The process that started the hub has gone.")
                    break
                _sleep(wakeup, TICK)
            say("Stopping.")
        finally:
            self._stop_all(guardian, wakeup)
            guardian.dismiss()
        say("Stopped.")
        return 0

    def _listen(self) -> int:
        """Turn signals into bytes on a pipe that the loop waits on."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return reader

    def _on_stop(self, *_: object) -> None:
        self._stops += 1

    def _start(self, child: Child, guardian: Guardian) -> None:
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent)
            os.nice(child.yields)

        child.process = subprocess.Popen(  # noqa: S603  our own command lines
            child.command,
            env={**os.environ, **child.environ},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # Safe: this process has one thread.
            preexec_fn=prepare,
        )
        guardian.started(child.process.pid)
        child.started_at = time.monotonic()

    def _reap(self, guardian: Guardian, *, restart: bool = True) -> None:
        """Take note of every process that has ended, orphans included when this is process 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self.children:
                if child.process is not None and child.process.pid == pid:
                    child.process.returncode = os.waitstatus_to_exitcode(status)
                    self._ended(child, child.process, guardian, restart=restart)

    def _ended(
        self, child: Child, process: subprocess.Popen[bytes], guardian: Guardian, *, restart: bool
    ) -> None:
        # What it has left behind would do its work a second time beside its successor.
        _signal_group(process.pid, signal.SIGKILL)
        guardian.ended(process.pid)
        child.process = None
        if not restart:
            return
        lived = time.monotonic() - child.started_at
        child.deaths = 1 if lived >= SETTLED else child.deaths + 1
        pause = min(FIRST_PAUSE * 2 ** (child.deaths - 1), LONGEST_PAUSE)
        child.start_at = time.monotonic() + pause
        say(f"The {child.name} ended ({_reason(process.returncode)}); it starts again in {pause:g} s.")

    def _stop_all(self, guardian: Guardian, wakeup: int) -> None:
        for child in self.children:
            if child.process is not None:
                # To the leader only: it stops its own children in order.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        asked = self._stops
        while any(child.process for child in self.children) and time.monotonic() < deadline:
            if self._stops > asked:
                deadline = min(deadline, time.monotonic() + 2)
                asked = self._stops
            _sleep(wakeup, TICK)
            self._reap(guardian, restart=False)
        for child in self.children:
            if child.process is not None:
                say(f"The {child.name} did not stop in time and is killed.")
                _signal_group(child.process.pid, signal.SIGKILL)
        while any(child.process for child in self.children):
            _sleep(wakeup, TICK)
            self._reap(guardian, restart=False)


def _sleep(wakeup: int, seconds: float) -> None:
    """Sleep, or wake on a signal."""
    with contextlib.suppress(BlockingIOError):
        if select.select([wakeup], [], [], seconds)[0]:
            os.read(wakeup, 4096)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _reason(returncode: int) -> str:
    if returncode < 0:
        return f"signal {signal.Signals(-returncode).name}"
    return f"exit status {returncode}"
