"""Reads about events and their types."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.events.catalog import EventType, event_types
from apps.events.models import Event, StalledEvent
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization


def types_like(*, group: str = "", search: str = "") -> list[EventType]:
    """The catalog by name, narrowed to a group or to names and descriptions that contain a text."""
    text = search.lower()
    found = [
        declared
        for declared in event_types
        if (not group or declared.group == group)
        and (not text or text in declared.name.lower() or text in declared.description.lower())
    ]
    return sorted(found, key=lambda declared: declared.name)


def type_named(name: str) -> EventType:
    """Raises NotFound."""
    declared = event_types.get(name)
    if declared is None:
        raise NotFound(f"There is no event type {name!r}; GET event-types lists all.")
    return declared


def events_of(
    organization: Organization,
    *,
    types: Sequence[str] = (),
    subject: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Event]:
    """An organization's events, newest first."""
    rows = Event.objects.filter(organization=organization)
    if types:
        rows = rows.filter(type__in=types)
    if subject:
        rows = rows.filter(subject=subject)
    if since is not None:
        rows = rows.filter(id__gte=first_id(since))
    if until is not None:
        rows = rows.filter(id__lt=first_id(until))
    return rows.order_by("-id")


def event_of(organization: Organization, ref: str) -> Event:
    """The organization's event with this public id. Raises NotFound."""
    pk = Event.parse_public_id(ref)
    event = None if pk is None else Event.objects.filter(organization=organization, pk=pk).first()
    if event is None:
        raise NotFound(f"There is no event {ref[:60]!r} in this organization.")
    return event


def stalled_of(organization: Organization) -> QuerySet[StalledEvent]:
    """Events that a subscriber could not take yet."""
    return StalledEvent.objects.filter(organization=organization).select_related("event")


def first_id(at: datetime) -> UUID:
    """The smallest time-ordered id of a moment: turns a time into a position on the primary key."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (0b10 << 62))
