"""Strict clients in JavaScript, which a person lets in with a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Hub, Watch

pytestmark = pytest.mark.e2e
CLIENTS = Path(__file__).parent / "oauth_clients"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clients with what they need, outside the tree."""
    if shutil.which("npm") is None:
        pytest.fail(
            "The tests of JavaScript clients need node: apt-get install -y nodejs npm.", pytrace=False
        )
    folder = tmp_path_factory.mktemp("oauth_clients")
    shutil.copytree(CLIENTS, folder, dirs_exist_ok=True)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=folder,
        check=True,
        timeout=300,
    )
    return folder


class Program:
    """A client that runs, speaks in lines of JSON, and listens."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["node", str(folder / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            pytest.fail(self.process.stderr.read())
        found: dict[str, Any] = json.loads(line)
        return found

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()


@pytest.fixture
def application(hub: Hub) -> Iterator[dict[str, Any]]:
    made = hub.api(
        "POST",
        "oauth-applications",
        json={
            "name": "Strict client",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "flows": ["authorization_code", "device_code", "client_credentials"],
            "scopes": ["records:read"],
        },
    ).json()
    yield made
    hub.api("DELETE", f"oauth-applications/{made['id']}")


@pytest.fixture
def callback() -> Iterator[str]:
    """Where browsers come back to: a program on this machine, at a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.startswith("/callback") else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/callback"
    server.shutdown()
    server.server_close()


def came_back(page: Page, callback: str) -> str:
    page.wait_for_url(f"{callback}?**")
    return page.url


def test_openid_client(
    hub: Hub, page: Page, watch: Watch, modules: Path, application: dict[str, Any], callback: str
) -> None:
    program = Program(
        modules, "openid_client.mjs", hub.url, application["id"], application["client_secret"], callback
    )
    page.goto(program.hear()["address"])
    page.get_by_role("button", name="Allow").click()
    program.say(came_back(page, callback))
    told = program.hear()
    assert told["status"] == 200
    assert told["active"] is True
    assert told["after"] is False
    assert told["claims"]["iss"] == hub.url
    assert told["person"]["email"] == told["claims"]["email"]

    device = program.hear()
    page.goto(device["page"])
    page.fill("#user_code", device["code"].lower())
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name="is connected").wait_for()
    assert program.hear() == {"device": "string", "own": "string"}
    _forgive(watch, callback)


def test_oauth4webapi(
    hub: Hub, page: Page, watch: Watch, modules: Path, application: dict[str, Any], callback: str
) -> None:
    program = Program(
        modules, "oauth4webapi.mjs", hub.url, application["id"], application["client_secret"], callback
    )
    page.goto(program.hear()["address"])
    program.say(came_back(page, callback))
    page.goto(program.hear()["address"])
    page.get_by_role("button", name="Allow").click()
    program.say(came_back(page, callback))
    assert program.hear() == {
        "error": "invalid_scope",
        "status": 200,
        "scope": "records:read",
        "reused": "invalid_grant",
        "active": False,
        "challenge": "invalid_token",
    }
    _forgive(watch, callback)


def _forgive(watch: Watch, callback: str) -> None:
    """Coming back is a call to another host: that of the client."""
    watch.problems = [text for text in watch.problems if callback not in text]
