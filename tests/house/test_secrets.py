"""After a full run, no key, token or secret stands in clear in database, cache, logs or the admin's history.

`STEPS` are what is done; each returns the secrets that it saw. Whoever adds a kind of credential adds a step.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.apikeys.test_admin import form
from tests.dumps import dump
from tests.people import PASSWORD, member, signed_in


class Run:
    """An organization, its owner in a browser, and an unrestricted key."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.owner: User = member(organization, "owner")
        self.browser: Client = signed_in(self.owner)
        issued = keys.create(
            organization=organization, name="run", actor=SYSTEM, scopes=["*:*"],
            permissions=keys.ALL_PERMISSIONS, never_expires=True,
        )  # fmt: skip
        self.key = issued.secret

    def api(self, **headers: str) -> APIClient:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {self.key}", **headers)
        return client


def _keys_over_the_api(run: Run) -> Iterable[str]:
    body = {"name": "made", "scopes": ["records:read"]}
    first = run.api(HTTP_IDEMPOTENCY_KEY="one-two-three").post("/api/v1/api-keys", body, format="json")
    again = run.api(HTTP_IDEMPOTENCY_KEY="one-two-three").post("/api/v1/api-keys", body, format="json")
    assert first.status_code == again.status_code == 201
    rotated = run.api().post(f"/api/v1/api-keys/{first.json()['id']}/rotate", {}, format="json")
    return [run.key, first.json()["key"], rotated.json()["key"]]


def _keys_where_they_must_not_be(run: Run) -> Iterable[str]:
    issued = keys.create(
        organization=run.organization, name="exposed", actor=SYSTEM, scopes=["*:*"], never_expires=True
    )
    run.api().get(f"/api/v1/api-keys?key={issued.secret}")
    run.api().get(f"/api/v1/api-keys/{issued.secret}")
    run.api(HTTP_USER_AGENT=f"x {issued.secret}", HTTP_REFERER=f"https://x/?k={issued.secret}").get(
        "/api/v1/api-keys"
    )
    run.api(HTTP_X_REQUEST_ID=issued.secret).get("/api/v1/api-keys")
    run.api().patch("/api/v1/api-keys/nothing", {issued.secret: issued.secret}, format="json")
    Client().get("/api/v1/api-keys", HTTP_X_API_KEY=issued.secret[:-1] + "x")
    return [issued.secret]


def _keys_in_the_admin(run: Run) -> Iterable[str]:
    values = form(name="by hand", access="everything", chosen="")
    answer = run.browser.post("/admin/apikeys/apikey/add/", values)
    assert answer.status_code == 200
    secret: str = answer.context["secret"]
    return [secret]


def _passwords(run: Run) -> Iterable[str]:
    new = "a-brand-new-long-phrase-9471"
    run.browser.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    Client().post("/admin/login/", {"username": run.owner.email, "password": "wrong-password-5512"})
    return [new, PASSWORD, "wrong-password-5512"]


def _webhooks(run: Run) -> Iterable[str]:
    body = {"name": "hook", "url": "https://8.8.8.8/hook", "events": ["*"]}
    answer = run.api().post("/api/v1/webhooks", body, format="json")
    assert answer.status_code == 201, answer.json()
    secret = answer.json().get("secret")
    return [secret, secret.removeprefix("whsec_")] if secret else []


STEPS: list[Callable[[Run], Iterable[str]]] = [
    _keys_over_the_api,
    _keys_where_they_must_not_be,
    _keys_in_the_admin,
    _passwords,
    _webhooks,
]


def forms_of(secret: str) -> set[bytes]:
    """The ways in which a text may stand somewhere without being protected."""
    raw = secret.encode()
    whole = base64.b64encode(raw).rstrip(b"=")
    return {
        raw,
        raw.hex().encode(),
        whole,
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        quote(secret, safe="").encode(),
    }


def _cached() -> bytes:
    """Everything in the cache, whichever it is."""
    inner: Any = getattr(cache, "_cache", None)
    if hasattr(inner, "get_client"):  # Redis
        client = inner.get_client()
        found = []
        for name in client.scan_iter("*"):
            kind = client.type(name)
            value = client.get(name) if kind == b"string" else client.dump(name)
            found.append(name + b" " + (value or b""))
        return b"\n".join(found)
    from integration_hub.runtime.sqlite_cache import SQLiteCache

    assert isinstance(
        cache._connections[cache._alias] if hasattr(cache, "_connections") else cache, SQLiteCache
    )
    from django.conf import settings

    with open(settings.CACHES["default"]["LOCATION"], "rb") as file:
        found_bytes = file.read()
    try:
        with open(f"{settings.CACHES['default']['LOCATION']}-wal", "rb") as file:
            found_bytes += file.read()
    except FileNotFoundError:
        pass
    return found_bytes


@pytest.mark.django_db
def test_no_secret_stands_anywhere_in_clear(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run = Run(organizations.create(name="Acme"))
    secrets: set[str] = set()
    for step in STEPS:
        secrets.update(step(run))
    usage.flush()
    call_command("verify_audit", verbosity=0)

    browser = signed_in(User.objects.get(pk=run.owner.pk))
    pages = [
        browser.get(path).content
        for path in (
            "/admin/", "/admin/audit/auditentry/", "/admin/apikeys/requestlog/", "/admin/api-usage/",
            "/admin/apikeys/apikey/",
        )
    ]  # fmt: skip
    from apps.audit.models import AuditEntry

    pages += [
        browser.get(f"/admin/audit/auditentry/{entry.public_id}/change/").content
        for entry in AuditEntry.objects.filter(organization=run.organization)
    ]
    places = {
        "database": dump().encode("utf-8", "surrogateescape"),
        "cache": _cached(),
        "logs": "\n".join(f"{r.getMessage()} {r.__dict__!r}" for r in caplog.records).encode(
            "utf-8", "replace"
        ),
        "admin": b"\n".join(pages),
    }
    assert len(secrets) >= 9
    for name, content in places.items():
        shown = [secret[:12] for secret in secrets if any(form in content for form in forms_of(secret))]
        assert shown == [], f"{name} holds {len(shown)} secrets in clear"
