from __future__ import annotations

import pytest

from apps.tenants.models import Organization
from apps.tenants.services import organizations


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return organizations.create(name="Globex")
