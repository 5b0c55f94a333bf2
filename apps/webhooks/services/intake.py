"""The webhooks' ear: which events an organization's endpoints want, and what is owed for them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.events.models import Event
from apps.kernel import ids
from apps.kernel.background import enqueue
from apps.tenants.models import Organization
from apps.webhooks.events import DELIVERY_EXHAUSTED, OWN_PREFIX
from apps.webhooks.filters import FilterInvalid, Test, compile_filter
from apps.webhooks.models import Delivery, Payload, WebhookEndpoint
from apps.webhooks.payloads import Message, Style, render
from apps.webhooks.services import batches, bulk, pausing
from apps.webhooks.services.batches import Gathering
from apps.webhooks.services.fifo import FifoQueue
from apps.webhooks.statuses import Cause, DeliveryStatus, Ordering, PayloadFormat
from apps.webhooks.templating import TemplateFailed, TemplateInvalid

logger = logging.getLogger(__name__)

_NEEDED = (
    "id", "number", "name", "organization_id", "events", "event_filters", "ordering", "payload_format",
    "include_full_payload", "include_metadata", "include_timestamp", "custom_template", "custom_content_type",
    "batch_delivery", "batch_size", "batch_window",
)  # fmt: skip
_PAYLOAD = ("id", "organization_id", "message_id", "content_type", "body", "created_at")
_DELIVERY = (
    "id", "organization_id", "endpoint_id", "event_id", "payload_id", "event_type", "cause", "ordering_key",
    "status", "attempts", "step", "next_attempt_at", "created_at", "updated_at", "last_error", "lease_owner",
    "lease_token", "items",
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
        # Subscriptions are looked through once for a type, not for every event of it.
        subscribed = {
            kind: [endpoint for endpoint in endpoints if endpoint.subscribes_to(kind)]
            for kind in {event.type for event in group}
        }
        pairs = [(event, [e for e in subscribed[event.type] if _may_hear(e, event)]) for event in group]
        owe(organization_id, pairs, cause=Cause.EVENT)


def hears(endpoint: WebhookEndpoint, event: Event) -> bool:
    """Whether the endpoint gets the event: subscribed, let through by its filter, no notice about itself."""
    return endpoint.subscribes_to(event.type) and _may_hear(endpoint, event)


def _may_hear(endpoint: WebhookEndpoint, event: Event) -> bool:
    """Whether nothing keeps an event of a type that the endpoint is subscribed to from it."""
    if event.expunged_at is not None:
        return False
    if event.type.startswith(OWN_PREFIX) and event.subject == endpoint.number:
        return False
    return not endpoint.event_filters or filter_of(endpoint)(event.data)


def filter_of(endpoint: WebhookEndpoint) -> Test:
    """The endpoint's filter as a function; read once per instance."""
    test: Test | None = endpoint.__dict__.get("_filter")
    if test is None:
        try:
            test = compile_filter(endpoint.event_filters)
        except FilterInvalid:  # it was checked when it was saved
            logger.exception("The filter of %s cannot be read; it lets nothing through.", endpoint.number)
            test = _nothing
        endpoint.__dict__["_filter"] = test
    return test


def _nothing(data: Any) -> bool:
    return False


