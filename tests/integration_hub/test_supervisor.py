"""The supervised tree: a child that dies comes back, and nothing is ever left running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration_hub.test_sqlite_transport import wait_for

PROJECT = Path(__file__).resolve().parents[2]
PEER = Path(__file__).with_name("supervisor_peer.py")
NAMES = ("supervisor", "steady", "stubborn", "grandchild")


def lives(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not yet collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_of(folder: Path, name: str) -> int:
    text = (folder / name).read_text() if (folder / name).exists() else ""
    return int(text) if text else 0


def all_pids(folder: Path) -> list[int]:
    pids = [pid_of(folder, name) for name in NAMES]
    return pids if all(pids) else []


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, str(PEER), str(tmp_path)], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: all_pids(tmp_path))
    yield process
    for pid in all_pids(tmp_path):
        if lives(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def test_a_killed_child_starts_again_and_what_it_left_behind_is_gone(
    tree: subprocess.Popen[str], tmp_path: Path
) -> None:
    child, orphan = pid_of(tmp_path, "steady"), pid_of(tmp_path, "grandchild")
    os.kill(child, signal.SIGKILL)

    wait_for(lambda: pid_of(tmp_path, "steady") not in (0, child))
    wait_for(lambda: pid_of(tmp_path, "grandchild") not in (0, orphan))
    assert not lives(orphan)
    assert lives(pid_of(tmp_path, "stubborn"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_with_status_0(
    tree: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    pids = all_pids(tmp_path)
    tree.send_signal(number)
    assert tree.wait(timeout=10) == 0
    assert [pid for pid in pids if lives(pid)] == []
    assert tree.stderr is not None
    said = [line.partition("hub.supervisor ")[2] for line in tree.stderr.read().splitlines()]
    assert said == ["Stopping.", "The stubborn did not stop in time and is killed.", "Stopped."]


def test_nothing_is_left_when_the_supervisor_itself_is_killed(
    tree: subprocess.Popen[str], tmp_path: Path
) -> None:
    pids = all_pids(tmp_path)
    tree.kill()
    tree.wait()
    wait_for(lambda: not any(lives(pid) for pid in pids), seconds=10)


def test_the_tree_follows_the_process_that_started_it_when_asked_to(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"
    starter = subprocess.Popen([sys.executable, "-c", code, str(PEER), str(tmp_path), "--with-parent"])
    pids = wait_for(lambda: all_pids(tmp_path))
    starter.kill()
    starter.wait()
    wait_for(lambda: not any(lives(pid) for pid in pids), seconds=10)


def test_a_taken_port_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "serve"],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HUB_HOME": str(tmp_path / "var"), "HUB_PORT": str(port)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == (
        f"127.0.0.1:{port} is in use by another program: stop it, or choose another port with HUB_PORT.\n"
    )
    assert not (tmp_path / "var").exists()


def test_an_unsafe_distributed_hub_does_not_start(tmp_path: Path) -> None:
    unsafe = {
        "DATABASE_URL": "postgresql://hub@127.0.0.1:1/hub",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": "changeme",
        "DEBUG": "true",
        "ALLOWED_HOSTS": "*",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HUB_HOME": str(tmp_path / "var")} | unsafe,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "SECRET_KEY",
        "DEBUG",
        "HUB_ENCRYPTION_KEYS",
        "HUB_PEPPERS",
        "ALLOWED_HOSTS",
    ]
    assert not (tmp_path / "var").exists()


def test_the_supervisor_carries_neither_django_nor_celery() -> None:
    code = "import sys, integration_hub.runtime.serve; print({'django', 'celery'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "set()\n"
