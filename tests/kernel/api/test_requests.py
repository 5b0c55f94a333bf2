"""Bodies, ids, versions, addresses: what comes in before any rule of business."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory
from rest_framework.test import APIClient

from apps.kernel.api.addresses import client_ip
from apps.kernel.api.context import accept_request_id
from apps.kernel.api.versions import VersionSpec, canonical_path, versions

ECHO = "/api/v1/echo"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"a": 1}', "application/json", 200),
        (b'{"a": 1}', "application/json; charset=utf-8", 200),
        (b"", "application/json", 200),
        (b"{", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'"\xed\xa0\x80"', "application/json", 400),
        (b'"\\ud800"', "application/json", 400),
        (b'{"a": "\x00"}', "application/json", 400),
        (b'{"a": "\\u0000"}', "application/json", 400),
        (b"[" * 400 + b"]" * 400, "application/json", 400),
        (b"1" * 5000, "application/json", 413),
        (b'"' + b"x" * 1000 + b'"', "application/json", 413),
        (b"a=1", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "text/xml", 415),
        (b"x", "", 415),
        (b"x", "nonsense", 415),
    ],
)
def test_every_broken_body_is_the_callers_mistake(
    client: APIClient, body: bytes, content_type: str, status: int
) -> None:
    response = client.generic("POST", ECHO, body, content_type=content_type)
    assert response.status_code == status, response.content
    if status >= 400:
        assert response["Content-Type"] == "application/problem+json"


def test_a_large_body_is_not_even_read(client: APIClient) -> None:
    class Endless:
        def read(self, size: int = -1) -> bytes:
            self.taken = getattr(self, "taken", 0) + size
            return b"[" * size

        readline = read

    endless = Endless()
    environ = {"wsgi.input": endless, "CONTENT_LENGTH": str(50 * 2**20), "CONTENT_TYPE": "application/json"}
    response = client.post(ECHO, **environ)  # type: ignore[arg-type]
    assert response.status_code == 413
    assert endless.taken <= 64 * 1024 + 1001


def test_a_body_sent_in_chunks_is_read(client: APIClient) -> None:
    import io

    environ: dict[str, Any] = {
        "wsgi.input": io.BytesIO(b'{"a": [1, 2]}'),
        "CONTENT_LENGTH": "",
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_TYPE": "application/json",
    }
    response = client.post(ECHO, **environ)
    assert response.json() == {"body": {"a": [1, 2]}}


def test_the_callers_request_id_is_kept_and_nonsense_is_replaced(client: APIClient) -> None:
    assert (
        client.get("/api/v1/open", HTTP_X_REQUEST_ID="trace-0123456789")["X-Request-ID"] == "trace-0123456789"
    )
    for nonsense in ("", "short", "x" * 65, "a b c d e f g h", "line\nbreak--", "<script>alert(1)</script>"):
        given = client.get("/api/v1/open", HTTP_X_REQUEST_ID=nonsense)["X-Request-ID"]
        assert given.startswith("req_")
        assert len(given) == 30
    assert accept_request_id(None) != accept_request_id(None)


def test_the_path_names_the_version_and_without_one_the_oldest_answers(client: APIClient) -> None:
    for address in ("/api/v1/open", "/api/open", "/api/open/", "/api/v1/open/"):
        response = client.get(address)
        assert response.status_code == 200, address
        assert response.json() == {"version": "v1"}
        assert response["API-Version"] == "v1"
    response = client.get("/api/v9/open")
    assert response.status_code == 404
    assert "v1" in response.json()["detail"]
    assert response["API-Version"] == "v1"


def test_a_pinned_caller_gets_their_version_where_the_path_names_none(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import date

    from tests.kernel.api.conftest import client_of

    monkeypatch.setattr(versions, "_specs", dict(versions._specs))
    versions.register(VersionSpec("v2", released=date(2027, 1, 1)))
    pinned, loose = client_of(acme, api_version="v2"), client_of(acme)
    assert pinned.get("/api/pin").json() == {"version": "v2"}
    assert pinned.get("/api/pin")["API-Version"] == "v2"
    assert pinned.get("/api/v1/pin").json() == {"version": "v1"}
    assert loose.get("/api/pin").json() == {"version": "v1"}
    assert loose.get("/api/v2/pin").json() == {"version": "v2"}


def test_one_place_has_one_canonical_path() -> None:
    assert canonical_path("/api/v1/records/x") == canonical_path("/api/records/x") == "/api/records/x"
    assert canonical_path("/api/versions") == "/api/versions"


@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "expected"),
    [
        (0, "192.0.2.1", None, "192.0.2.1"),
        (0, "192.0.2.1", "198.51.100.9", "192.0.2.1"),
        (1, "192.0.2.1", "198.51.100.9", "198.51.100.9"),
        (1, "192.0.2.1", "6.6.6.6, 198.51.100.9", "198.51.100.9"),
        (2, "192.0.2.1", "6.6.6.6, 198.51.100.9, 192.0.2.2", "198.51.100.9"),
        (2, "192.0.2.1", "198.51.100.9", "192.0.2.1"),
        (1, "192.0.2.1", "", "192.0.2.1"),
        (1, "192.0.2.1", "nonsense", "192.0.2.1"),
        (1, "192.0.2.1", "[2001:DB8::1]:443", "2001:db8::1"),
        (1, "192.0.2.1", "198.51.100.9:1234", "198.51.100.9"),
        (0, "::ffff:192.0.2.1", None, "192.0.2.1"),
        (0, "fe80::1%eth0", None, "fe80::1"),
        (0, "", None, None),
    ],
)
def test_only_what_trusted_proxies_appended_is_believed(
    settings: Any, proxies: int, remote: str, forwarded: str | None, expected: str | None
) -> None:
    settings.HUB_TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
    assert client_ip(RequestFactory().get("/", REMOTE_ADDR=remote, **headers)) == expected


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_a_body_that_says_a_thing_twice_is_refused(client: Any, kind: str) -> None:
    answer = client.post("/api/v1/echo", b'{"role": "reader", "role": "owner"}', content_type=kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_name")
    assert "role" in answer.json()["detail"]
