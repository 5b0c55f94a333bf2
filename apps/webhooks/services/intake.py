"""The webhooks' ear: which events an organization's endpoints want, and what is owed for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.events.catalog import matches
from apps.events.models import Event
from apps.kernel import ids
from apps.kernel.background import enqueue
from apps.tenants.models import Organization
from apps.webhooks.events import OWN_PREFIX
from apps.webhooks.models import Delivery, Payload, WebhookEndpoint
from apps.webhooks.payloads import Message, Style, render
from apps.webhooks.services import bulk
from apps.webhooks.services.fifo import FifoQueue
from apps.webhooks.statuses import Cause, DeliveryStatus, Ordering

_NEEDED = (
    "id", "number", "events", "ordering", "payload_format", "include_full_payload", "include_metadata",
    "include_timestamp",
)  # fmt: skip
_PAYLOAD = ("id", "organization_id", "message_id", "content_type", "body", "created_at")
_DELIVERY = (
    "id", "organization_id", "endpoint_id", "event_id", "payload_id", "event_type", "cause", "ordering_key",
    "status", "attempts", "step", "next_attempt_at", "created_at", "updated_at", "last_error", "lease_owner",
    "lease_token",
)  # fmt: skip


def wants(organization_id: UUID) -> list[str]:
    """The patterns of the organization's endpoints.

    One indexed query each time, on purpose: an endpoint that was created a moment ago, by whichever process,
    hears the very next change.
    """
    found = WebhookEndpoint.objects.listening(organization_id).values_list("events", flat=True)
    return list(dict.fromkeys(pattern for patterns in found for pattern in patterns))


def take(events: Sequence[Event]) -> None:
    """Write the deliveries that are owed for some events, in the caller's transaction."""
    by_organization: dict[UUID, list[Event]] = defaultdict(list)
    for event in events:
        by_organization[event.organization_id].append(event)
    for organization_id, group in by_organization.items():
        endpoints = list(WebhookEndpoint.objects.listening(organization_id).only(*_NEEDED).order_by("id"))
        pairs = [(event, [e for e in endpoints if hears(e, event)]) for event in group]
        owe(organization_id, pairs, cause=Cause.EVENT)


def hears(endpoint: WebhookEndpoint, event: Event) -> bool:
    """Whether the endpoint gets the event: subscribed, and not a notice about itself."""
    if event.type.startswith(OWN_PREFIX) and event.subject == endpoint.number:
        return False
    return any(matches(pattern, event.type) for pattern in endpoint.events)


def style_of(endpoint: WebhookEndpoint) -> Style:
    return Style(
        format=endpoint.payload_format,
        full=endpoint.include_full_payload,
        metadata=endpoint.include_metadata,
        timestamp=endpoint.include_timestamp,
    )


def message_of(event: Event) -> Message:
    return Message(
        id=event.public_id,
        type=event.type,
        occurred_at=event.occurred_at,
        data=event.data,
        subject=event.subject,
        version=event.version,
        organization=ids.public(Organization.PREFIX, event.organization_id),
    )


def owe(
    organization_id: UUID, pairs: Sequence[tuple[Event, Sequence[WebhookEndpoint]]], *, cause: Cause
) -> int:
    """Write payloads and deliveries for events and the endpoints that get them; returns how many
    deliveries.
    """
    now = timezone.now()
    payloads: list[tuple[Any, ...]] = []
    deliveries: list[tuple[Any, ...]] = []
    with transaction.atomic():
        queue = FifoQueue({e.pk for _, endpoints in pairs for e in endpoints if e.ordering == Ordering.FIFO})
        for event, endpoints in pairs:
            kept: dict[Style, UUID] = {}
            for endpoint in endpoints:
                style = style_of(endpoint)
                payload_id = kept.get(style)
                if payload_id is None:
                    payload_id = kept[style] = ids.uuid7()
                    message = message_of(event)
                    payloads.append((payload_id, organization_id, message.id, *render(message, style), now))
                fifo = endpoint.ordering == Ordering.FIFO
                key = (event.ordering_key or event.subject or "-") if fifo else ""
                deliveries.append(
                    delivery_row(
                        organization_id=organization_id,
                        endpoint_id=endpoint.pk,
                        event_id=event.pk,
                        payload_id=payload_id,
                        event_type=event.type,
                        cause=cause,
                        ordering_key=key,
                        due_at=queue.due_at(endpoint.pk, key, now),
                        now=now,
                    )
                )
        bulk.insert(Payload, _PAYLOAD, payloads)
        insert_deliveries(deliveries)
    return len(deliveries)


def delivery_row(
    *,
    organization_id: UUID,
    endpoint_id: UUID,
    event_id: UUID | None,
    payload_id: UUID,
    event_type: str,
    cause: str,
    ordering_key: str,
    due_at: datetime | None,
    now: datetime,
) -> tuple[Any, ...]:
    """A new delivery for `insert_deliveries`."""
    return (
        ids.uuid7(), organization_id, endpoint_id, event_id, payload_id, event_type, str(cause), ordering_key,
        str(DeliveryStatus.PENDING), 0, 0, due_at, now, now, "", "", 0,
    )  # fmt: skip


def insert_deliveries(rows: Sequence[tuple[Any, ...]]) -> None:
    """Write deliveries and ring the dispatcher's bell after commit."""
    if rows:
        bulk.insert(Delivery, _DELIVERY, rows)
        enqueue("webhooks.drain", queue="webhooks")
