"""A page from elsewhere calls the API by script, in a browser that holds to the rules of CORS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.conftest import Hub

pytestmark = pytest.mark.e2e


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A shop</title>")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def shop_page() -> Iterator[str]:
    """The origin of somebody's web page."""
    server = HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


CALL = """async ([address, key, method, body]) => {
  try {
    const answer = await fetch(address, {
      method, body, headers: {Authorization: `Bearer ${key}`, "Content-Type": "application/json"},
    });
    return [answer.status, await answer.json(), answer.headers.get("X-Request-ID")];
  } catch (error) { return ["blocked", error.name, null]; }
}"""


def test_a_page_reads_with_a_key_that_names_its_origin(hub: Hub, browser: Browser, shop_page: str) -> None:
    def key(origins: list[str]) -> str:
        body = {
            "name": "In a page",
            "key_type": "restricted",
            "scopes": ["records:read", "records:write"],
            "permissions": {"read": True, "write": True},
            "security": {"allowed_origins": origins},
        }
        found: str = hub.api("POST", "api-keys", json=body).json()["key"]
        return found

    clients = f"{hub.url}/api/v1/records/clients"
    context = browser.new_context()
    page = context.new_page()
    page.goto(shop_page)
    mine = key([shop_page])
    status, body, request_id = page.evaluate(CALL, [f"{clients}?limit=1", mine, "GET", None])
    assert (status, len(body["data"])) == (200, 1)
    assert request_id.startswith("req_")
    row = '{"name": "From a page", "external_id": "P-1"}'
    status, body, _ = page.evaluate(CALL, [clients, mine, "POST", row])
    assert (status, body["name"]) == (201, "From a page")
    # A key for another page is refused, and the page learns why; one without origins tells pages nothing.
    status, body, _ = page.evaluate(CALL, [clients, key(["https://elsewhere.example.com"]), "GET", None])
    assert (status, body["code"]) == (403, "origin_not_allowed")
    assert page.evaluate(CALL, [clients, key([]), "GET", None])[0] == "blocked"
    context.close()


def test_the_documentation_reads_with_a_key_that_names_the_hub(hub: Hub, browser: Browser) -> None:
    """A browser sends no Origin with what a page reads from its own server."""

    def key(origin: str) -> str:
        body = {"name": "Try", "scopes": ["records:read"], "security": {"allowed_origins": [origin]}}
        found: str = hub.api("POST", "api-keys", json=body).json()["key"]
        return found

    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{hub.url}/api/docs")
    clients = f"{hub.url}/api/v1/records/clients?limit=1"
    assert page.evaluate(CALL, [clients, key(hub.url), "GET", None])[0] == 200
    status, body, _ = page.evaluate(CALL, [clients, key("https://shop.example.com"), "GET", None])
    assert (status, body["code"]) == (403, "origin_not_allowed")
    context.close()
