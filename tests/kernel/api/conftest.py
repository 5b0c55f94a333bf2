from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys, verified
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations


@pytest.fixture(autouse=True)
def _small_api(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.kernel.api.urls"
    verified.forget_all()
    yield
    verified.forget_all()


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def client(acme: Organization) -> APIClient:
    return client_of(acme)


def client_of(organization: Organization, **values: Any) -> APIClient:
    given = {"scopes": ["*:*"], "permissions": keys.ALL_PERMISSIONS, **values}
    issued = keys.create(organization=organization, name="t", actor=SYSTEM, never_expires=True, **given)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    return client
