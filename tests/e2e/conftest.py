"""A whole hub as `make run` starts it, and a real browser that looks at it.

One hub and one browser serve all tests; each test opens a window of its own, in which nothing may go wrong:
no JavaScript error, no error on the console, no answer of 400 and more, no call to another host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, expect, sync_playwright

from tests.connectors.shop import CUSTOMERS, TOKEN
from tests.e2e.shots import CHROMIUM, SIZES, sign_in
from tests.integration_hub.hub_process import HubProcess, migrated
from tests.peers.rest_peer import RestPeer, bearer
from tests.webhooks.receiver import Receiver, receiving

OWNER, PASSWORD = "olivia@northwind.example", "correct-horse-battery-staple"
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
PATIENCE = 30_000  # milliseconds; the machine may be busy

expect.set_options(timeout=PATIENCE)
# Playwright keeps an event loop in this thread, which Django would take for asynchronous code.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@dataclass
class Hub:
    """The hub that runs, and the organization that the tests work in."""

    url: str
    api_key: str
    process: HubProcess

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A call with the organization's key; refuses an answer of 400 and more."""
        answer = httpx.request(
            method,
            f"{self.url}/api/v1/{path}",
            headers={"Authorization": f"Bearer {self.api_key}"},
            timeout=30,
            **options,
        )
        assert answer.status_code < 400, answer.text
        return answer


@dataclass
class Watch:
    """What goes wrong in a window. A test that provokes an answer says so: `watch.expect(403)`."""

    own: str
    problems: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def expect(self, *statuses: int) -> None:
        self.expected.update(statuses)

    def over(self, page: Page) -> None:
        page.on("request", self._requested)
        page.on("response", self._answered)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: JavaScript error: {error}"))
        page.on("console", lambda message: self._said(page, message.type, message.text))

    def _requested(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.own:
            self.problems.append(f"It asks another host for {request.url}.")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status} for {response.url}")

    def _said(self, page: Page, kind: str, text: str) -> None:
        status = re.search(r"status of (\d+)", text)
        if kind == "error" and not (status and int(status[1]) in self.expected):
            self.problems.append(f"{page.url}: {text}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail("The browser tests need Chromium: apt-get install -y chromium.", pytrace=False)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    home = Path(tempfile.mkdtemp(prefix="hub-e2e-"))
    # A port that is known before: clients of OAuth2 compare the issuer with where they found it.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = HubProcess(
        migrated(home),
        HUB_PORT=str(port),
        HUB_BASE_URL=f"http://127.0.0.1:{port}",
        HUB_OUTBOUND_ALLOW="127.0.0.1/32",
        HUB_ALLOW_HTTP="true",
    )
    try:
        process.wait_until_ready()
        made = process.manage_json(
            "bootstrap", "--organization", "Northwind", "--email", OWNER, "--password", PASSWORD, "--json"
        )
        found = Hub(process.url, made["api_key"], process)
        rows = [
            {"external_id": f"C-{n:03d}", "name": f"Customer {n:03d}", "email": f"c{n}@example.com"}
            for n in range(1, 61)
        ]
        found.api("POST", "records/clients/bulk", json=rows)
        yield found
        status = process.stop()
        assert status == 0, process.lines[-20:]
        assert process.pids() == set()
        assert [line for line in process.lines if " ERROR " in line] == []
    finally:
        print("\n".join(process.lines[-60:]))
        process.kill_all()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def signed_in_state(hub: Hub, browser: Browser) -> dict[str, Any]:
    """The cookies of somebody who has come in through the login page."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    sign_in(page, hub.url, OWNER, PASSWORD)
    state: Any = context.storage_state()
    context.close()
    return json.loads(json.dumps(state))


@pytest.fixture
def watch(hub: Hub) -> Watch:
    return Watch(urlsplit(hub.url).netloc)


@pytest.fixture
def window(hub: Hub, browser: Browser, watch: Watch) -> Iterator[Callable[..., Page]]:
    """Opens windows: `window()` for a stranger, `window(state=…, size="phone")`."""
    contexts: list[BrowserContext] = []

    def open_one(state: Any = None, size: str = "light") -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            base_url=hub.url,
            storage_state=state,
            viewport={"width": width, "height": height},
            color_scheme="dark" if size == "dark" else "light",
            is_mobile=size == "phone",
            has_touch=size == "phone",
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        watch.over(page)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert watch.problems == []


@pytest.fixture
def page(window: Callable[..., Page], signed_in_state: dict[str, Any]) -> Page:
    """A window in which the owner has signed in."""
    return window(state=signed_in_state)


@pytest.fixture(scope="session")
def shop() -> Iterator[RestPeer]:
    """A provider on this machine."""
    with RestPeer({"customers": CUSTOMERS}, auth=bearer(TOKEN)) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one
