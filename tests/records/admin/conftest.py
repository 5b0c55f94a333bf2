from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.records.models import Dataset, Record
from apps.records.services import records
from apps.tenants.principals import Actor
from tests.people import member, signed_in

ADA = Actor("user", "ada@example.com", "Ada Lovelace")


@pytest.fixture
def browser(organization: Any) -> Client:
    """Where an owner of the organization has signed in."""
    return signed_in(member(organization, "owner"))


@pytest.fixture
def add(clients: Dataset) -> Any:
    """Adds a client."""

    def add(key: str, **values: Any) -> Record:
        return records.create(
            dataset=clients, values={"external_id": key, "name": f"Client {key}", **values}, actor=ADA
        )

    return add