def style_of(endpoint: WebhookEndpoint) -> Style:
    custom = endpoint.payload_format == PayloadFormat.CUSTOM
    return Style(
        format=endpoint.payload_format,
        full=endpoint.include_full_payload,
        metadata=endpoint.include_metadata,
        timestamp=endpoint.include_timestamp,
        template=endpoint.custom_template if custom else "",
        content_type=endpoint.custom_content_type if custom else "",
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
    deliveries (an event that joins a batch counts as one).
    """
    if not any(endpoints for _, endpoints in pairs):
        return 0
    with transaction.atomic():
        owing = _Owing(organization_id, pairs, cause)
        for event, endpoints in pairs:
            owing.event(event, endpoints)
        owing.write()
    return owing.count


class _Owing:
    """What is owed for some events of one organization, gathered and written with few statements."""

    def __init__(
        self, organization_id: UUID, pairs: Sequence[tuple[Event, Sequence[WebhookEndpoint]]], cause: Cause
    ) -> None:
        self.organization_id, self.cause, self.now = organization_id, cause, timezone.now()
        everybody = [endpoint for _, endpoints in pairs for endpoint in endpoints]
        self.queue = FifoQueue(
            {e.pk for e in everybody if e.ordering == Ordering.FIFO and not e.batch_delivery}
        )
        self.gathering = Gathering({e.pk for e in everybody if e.batch_delivery}, self.now)
        self.ordered = {e.pk for e in everybody if e.ordering == Ordering.FIFO}
        self.payloads: list[tuple[Any, ...]] = []
        self.deliveries: list[tuple[Any, ...]] = []
        self.spoilt: list[tuple[WebhookEndpoint, Event, UUID, str]] = []
        self.count = 0

    def event(self, event: Event, endpoints: Sequence[WebhookEndpoint]) -> None:
        kept: dict[Style, tuple[UUID, str, int] | str] = {}
        for endpoint in endpoints:
            style = style_of(endpoint)
            rendered = kept.get(style)
            if rendered is None:
                rendered = kept[style] = self._render(event, style)
            self.count += 1
            if isinstance(rendered, str):
                self._cannot(event, endpoint, rendered)
            elif endpoint.batch_delivery:
                payload_id, content_type, size = rendered
                self.gathering.add(
                    endpoint,
                    event_id=event.pk,
                    event_type=event.type,
                    payload_id=payload_id,
                    content_type=content_type,
                    size=size,
                )
            else:
                self._owe(event, endpoint, rendered[0])

    def _render(self, event: Event, style: Style) -> tuple[UUID, str, int] | str:
        """The stored payload, or why there is none."""
        message = message_of(event)
        try:
            content_type, body = render(message, style)
        except (TemplateInvalid, TemplateFailed) as error:
            return str(error)
        payload_id = ids.uuid7()
        self.payloads.append((payload_id, self.organization_id, message.id, content_type, body, self.now))
        return payload_id, content_type, len(body)

    def _owe(self, event: Event, endpoint: WebhookEndpoint, payload_id: UUID) -> None:
        fifo = endpoint.ordering == Ordering.FIFO
        key = (event.ordering_key or event.subject or "-") if fifo else ""
        self.deliveries.append(
            delivery_row(
                organization_id=self.organization_id,
                endpoint_id=endpoint.pk,
                event_id=event.pk,
                payload_id=payload_id,
                event_type=event.type,
                cause=self.cause,
                ordering_key=key,
                due_at=self.queue.due_at(endpoint.pk, key, self.now),
                now=self.now,
            )
        )

    def _cannot(self, event: Event, endpoint: WebhookEndpoint, why: str) -> None:
        """A delivery that failed before its first attempt: a person mends the template and retries it."""
        row = delivery_row(
            organization_id=self.organization_id,
            endpoint_id=endpoint.pk,
            event_id=event.pk,
            payload_id=None,
            event_type=event.type,
            cause=self.cause,
            ordering_key="",
            due_at=None,
            now=self.now,
            status=DeliveryStatus.FAILED,
            last_error=why[:300],
        )
        self.deliveries.append(row)
        self.spoilt.append((endpoint, event, row[0], why[:300]))

    def write(self) -> None:
        bulk.insert(Payload, _PAYLOAD, self.payloads)
        for endpoint_id, batch in self.gathering.finish():
            self.deliveries.append(
                delivery_row(
                    delivery_id=batch.id,
                    organization_id=self.organization_id,
                    endpoint_id=endpoint_id,
                    event_id=None,
                    payload_id=None,
                    event_type=batch.event_type,
                    cause=self.cause,
                    ordering_key=batches.KEY if endpoint_id in self.ordered else "",
                    due_at=batch.due_at,
                    now=self.now,
                    items=batch.items,
                )
            )
        insert_deliveries(self.deliveries)
        for endpoint, event, delivery_id, why in self.spoilt:
            if not event.type.startswith(OWN_PREFIX):
                pausing.tell(
                    endpoint,
                    DELIVERY_EXHAUSTED,
                    delivery=ids.public(Delivery.PREFIX, delivery_id),
                    event=event.public_id,
                    event_type=event.type,
                    attempts=0,
                    last_error=why,
                )


def render_again(delivery: Delivery) -> Payload:
    """The payload of a delivery whose template failed, by the endpoint's settings of now.

    Raises TemplateInvalid, TemplateFailed.
    """
    assert delivery.event_id is not None
    event = Event.objects.get(pk=delivery.event_id)
    if event.expunged_at is not None:
        raise TemplateFailed("the event's data was expunged.")
    message = message_of(event)
    content_type, body = render(message, style_of(delivery.endpoint))
    return Payload.objects.create(
        organization_id=delivery.organization_id, message_id=message.id, content_type=content_type, body=body
    )


def delivery_row(
    *,
    organization_id: UUID,
    endpoint_id: UUID,
    event_id: UUID | None,
    payload_id: UUID | None,
    event_type: str,
    cause: str,
    ordering_key: str,
    due_at: datetime | None,
    now: datetime,
    delivery_id: UUID | None = None,
    status: str = DeliveryStatus.PENDING,
    last_error: str = "",
    items: int = 0,
) -> tuple[Any, ...]:
    """A new delivery for `insert_deliveries`."""
    return (
        delivery_id or ids.uuid7(), organization_id, endpoint_id, event_id, payload_id, event_type,
        str(cause), ordering_key, str(status), 0, 0, due_at, now, now, last_error, "", 0, items,
    )  # fmt: skip


def insert_deliveries(rows: Sequence[tuple[Any, ...]]) -> None:
    """Write deliveries and ring the dispatcher's bell after commit."""
    if rows:
        bulk.insert(Delivery, _DELIVERY, rows)
        enqueue("webhooks.drain", queue="webhooks")
