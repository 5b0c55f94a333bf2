"""Two organizations, and a client for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys, verified
from apps.apikeys.services.keys import IssuedKey
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """What a process remembers of keys belongs to one test."""
    verified.forget_all()
    yield
    verified.forget_all()


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return organizations.create(name="Globex")


Issue = Callable[..., IssuedKey]


@pytest.fixture
def issue() -> Issue:
    """Issues a key; unrestricted unless told."""

    def issue(organization: Organization, **values: Any) -> IssuedKey:
        given = {
            "name": "test",
            "actor": SYSTEM,
            "scopes": ["*:*"],
            "permissions": keys.ALL_PERMISSIONS,
            "never_expires": "expires_at" not in values,
        }
        return keys.create(organization=organization, **{**given, **values})

    return issue


def client_of(secret: str, **headers: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}", **headers)
    return client
