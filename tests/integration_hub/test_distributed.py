"""One hub as several machines run it: web, two workers and two schedulers on PostgreSQL and Redis."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.integration_hub.hub_process import PROJECT, HubProcess, clean_environ
from tests.integration_hub.runtime_python import runtime_python
from tests.integration_hub.test_sqlite_transport import wait_for

pytestmark = pytest.mark.xdist_group("hub")

DATABASE = "hub_distributed_test"
ROWS = 4_000
ACTS = "(This scheduler acts from now on)"
WORKS = r"(hub-\d+@\S+ ready)"


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, str]]:
    """Variables that name an empty database, a corner of the run's Redis, and secrets of this hub's own."""
    server = os.environ["TEST_DATABASE_URL"].rpartition("/")[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        made = subprocess.run(
            [runtime_python(), "manage.py", "new_secrets"],
            cwd=PROJECT,
            env=clean_environ(Path("/nonexistent")),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        secrets = dict(line.partition("=")[::2] for line in made.splitlines() if "=" in line)
        redis = os.environ["TEST_REDIS_URL"].rpartition("/")[0] + "/14"
        yield {"DATABASE_URL": f"{server}/{DATABASE}", "REDIS_URL": redis, **secrets}
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@pytest.fixture
def start(services: dict[str, str], tmp_path: Path) -> Iterator[Callable[[str, str], HubProcess]]:
    """Starts a part of the hub in a folder of its own, as on a machine of its own."""
    running: list[HubProcess] = []
    files = f"file://{tmp_path / 'files'}"

    def begin(kind: str, name: str) -> HubProcess:
        variables = services | {"STORAGE_URL": files, "HUB_BASE_URL": "http://127.0.0.1"}
        running.append(HubProcess(tmp_path / name, only=kind, **variables))
        return running[-1]

    yield begin
    for hub in running:
        hub.kill_all()


def _call(hub: HubProcess, key: str, path: str, body: bytes, kind: str) -> Any:
    request = urllib.request.Request(
        f"{hub.url}/api/v1/{path}", body, {"Authorization": f"Bearer {key}", "Content-Type": kind}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _upload(hub: HubProcess, key: str) -> str:
    lines = "".join(f"C{number:05d},Client {number}\r\n" for number in range(ROWS))
    parts = (
        '--b\r\nContent-Disposition: form-data; name="dataset"\r\n\r\nclients\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="clients.csv"\r\n\r\n'
        f"external_id,name\r\n{lines}\r\n--b--\r\n"
    )
    job = _call(hub, key, "import/upload", parts.encode(), "multipart/form-data; boundary=b")
    return str(job["id"])


def test_two_workers_and_two_schedulers_serve_one_hub(start: Callable[[str, str], HubProcess]) -> None:
    web = start("web", "web")
    web.manage("prepare")
    web.wait_until_ready()
    workers = [start("worker", f"worker{number}") for number in (1, 2)]
    first = start("scheduler", "scheduler1")
    wait_for(lambda: first.said(ACTS), seconds=180)
    second = start("scheduler", "scheduler2")
    for worker in workers:
        wait_for(lambda worker=worker: worker.said(WORKS), seconds=180)

    key = web.manage_json(
        "bootstrap",
        "--organization",
        "Acme",
        "--email",
        "ann@acme.example",
        "--password",
        "a-long-one",
        "--json",
    )["api_key"]
    number = _upload(web, key)
    _call(web, key, "import/execute", json.dumps({"job": number}).encode(), "application/json")

    def job() -> Any:
        status, body = web.get(f"/api/v1/import/{number}/status", Authorization=f"Bearer {key}")
        assert status == 200
        return json.loads(body)

    wait_for(lambda: job()["is_complete"], seconds=180)
    results = job()["results"]
    assert (job()["status"], results["created_count"], results["error_count"]) == ("completed", ROWS, 0)
    assert (
        json.loads(web.get("/api/v1/datasets/clients", Authorization=f"Bearer {key}")[1])["records"] == ROWS
    )

    # The second scheduler has waited all the time; it acts once the first one is gone.
    assert second.said(ACTS) == ""
    first.kill_all()
    wait_for(lambda: second.said(ACTS), seconds=180)

    parts = [web, *workers, second]
    assert [part.stop() for part in parts] == [0, 0, 0, 0]
    assert [part.pids() for part in parts] == [set(), set(), set(), set()]
