"""Event types, declared by the apps that publish them, and the subscribers that want them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from apps.kernel.registry import Registry

if TYPE_CHECKING:
    from apps.events.models import Event
    from apps.tenants.models import Organization
    from apps.tenants.principals import Actor


@dataclass(frozen=True)
class EventType:
    """One type of event: its name (`invoice.updated`), JSON Schema (2020-12) of `data`, and a sample."""

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sample: Mapping[str, Any] = field(default_factory=dict, hash=False)
    group: str = ""
    version: int = 1
    own: bool = False  # declared by an organization, for itself


@dataclass(frozen=True)
class Subscriber:
    """A party that events are handed to.

    `wants(organization_id)` returns the patterns (`invoice.*`, `*`) that it listens for, cheaply;
    `take(events)` writes what it owes for them, inside the fan-out's transaction.
    """

    name: str
    wants: Callable[[UUID], Sequence[str]]
    take: Callable[[Sequence[Event]], None]


@dataclass(frozen=True)
class TypeSource:
    """A party that knows further event types of an organization, such as those of its own datasets.

    `types_of(organization)` returns all of them.
    """

    name: str
    types_of: Callable[[Organization], Sequence[EventType]]


@dataclass(frozen=True)
class Callback:
    """A party that can tell single addresses of events, for things that are asked about one by one.

    `ensure(organization, url, actor)` prepares an address and returns the name by which events call it: those
    whose data have that name under `notify` are told to the address. It looks names up and writes, so it is
    called outside of transactions. Raises InvalidInput for an address that cannot be told.
    """

    name: str
    ensure: Callable[[Organization, str, Actor], str]


event_types: Registry[EventType] = Registry("Event type")
subscribers: Registry[Subscriber] = Registry("Subscriber")
type_sources: Registry[TypeSource] = Registry("Source of event types")
callbacks: Registry[Callback] = Registry("Callback")


def matches(pattern: str, name: str) -> bool:
    """Whether a subscription pattern covers an event type: `*`, `invoice.*` or the exact name."""
    if pattern in ("*", name):
        return True
    return pattern.endswith(".*") and name.startswith(pattern[:-1])


def is_wanted(organization_id: UUID, name: str) -> bool:
    """Whether any subscriber of the organization listens for this type."""
    return any(
        matches(pattern, name) for subscriber in subscribers for pattern in subscriber.wants(organization_id)
    )
