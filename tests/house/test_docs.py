"""The documentation's pages: complete, offline, true about where they lead, and searchable."""

from __future__ import annotations

import re
import time
from html import unescape

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from apps.kernel.api.docs import document
from apps.kernel.api.guides import folder, guides
from apps.kernel.api.versions import versions
from apps.webhooks import signing

GUIDES = [one.name for one in guides()]
EXPECTED = {
    "getting-started", "authentication", "pagination", "errors", "idempotency", "webhooks", "versions",
    "other-systems",
}  # fmt: skip
PAGES = ["docs", "redoc", "changelog", "errors", "docs/search?q=key", *(f"docs/{name}" for name in GUIDES)]
# Where a reader may be sent to; nothing is loaded from there.
ELSEWHERE = ("https://www.rfc-editor.org/", "https://www.standardwebhooks.com/")


def page(path: str) -> str:
    response = Client().get(f"/api/{path}")
    assert response.status_code == 200, path
    assert "API-Version" not in response
    return response.content.decode()


@pytest.mark.parametrize("path", PAGES)
def test_pages_load_nothing_from_other_hosts(path: str) -> None:
    text = page(path)
    for kind, address in re.findall(r'\b(src|href)="([^"]*)"', text):
        address = unescape(address)
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/").partition("?")[0]), address
        elif kind == "src":
            raise AssertionError(address)
        else:
            assert address.startswith(("/", "#", "?", *ELSEWHERE)), address
    assert "http" not in Client().get(f"/api/{path}")["Content-Security-Policy"]


@pytest.mark.parametrize("path", PAGES)
def test_links_lead_somewhere(path: str, db: None) -> None:
    client = Client()
    for address in set(re.findall(r'href="(/api/[^"]*)"', page(path))):
        target, _, anchor = unescape(address).partition("#")
        answer = client.get(target)
        assert answer.status_code == 200, address
        if anchor and not anchor.startswith("/"):
            assert f'id="{anchor}"' in answer.content.decode(), address


def test_every_guide_is_a_page() -> None:
    assert set(GUIDES) >= EXPECTED
    for one in guides():
        text = page(f"docs/{one.name}")
        assert f"<h1>{one.title}</h1>" in text
        assert "](" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.S), one.name
        assert "hub.example.com" not in text


def test_guides_name_only_operations_that_there_are() -> None:
    known = set()
    for path, item in document(versions.newest.name)["paths"].items():
        short = path.removeprefix(f"/api/{versions.newest.name}/")
        known |= {f"{method.upper()} {short}" for method in item} | {short}
    for one in guides():
        if one.name == "other-systems":  # it names what other releases have, too, and says so
            continue
        for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) ([a-z][^`?\s]*)", one.source):
            assert f"{method} {path}" in known or _fits(method, path, known), (one.name, method, path)


def _fits(method: str, path: str, known: set[str]) -> bool:
    """Whether an example such as versions/v2/changes is an operation's address."""
    return any(
        re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(name)), f"{method} {path}") for name in known
    )


def test_python_in_the_guides_is_python() -> None:
    found = 0
    for path in folder().glob("[0-9]*.md"):
        for code in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S):
            compile(code, path.name, "exec")
            found += 1
    assert found >= 3


def test_the_webhook_guide_verifies_what_the_hub_signs() -> None:
    source = next(one.source for one in guides() if one.name == "webhooks")
    code = re.search(r"```python\n(.*?)```", source, flags=re.S)
    assert code is not None
    scope: dict = {}
    exec(code[1], scope)
    secret, body = signing.generate_secret(), b'{"id": "evt_1"}'
    sent = int(time.time())
    signature = signing.sign(message_id="evt_1", timestamp=sent, body=body, secrets=[secret])
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(sent), "webhook-signature": signature}
    scope["verify"](secret, headers, body)
    for wrong in (b"{}", body + b" "):
        with pytest.raises(ValueError, match="signature"):
            scope["verify"](secret, headers, wrong)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rotate key", "Rotate a key"),
        ("idempotency", "Idempotency-Key"),
        ("jobs/{id}/errors", "errors"),
        ("version_sunset", "This version of the API is no longer served"),
        ("attempt_count", "A delivery counts its tries"),
        ("standard webhooks signature", "Check the signature"),
    ],
)
def test_search_finds(query: str, expected: str) -> None:
    assert expected in re.sub(r"</?(?:mark|code)>", "", page(f"docs/search?q={query}"))


@pytest.mark.parametrize("query", ["zzzzqqq", "<script>alert(1)</script>", "%00", "(((", "a" * 5000, "“"])
def test_search_stands_anything(query: str) -> None:
    text = page(f"docs/search?q={query}")
    assert "<script>alert" not in text


def test_the_changelog_tells_every_change() -> None:
    text = page("changelog")
    for identifier in ("bulk-counts", "job-error-detail", "webhook-secret-overlap", "delivery-attempt-count"):
        assert f'id="{identifier}"' in text
    assert "v2@2026-11-15" in text


def test_pages_tell_which_version_they_show() -> None:
    assert 'data-schema="/api/schema?version=v1"' in page("docs?version=v1")
    assert 'data-schema="/api/schema?version=v2"' in page("docs")
    assert 'data-schema="/api/schema?version=v2"' in page("docs?version=v99")


def test_a_guide_that_is_not_there_is_404() -> None:
    for name in ("nothing", "demo", "..%2f..%2fREADME"):
        assert Client().get(f"/api/docs/{name}").status_code == 404
