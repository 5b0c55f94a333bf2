"""The hub from exactly the files that the image holds: what `.dockerignore` lets through, and nothing else.

The image itself needs a container engine. What can go wrong without one is a file that the running hub
reads and the image lacks.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration_hub.hub_process import PROJECT, HubProcess, clean_environ, migrated
from tests.integration_hub.runtime_python import runtime_python

pytestmark = pytest.mark.xdist_group("hub")


def _let_through() -> list[str]:
    """The paths that `.dockerignore` takes back from its first line, which leaves everything out."""
    lines = (PROJECT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image") / "hub"
    for name in _let_through():
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, target)
    (folder / "staticfiles").mkdir()
    subprocess.run(
        [runtime_python(), "manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
        cwd=folder,
        env=clean_environ(folder.parent / "build"),
        check=True,
        timeout=120,
    )
    return folder


@pytest.fixture(scope="module")
def hub(image: Path) -> Iterator[HubProcess]:
    running = HubProcess(migrated(image.parent / "data"), project=image)
    try:
        yield running.wait_until_ready()
    finally:
        running.kill_all()


def test_every_service_that_can_be_configured_finds_its_library() -> None:
    """Brokers, databases and storage are imported when they are first used, when a start looked well."""
    chosen = "kombu.transport.redis, kombu.transport.pyamqp, psycopg, hiredis, storages, boto3, paramiko"
    done = subprocess.run([runtime_python(), "-c", f"import {chosen}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_guide_is_a_page_of_the_image(hub: HubProcess) -> None:
    names = [
        path.stem.partition("-")[2] or path.stem for path in (PROJECT / "docs" / "guides").glob("[0-9]*.md")
    ]
    assert len(names) > 5
    missing = [name for name in names if hub.get(f"/api/docs/{name}")[0] != 200]
    assert missing == []


def test_the_documentation_and_the_admin_of_the_image_answer(hub: HubProcess) -> None:
    assert {
        path: hub.get(path)[0] for path in ("/api/docs", "/api/redoc", "/api/changelog", "/admin/login/")
    } == {
        "/api/docs": 200,
        "/api/redoc": 200,
        "/api/changelog": 200,
        "/admin/login/": 200,
    }
    assert hub.get("/static/admin/css/base.css")[0] == 200
