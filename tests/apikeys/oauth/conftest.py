"""An organization with people and applications, and a client that speaks the protocol by hand."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import settings
from django.test import Client

from apps.apikeys.models import Application
from apps.apikeys.services import applications, bearers, signing
from apps.apikeys.services.applications import IssuedApplication
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM
from tests.people import member, signed_in

CALLBACK = "https://app.example.com/callback"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture(autouse=True)
def _fresh_tokens() -> Iterator[None]:
    """What a process remembers of tokens and signing keys belongs to one test."""
    bearers.forget_all()
    signing.forget_all()
    yield
    bearers.forget_all()
    signing.forget_all()


@pytest.fixture
def owner(acme: Organization) -> User:
    return member(acme, "owner")


Register = Callable[..., IssuedApplication]


@pytest.fixture
def register(acme: Organization) -> Register:
    """Registers an application that may ask for reading and writing records, by every flow it can."""

    def register(organization: Organization = acme, **values: Any) -> IssuedApplication:
        public = values.get("public", False)
        flows = [Application.Flow.AUTHORIZATION_CODE, Application.Flow.DEVICE_CODE]
        given = {
            "name": "Shop Sync",
            "flows": flows if public else [*flows, Application.Flow.CLIENT_CREDENTIALS],
            "redirect_uris": [CALLBACK],
            "scopes": ["records:read", "records:write", "datasets:read"],
        }
        return applications.create(organization=organization, actor=SYSTEM, **{**given, **values})

    return register


@dataclass
class Asking:
    """An application that asks, by hand, and remembers what it was told."""

    issued: IssuedApplication
    browser: Client
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def application(self) -> Application:
        return self.issued.application

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def address(self, **values: str | None) -> str:
        given = {
            "response_type": "code",
            "client_id": self.application.client_id,
            "redirect_uri": CALLBACK,
            "scope": "records:read",
            "state": "st-1",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **values,
        }
        return "/oauth/authorize?" + urlencode({k: v for k, v in given.items() if v is not None})

    def allow(self, organization: Organization | None = None, **values: str | None) -> dict[str, str]:
        """What comes back at the redirect address when the person allows."""
        slug = (organization or self.application.organization).slug  # type: ignore[union-attr]
        answer = self.browser.post(self.address(**values), {"decision": "allow", "organization": slug})
        assert answer.status_code == 303, answer.content.decode()
        return returned(answer)

    def code(self, **values: Any) -> str:
        return self.allow(**values)["code"]

    def token(self, **values: str | None) -> Any:
        """An answer of the token endpoint, with the client's secret if it has one."""
        given = {
            "client_id": self.application.client_id,
            "client_secret": self.issued.secret or None,
            **values,
        }
        return Client().post(
            "/oauth/token",
            urlencode({k: v for k, v in given.items() if v is not None}),
            content_type="application/x-www-form-urlencoded",
        )

    def exchange(self, code: str, **values: str | None) -> Any:
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
        }
        return self.token(**{**given, **values})

    def signed_in(self, **values: Any) -> dict[str, Any]:
        """Tokens, by the code flow."""
        answer = self.exchange(self.code(**values))
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def refresh(self, refresh_token: str, **values: str | None) -> Any:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": refresh_token, **values})

    def post(self, path: str, **values: str | None) -> Any:
        given = {
            "client_id": self.application.client_id,
            "client_secret": self.issued.secret or None,
            **values,
        }
        return Client().post(
            path,
            urlencode({k: v for k, v in given.items() if v is not None}),
            content_type="application/x-www-form-urlencoded",
        )


@pytest.fixture
def asking(register: Register, owner: User) -> Asking:
    """A confidential application before the owner's browser."""
    return Asking(register(), signed_in(owner))


def returned(answer: Any) -> dict[str, str]:
    """The parameters of a redirect, which always names the issuer."""
    parts = urlsplit(answer.headers["Location"])
    found = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    assert found["iss"] == settings.HUB_BASE_URL
    return found


def calls(token: str, path: str = "/api/v1/datasets") -> Any:
    """An answer of the API to this token."""
    return Client().get(path, headers={"Authorization": f"Bearer {token}"})
