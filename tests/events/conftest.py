from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from django.db import OperationalError

from apps.events.catalog import Subscriber, subscribers
from apps.events.models import Event
from apps.tenants.models import Organization
from apps.tenants.services import organizations


@dataclass
class Listener:
    """A subscriber that writes down what it takes, and chokes on the subjects in `poison`."""

    patterns: list[str] = field(default_factory=lambda: ["*"])
    taken: list[str] = field(default_factory=list)
    poison: set[str] = field(default_factory=set)
    database_fails: bool = False

    def wants(self, organization_id: UUID) -> Sequence[str]:
        return self.patterns

    def take(self, events: Sequence[Event]) -> None:
        if self.database_fails:
            raise OperationalError("deadlock detected")
        for event in events:
            if event.subject in self.poison:
                raise ValueError(f"cannot take {event.subject}, token=abcdefghijkl")
        self.taken += [event.subject for event in events]


def _listening(name: str) -> Iterator[Listener]:
    listener = Listener()
    subscribers.register(Subscriber(name, listener.wants, listener.take))
    yield listener
    del subscribers._items[name]


@pytest.fixture
def listener() -> Iterator[Listener]:
    yield from _listening("test listener")


@pytest.fixture
def second() -> Iterator[Listener]:
    yield from _listening("test second")


@pytest.fixture
def organization(db: None) -> Organization:
    return organizations.create(name="Northwind")
