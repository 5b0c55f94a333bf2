"""Reads about events and their types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.events.catalog import EventType, event_types, type_sources
from apps.events.models import Event, OwnEventType, StalledEvent
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization


def types_of(organization: Organization) -> list[EventType]:
    """Every type of event that can happen in an organization, by name: those of the code, of its datasets and
    its own.
    """
    found = {declared.name: declared for source in type_sources for declared in source.types_of(organization)}
    found |= {declared.name: declared for declared in event_types}
    own = OwnEventType.objects.filter(organization=organization, is_active=True)
    for row in own:
        found.setdefault(row.name, declared_by(row))
    return sorted(found.values(), key=lambda declared: declared.name)


def declared_by(row: OwnEventType) -> EventType:
    """The declaration that an organization's own type stands for."""
    return EventType(
        name=row.name,
        description=row.description,
        schema=row.schema,
        sample=row.sample,
        group=row.group,
        version=row.version,
        own=True,
    )


def types_like(
    organization: Organization, *, group: str = "", search: str = "", own: bool | None = None
) -> list[EventType]:
    """The types by name, narrowed to a group, to names and descriptions that contain a text, or to the
    organization's own.
    """
    text = search.lower()
    return [
        declared
        for declared in types_of(organization)
        if (not group or declared.group == group)
        and (own is None or declared.own is own)
        and (not text or text in declared.name.lower() or text in declared.description.lower())
    ]


def find_type(organization: Organization, name: str) -> EventType | None:
    """The type of this name, wherever it is declared; None if it is not."""
    declared = event_types.get(name)
    if declared is not None:
        return declared
    row = own_types_of(organization).filter(name=name, is_active=True).first()
    if row is not None:
        return declared_by(row)
    for source in type_sources:
        for found in source.types_of(organization):
            if found.name == name:
                return found
    return None


def type_named(organization: Organization, name: str) -> EventType:
    """Raises NotFound."""
    declared = find_type(organization, name)
    if declared is None:
        raise NotFound(f"There is no event type {name[:100]!r}; GET event-types lists all.")
    return declared


def own_types_of(organization: Organization) -> QuerySet[OwnEventType]:
    """The types that an organization declares itself, by name."""
    return OwnEventType.objects.filter(organization=organization).order_by("name")


def own_type_of(organization: Organization, name: str) -> OwnEventType:
    """The organization's own type of this name. Raises NotFound."""
    row = own_types_of(organization).select_related("organization").filter(name=name).first()
    if row is None:
        raise NotFound(f"The organization has declared no event type {name[:100]!r}.")
    return row


def versions_of(organization: Organization, name: str) -> list[EventType]:
    """Every version of a type's schema, the newest first. Raises NotFound."""
    declared = type_named(organization, name)
    if not declared.own:
        return [declared]
    row = own_type_of(organization, name)
    return [
        replace(declared, version=one.version, schema=one.schema, sample=one.sample)
        for one in row.versions.all()
    ]


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
