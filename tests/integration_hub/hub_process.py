"""A whole hub in a folder of its own, as `make run` starts it, with nothing installed but what it runs on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.database import copy, template
from tests.integration_hub.runtime_python import runtime_python
from tests.integration_hub.test_sqlite_transport import wait_for

PROJECT = Path(__file__).resolve().parents[2]
START, STOP = 300, 60  # seconds, generous for a busy machine


def clean_environ(home: Path, **more: str) -> dict[str, str]:
    """An environment without anything of the tests' own configuration."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"HUB_HOME": str(home), "HUB_PORT": "0", "PYTHONUNBUFFERED": "1"} | more


def migrated(home: Path) -> Path:
    """The folder with a database that has its tables, for a hub whose first start is not what is tested."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if template().exists():
        copy(template(), home / "hub.sqlite3")
    return home


class HubProcess:
    """Starts `manage.py serve`, keeps what it says, and knows its processes by their HUB_HOME."""

    def __init__(self, home: Path, *, project: Path = PROJECT, only: str = "", **environ: str) -> None:
        self.home = home
        self.environ = clean_environ(home, **environ)
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [runtime_python(), "manage.py", "serve", *(["--only", only] if only else [])],
            cwd=project,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self, pattern: str) -> str:
        """The first group of `pattern` in what was said, or nothing."""
        for line in list(self.lines):
            if found := re.search(pattern, line):
                return found.group(1)
        return ""

    def wait_until_ready(self) -> HubProcess:
        wait_for(lambda: self.url or self.process.poll() is not None, seconds=START)
        assert self.url, "\n".join(self.lines)
        return self

    @property
    def url(self) -> str:
        return self.said(r"The hub is ready at (http://[^/]+)/")

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body, or 0 where nothing answers."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        return 0, b""

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [runtime_python(), "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def manage_json(self, *arguments: str) -> Any:
        return json.loads(self.manage(*arguments))

    def pids(self, word: str = "") -> set[int]:
        """Processes of this hub, those with `word` in their command line."""
        found = set()
        mark = f"HUB_HOME={self.home}".encode()
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if word in command and command:
                        found.add(int(folder.name))
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=STOP)
        self._reader.join(timeout=5)
        return status

    def kill_all(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
