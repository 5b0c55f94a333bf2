"""The whole hub, started as a newcomer starts it: first run, bootstrap, deaths, stop."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration_hub.hub_process import HubProcess
from tests.integration_hub.test_sqlite_transport import wait_for

# One hub for all of them.
pytestmark = pytest.mark.xdist_group("hub")

SECRETS = ("secret_key", "keyring.json", "peppers.json", "hub.sqlite3", "queue.sqlite3")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub") / "var"


@pytest.fixture(scope="module")
def hub(home: Path) -> Iterator[HubProcess]:
    running = HubProcess(home)
    try:
        yield running.wait_until_ready()
    finally:
        running.kill_all()


def test_the_first_run_prints_a_login_once_and_keeps_its_secrets_private(hub: HubProcess, home: Path) -> None:
    assert hub.said(r"e-mail +(\S+)") == "owner@localhost"
    password = hub.said(r"password +(\S+)")
    assert len(password) == 16

    assert hub.get("/admin/login/")[0] == 200
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    wait_for(lambda: all((home / name).exists() for name in SECRETS), seconds=120)
    for name in SECRETS:
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name
    for path in home.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path


def test_static_files_are_served_without_being_collected(hub: HubProcess) -> None:
    assert hub.get("/static/admin/css/base.css")[0] == 200


def test_background_work_stands_back_behind_answers(hub: HubProcess) -> None:
    def niceness(word: str) -> set[int]:
        return {os.getpriority(os.PRIO_PROCESS, pid) for pid in hub.pids(word)}

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness("granian") == {own}
    assert niceness(" worker ") == {min(own + 10, 19)}


def test_pages_carry_the_policies_of_their_kind(hub: HubProcess) -> None:
    import http.client

    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=10)
    policies = {}
    for path in ("/admin/login/", "/api/health/live"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        policies[path] = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
    connection.close()
    assert "script-src 'self' 'unsafe-eval'" in policies["/admin/login/"]
    assert policies["/api/health/live"].startswith("default-src 'none'")


def test_bootstrap_works_beside_the_running_hub_and_twice(hub: HubProcess) -> None:
    arguments = ("bootstrap", "--organization", "Acme", "--email", "Ann@acme.example", "--json")
    first = hub.manage_json(*arguments, "--password", "correct horse")
    second = hub.manage_json(*arguments, "--password", "battery staple")

    assert first | {"api_key": ""} == {
        "organization": "Acme",
        "email": "ann@acme.example",
        "api_key": "",
        "base_url": hub.url,
        "admin_url": f"{hub.url}/admin/",
    }
    assert second | {"api_key": ""} == first | {"api_key": ""}
    assert first["api_key"] != second["api_key"]
    count = "from apps.tenants.models import *; print(Organization.objects.filter(name='Acme').count(), "
    count += "User.objects.filter(email='ann@acme.example').count())"
    assert hub.manage("shell", "--no-imports", "-c", count).split() == ["1", "1"]
    for result in (first, second):
        status, _ = hub.get("/api/v1/datasets", Authorization=f"Bearer {result['api_key']}")
        assert status == 200
    assert hub.get("/api/v1/datasets", Authorization="Bearer sk_live_wrong")[0] == 401


@pytest.mark.parametrize("word", ["celery.py worker", "celery.py beat", "granian"])
def test_a_killed_process_comes_back(hub: HubProcess, word: str) -> None:
    word = {"celery.py worker": " worker ", "celery.py beat": " beat "}.get(word, word)
    before = hub.pids(word)
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: (now := hub.pids(word)) and not now & before, seconds=120)
    if word == "granian":
        wait_for(lambda: hub.get("/admin/login/")[0] == 200, seconds=120)


def test_sigterm_stops_everything_and_the_next_start_prints_no_login(hub: HubProcess, home: Path) -> None:
    assert hub.stop() == 0
    assert hub.pids() == set()
    assert not (home / "address").exists()

    again = HubProcess(home)
    try:
        again.wait_until_ready()
        assert again.said(r"(password)") == ""

        # And when the supervisor itself is killed, the rest goes, too.
        again.process.kill()
        again.process.wait()
        wait_for(lambda: again.pids() == set(), seconds=120)
    finally:
        again.kill_all()
