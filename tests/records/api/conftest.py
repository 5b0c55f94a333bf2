"""An organization, a full client of it, and a foreign one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys, verified
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations

Open = Callable[..., APIClient]


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    verified.forget_all()
    yield
    verified.forget_all()


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return organizations.create(name="Globex")


@pytest.fixture
def open_client() -> Open:
    def open_client(organization: Organization, **values: Any) -> APIClient:
        given = {"scopes": ["*:*"], "permissions": keys.ALL_PERMISSIONS, **values}
        issued = keys.create(
            organization=organization, name="test", actor=SYSTEM, never_expires=True, **given
        )
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
        return client

    return open_client


@pytest.fixture
def client(acme: Organization, open_client: Open) -> APIClient:
    return open_client(acme)
