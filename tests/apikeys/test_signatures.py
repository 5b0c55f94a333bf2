"""Signed calls: a key that was only seen on its way is of no use."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.test import Client

from apps.apikeys import signing
from apps.apikeys.services import keys, rotation, verified
from apps.apikeys.services.keymaking import IssuedKey
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_api import KEYS, problem


@pytest.fixture
def signed(acme: Organization, issue: Issue) -> IssuedKey:
    return issue(acme, signature_required=True)


def call(
    issued: IssuedKey,
    path: str = KEYS,
    *,
    method: str = "GET",
    query: str = "",
    body: bytes = b"",
    header: str | None = None,
    secret: str = "",
    **changed: Any,
) -> Any:
    """One call, signed for what it is unless `changed` says otherwise."""
    told = {
        "moment": int(time.time()),
        "nonce": f"n{time.perf_counter_ns()}",
        "method": method,
        "path": path,
        "query": query,
        "body": body,
        **changed,
    }
    if header is None:
        header = signing.header_for(secret or issued.signing_secret, **told)
    return Client().generic(
        method,
        path + (f"?{query}" if query else ""),
        body,
        "application/json",
        headers={"Authorization": f"Bearer {issued.secret}", "Hub-Signature": header},
    )


def test_a_signed_call_is_answered(signed: IssuedKey) -> None:
    assert signed.signing_secret.startswith("sk_sign_")
    assert call(signed).status_code == 200
    assert call(signed, query="limit=1&search=a%20b").status_code == 200
    made = call(
        signed,
        method="POST",
        body=b'{"name": "Shop", "scopes": [], "security": {"signature_required": true}}',
    )
    assert made.status_code == 201, made.content
    assert made.json()["signing_secret"].startswith("sk_sign_")
    assert made.json()["signing_secret"] != signed.signing_secret


def test_an_unsigned_call_is_refused(signed: IssuedKey) -> None:
    body = problem(client_of(signed.secret).get(KEYS), 401, "signature_required")
    assert "Hub-Signature" in body["detail"]


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "POST"},
        {"path": "/api/v1/records/clients"},
        {"query": "limit=2"},
        {"query": ""},
        {"body": b'{"a": 1}'},
        {"secret": "sk_sign_" + "a" * 43},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_was_signed_otherwise_is_refused(signed: IssuedKey, changed: dict[str, Any]) -> None:
    call_ = {"path": KEYS, "method": "GET", "query": "limit=1", "body": b""}
    secret = changed.pop("secret", signed.signing_secret)
    told = {"moment": int(time.time()), "nonce": "n" * 12, **call_, **changed}
    header = signing.header_for(secret, **told)
    problem(call(signed, query="limit=1", header=header), 401, "signature_invalid")
    # Somebody's guess uses up no nonce.
    right = signing.header_for(signed.signing_secret, **{**told, **call_})
    assert call(signed, query="limit=1", header=right).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "nonsense",
        "t=1,n=abc,v1=00",
        "t=1,n=abcdefgh,v1=" + "g" * 64,
        "v1=" + "0" * 64,
        "t=" + "9" * 40,
        "\x00",
    ],
)
def test_nonsense_is_refused(signed: IssuedKey, header: str) -> None:
    problem(call(signed, header=header), 401, "signature_invalid")


@pytest.mark.parametrize("off", [-signing.TOLERANCE - 2, signing.TOLERANCE + 2, -(10**9)])
def test_a_signature_from_another_time_is_refused(signed: IssuedKey, off: int) -> None:
    body = problem(call(signed, moment=int(time.time()) + off), 401, "signature_expired")
    assert "clock" in body["detail"]


def test_a_signature_is_used_once_also_by_a_successor(acme: Organization, signed: IssuedKey) -> None:
    header = signing.header_for(
        signed.signing_secret, moment=int(time.time()), nonce="once-only-1", method="GET", path=KEYS
    )
    assert call(signed, header=header).status_code == 200
    problem(call(signed, header=header), 401, "signature_replayed")
    # Another process: only the shared cache knows.
    from apps.apikeys.services import nonces

    nonces._here.clear()
    problem(call(signed, header=header), 401, "signature_replayed")


def test_the_secret_is_renewed_and_the_former_stops_at_once(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    admin = client_of(issued.secret)
    problem(
        admin.patch(f"{KEYS}/{issued.key.number}", {"security": {"signature_required": True}}, format="json"),
        422,
        "invalid",
    )
    assert admin.get(KEYS).status_code == 200
    made = admin.post(f"{KEYS}/{issued.key.number}/signing-secret")
    assert made.status_code == 200
    assert made["Cache-Control"] == "no-store"
    problem(admin.get(KEYS), 401, "signature_required")
    assert call(issued, secret=made.json()["signing_secret"]).status_code == 200
    renewed = rotation.renew_signing_secret(key=issued.key, actor=SYSTEM)
    problem(call(issued, secret=made.json()["signing_secret"]), 401, "signature_invalid")
    assert call(issued, secret=renewed.signing_secret).status_code == 200
    entries = AuditEntry.objects.filter(action="api_key.signing_secret_made")
    assert entries.count() == 2
    assert "sk_sign_" not in str([entry.changes for entry in entries])


def test_a_key_that_must_sign_makes_no_key_that_need_not(signed: IssuedKey) -> None:
    loose = call(signed, method="POST", body=b'{"name": "Loose", "scopes": []}')
    problem(loose, 403, "scope_not_held")
    path = f"{KEYS}/{signed.key.number}"
    problem(
        call(signed, path, method="PATCH", body=b'{"security": {"signature_required": false}}'),
        403,
        "scope_not_held",
    )


def test_rotation_gives_a_signing_secret_of_its_own(acme: Organization, signed: IssuedKey) -> None:
    new = keys.rotate(key=signed.key, actor=SYSTEM)
    verified.forget_all()
    assert new.signing_secret not in ("", signed.signing_secret)
    assert call(new).status_code == 200
    assert call(signed).status_code == 200
    problem(call(new, secret=signed.signing_secret), 401, "signature_invalid")


def test_a_change_elsewhere_does_not_make_a_fresh_signature_an_old_one(
    acme: Organization, signed: IssuedKey
) -> None:
    """The limiter asks for everything again when another process changed something."""
    from apps.apikeys import limiter

    assert call(signed).status_code == 200
    limiter._from_settings().bump()
    assert call(signed).status_code == 200
