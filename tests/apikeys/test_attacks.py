"""What strangers and thieves try, each refused with 4xx and without effect."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.apikeys import key_format
from apps.apikeys.models import APIKey
from apps.apikeys.services import keys, usage, verified
from apps.kernel.crypto import hashing
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_api import KEYS, problem


def wrong_ones(issue: Issue, organization: Organization) -> dict[str, str]:
    right = issue(organization)
    body = right.key.prefix + "_" + "a" * 43
    revoked = issue(organization)
    keys.revoke(key=revoked.key, actor=SYSTEM)
    return {
        "checksum": right.secret[:-1] + ("0" if right.secret[-1] != "0" else "1"),
        "unknown": key_format.generate(key_type="secret", environment="production").text,
        "secret": body + key_format.checksum(body),
        "revoked": revoked.secret,
    }


def test_wrong_keys_do_the_same_work(
    acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    """One digest, and one look-up at most: nothing that a stop-watch could tell them apart by."""
    digests: list[str] = []
    real = hashing.verify
    monkeypatch.setattr(hashing, "verify", lambda *args: digests.append("x") or real(*args))
    for name, text in wrong_ones(issue, acme).items():
        digests.clear()
        with django_assert_num_queries(0 if name == "checksum" else 1):
            problem(client_of(text).get(KEYS), 401, "invalid_key")
        assert digests == ["x"], name


def test_a_stranger_neither_locks_nor_uses_up_a_key(acme: Organization, issue: Issue) -> None:
    from apps.apikeys.models import RateLimit

    right = issue(acme)
    RateLimit.objects.create(
        organization=acme, subject_kind="key", subject_id=right.key.group.hex, per_minute=2
    )
    body = right.key.prefix + "_" + "b" * 43
    guess = body + key_format.checksum(body)
    for _ in range(30):
        problem(client_of(guess).get(KEYS), 401, "invalid_key")
    assert [client_of(right.secret).get(KEYS).status_code for _ in range(3)] == [200, 200, 429]
    usage.flush()
    right.key.refresh_from_db()
    assert right.key.status == "active"


def test_a_claimed_address_passes_no_list(acme: Organization, issue: Issue) -> None:
    client = client_of(issue(acme, ip_whitelist=["192.0.2.0/24"]).secret)
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP"):
        value = "for=192.0.2.1" if header == "Forwarded" else "192.0.2.1"
        problem(client.get(KEYS, headers={header: value}), 403, "ip_not_allowed")


@pytest.mark.parametrize("query", ["key={}", "access_token={}", "a=1&x={}", "{}", "a=%73k{}"])
def test_a_key_in_the_query_string_opens_nothing(acme: Organization, issue: Issue, query: str) -> None:
    issued = issue(acme)
    text = issued.secret[2:] if "%73k" in query else issued.secret
    response = APIClient().get(f"{KEYS}?{query.format(text)}")
    assert response.status_code in (400, 401)
    assert issued.secret not in response.content.decode()


def test_a_revoked_key_is_refused_by_a_process_that_remembers_it(acme: Organization, issue: Issue) -> None:
    from apps.apikeys import limiter

    issued = issue(acme)
    client = client_of(issued.secret)
    assert client.get(KEYS).status_code == 200
    # As another process would: nothing in this one's memory changes, only the row and the generation.
    APIKey.objects.filter(pk=issued.key.pk).update(status="revoked")
    assert verified.recall(issued.secret) is not None
    limiter._from_settings().bump()
    problem(client.get(KEYS), 401, "invalid_key")


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": ["*:*"]},
        {"scopes": ["records:read", "api-keys:write"]},
        {"permissions": {"admin": True}},
        {"organization": "globex"},
        {"status": "active"},
        {"group": "00000000-0000-0000-0000-000000000000"},
        {"key_type": "secret"},
        {"digest": "00"},
        {"signing_secret": "x"},
        {"waiting_secret": "x"},
    ],
)
def test_a_patch_raises_nothing(acme: Organization, issue: Issue, body: dict[str, Any]) -> None:
    weak = issue(acme, scopes=["records:read"], permissions={"read": True, "write": True}).key
    before = APIKey.objects.filter(pk=weak.pk).values().get()
    response = client_of(issue(acme).secret).patch(f"{KEYS}/{weak.number}", body, format="json")
    assert response.status_code in (403, 422), response.content
    assert APIKey.objects.filter(pk=weak.pk).values().get() == before


def test_foreign_names_in_bodies_filters_and_cursors(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    for _ in range(3):
        theirs = issue(globex, name="Secret project")
    cursor = client_of(theirs.secret).get(f"{KEYS}?limit=1").json()["next"].partition("cursor=")[2]
    mine = client_of(issue(acme).secret)
    assert mine.get(f"{KEYS}?limit=1&cursor={cursor}").status_code == 400
    assert mine.get(f"{KEYS}?search=Secret").json()["data"] == []
    for verb in ("rotate", "revoke", "suspend", "resume", "collect", "signing-secret"):
        problem(mine.post(f"{KEYS}/{theirs.key.number}/{verb}"), 404, "not_found")
    theirs.key.refresh_from_db()
    assert theirs.key.status == "active"


class TestBodies:
    @pytest.fixture
    def client(self, acme: Organization, issue: Issue) -> APIClient:
        client = client_of(issue(acme).secret)
        client.raise_request_exception = False
        return client

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"[" * 10_000 + b"]" * 10_000, 400),
            (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
            (b'{"name": "a\\u0000b", "scopes": []}', 400),
            (b'{"name": "a\x00b", "scopes": []}', 400),
            (b'{"name": "\xff\xfe", "scopes": []}', 400),
            (b'{"name": "\\ud800", "scopes": []}', 400),
            (b'{"name": NaN}', 400),
            (b"[]", 422),
            (b"null", 422),
            (b"", 422),
            (b'{"name": "x", "scopes": {"a": 1}}', 422),
            (b'{"name": 1e999, "scopes": []}', 400),
        ],
    )
    def test_broken_json(self, client: APIClient, body: bytes, status: int) -> None:
        before = APIKey.objects.count()
        response = client.generic("POST", KEYS, body, "application/json")
        assert 400 <= response.status_code < 500, response.content
        assert response.status_code in (status, 400, 422)
        assert response["Content-Type"] == "application/problem+json"
        assert APIKey.objects.count() == before

    def test_fifty_megabytes(self, client: APIClient) -> None:
        body = b'{"name": "' + b"x" * (50 * 2**20) + b'"}'
        problem(client.generic("POST", KEYS, body, "application/json"), 413, "too_large")

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
    def test_packed_bodies(self, client: APIClient, encoding: str) -> None:
        body = gzip.compress(json.dumps({"name": "x", "scopes": []}).encode())
        response = client.generic(
            "POST", KEYS, body, "application/json", headers={"Content-Encoding": encoding}
        )
        problem(response, 415, "content_encoding_not_supported")

    @pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x"])
    def test_other_kinds_of_bodies(self, client: APIClient, kind: str) -> None:
        response = client.generic("POST", KEYS, b"name=x", kind)
        assert response.status_code in (400, 415), response.content


def test_nothing_of_a_key_is_in_the_database_or_the_logs(
    acme: Organization, issue: Issue, caplog: pytest.LogCaptureFixture
) -> None:
    """After a whole life: created, used, signed, rotated by policy, collected, revoked."""
    from django.utils import timezone

    from apps.apikeys.services import rotation
    from tests.dumps import dump

    first = issue(acme, rotate_every_days=30)
    secret = rotation.renew_signing_secret(key=first.key, actor=SYSTEM).signing_secret
    APIKey.objects.filter(pk=first.key.pk).update(next_rotation_at=timezone.now())
    rotation.rotate_due()
    second = rotation.collect(key=APIKey.objects.get(waiting_secret__isnull=False), actor=SYSTEM)
    client_of(first.secret).get(f"{KEYS}?api_key={first.secret}")
    client_of(second.secret).get(KEYS, HTTP_USER_AGENT=f"curl {second.secret}")
    keys.revoke(key=second.key, actor=SYSTEM, reason=f"leaked {second.secret}")
    usage.flush()
    stored = dump() + caplog.text
    for text in (first.secret, second.secret, secret, second.signing_secret):
        assert text
        assert text.rsplit("_", 1)[1] not in stored
