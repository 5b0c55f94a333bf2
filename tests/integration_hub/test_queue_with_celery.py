"""Real Celery workers on the embedded queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration_hub.test_sqlite_transport import wait_for

PROJECT = Path(__file__).resolve().parents[2]


class Workers:
    """Starts workers of the peer application, and sends tasks from another process of it."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.running: list[subprocess.Popen[bytes]] = []
        self.environ = {
            **os.environ,
            "PEER_QUEUE": str(folder / "queue.sqlite3"),
            "PEER_LOG": str(self.log),
            "DJANGO_SETTINGS_MODULE": "",
        }

    def start(self, pool: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "-A", "tests.integration_hub.celery_peer", "worker"]
        command += ["-P", pool, "-c", "2", "-l", "WARNING", "--without-gossip", "--without-mingle"]
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=self.environ,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.running.append(process)
        return process

    def run(self, code: str) -> str:
        code = f"from tests.integration_hub.celery_peer import app, note\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT, env=self.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        for process in self.running:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.stop_all()


def ended(workers: Workers) -> dict[str, float]:
    found: dict[str, Any] = {}
    for line in workers.lines():
        word, name, *moment = line.split()
        if word == "end":
            found[name] = float(moment[0])
    return found


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_tasks_of_a_killed_worker_are_done_by_the_next(workers: Workers, pool: str) -> None:
    first = workers.start(pool)
    workers.run("for name in 'abcd': note.delay(name, 3)")
    wait_for(lambda: len([line for line in workers.lines() if line.startswith("begin")]) >= 2)
    workers.kill(first)
    assert ended(workers) == {}

    workers.start(pool)
    wait_for(lambda: set(ended(workers)) == set("abcd"))


def test_a_countdown_is_kept_and_control_commands_are_answered(workers: Workers) -> None:
    workers.start("threads")
    sent = time.time()
    workers.run("note.apply_async(['later'], countdown=5); note.delay('now')")
    wait_for(lambda: "now" in ended(workers))
    assert "pong" in workers.run("print(app.control.inspect(timeout=15, limit=1).ping())")

    # Longer than the lease of four seconds: what a worker holds for later stays its own.
    wait_for(lambda: "later" in ended(workers))
    assert ended(workers)["later"] - sent >= 5
    assert [line for line in workers.lines() if line == "begin later"] == ["begin later"]


def test_a_worker_that_is_stopped_finishes_what_runs_and_gives_back_the_rest(workers: Workers) -> None:
    worker = workers.start("threads")
    workers.run("for name in 'abcdef': note.delay(name, 0.7)")
    wait_for(lambda: len(workers.lines()) >= 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=15) == 0

    begun = [line for line in workers.lines() if line.startswith("begin")]
    assert len(begun) == len(ended(workers)) < 6
    workers.start("threads")
    wait_for(lambda: set(ended(workers)) == set("abcdef"))
    assert len([line for line in workers.lines() if line.startswith("begin")]) == 6
