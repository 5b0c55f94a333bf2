from __future__ import annotations

import pytest

from apps.records.models import Dataset
from apps.records.selectors import dataset_of
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import organizations


@pytest.fixture
def organization(db) -> Organization:
    return organizations.create(name="Northwind")


@pytest.fixture
def clients(organization) -> Dataset:
    return dataset_of(organization, "clients")


@pytest.fixture
def actor() -> Actor:
    return Actor("job", "JOB-2026-00001", "clients.csv")
