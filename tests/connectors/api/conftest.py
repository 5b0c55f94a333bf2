from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage, verified
from apps.tenants.principals import SYSTEM


@pytest.fixture(autouse=True)
def _fresh_process():
    verified.forget_all()
    usage.forget_all()
    yield
    verified.forget_all()


@pytest.fixture
def client_of():
    """A client with a new API key of an organization; unrestricted unless told."""

    def make(organization, scopes=("*:*",)):
        issued = keys.create(
            organization=organization,
            name="test",
            actor=SYSTEM,
            scopes=list(scopes),
            permissions=keys.ALL_PERMISSIONS,
            never_expires=True,
        )
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
        return client

    return make


@pytest.fixture
def client(client_of, organization):
    return client_of(organization)
