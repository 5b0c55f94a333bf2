"""Batches: one delivery for several events, gathered until it is full or its window ends.

A batch is a delivery without a payload, due at the end of its window; each event adds a BatchItem with what
was rendered when it happened. The claim that takes it joins the parts, once: from then on its bytes stay.
Whoever adds holds the endpoint's row and the delivery's, so that a claim takes all of a part or nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum
from django.db.models.functions import Length

from apps.kernel import ids
from apps.webhooks.events import OWN_PREFIX
from apps.webhooks.models import BatchItem, Delivery, Payload, WebhookEndpoint
from apps.webhooks.payloads import wrap
from apps.webhooks.services import bulk, fifo
from apps.webhooks.statuses import OPEN, DeliveryStatus, Ordering, PayloadFormat

MAX_BATCH_BYTES = 1024 * 1024
KEY = "*"  # the ordering key of all batches of an endpoint that wants order
MIXED, OWN = "batch", f"{OWN_PREFIX}batch"

_ITEM = ("id", "delivery_id", "event_id", "payload_id", "event_type")
_PAYLOAD = ("id", "organization_id", "message_id", "content_type", "body", "created_at")


@dataclass
class _Open:
    """A batch that may still get events."""

    id: UUID
    items: int
    size: int
    content_type: str
    event_type: str
    due_at: datetime | None
    fresh: bool
    touched: bool = False


class Gathering:
    """The open batches of some endpoints while events are handed out; use it within one transaction."""

    def __init__(self, endpoint_ids: Iterable[UUID], now: datetime) -> None:
        wanted = set(endpoint_ids)
        self._now = now
        self._open: dict[UUID, _Open] = {}
        self._done: list[tuple[UUID, _Open]] = []
        self._items: list[tuple[Any, ...]] = []
        self._ordered: set[UUID] = set()
        if not wanted:
            return
        fifo.lock_endpoints(wanted)
        rows = Delivery.objects.filter(
            endpoint_id__in=wanted, status=DeliveryStatus.PENDING, payload=None, items__gt=0
        ).order_by("id")
        if connection.features.has_select_for_update:
            rows = rows.select_for_update(of=("self",))
        for row in rows:
            self._open[row.endpoint_id] = _Open(
                row.pk, row.items, 0, "", row.event_type, row.next_attempt_at, fresh=False
            )
        for batch in self._open.values():
            parts = BatchItem.objects.filter(delivery_id=batch.id).order_by()
            batch.size = parts.aggregate(size=Sum(Length("payload__body")))["size"] or 0
            batch.content_type = parts.values_list("payload__content_type", flat=True).first() or ""
        self._ordered = set(
            Delivery.objects.filter(endpoint_id__in=wanted, status__in=OPEN, ordering_key=KEY)
            .order_by()
            .values_list("endpoint_id", flat=True)
            .distinct()
        )

    def add(
        self,
        endpoint: WebhookEndpoint,
        *,
        event_id: UUID,
        event_type: str,
        payload_id: UUID,
        content_type: str,
        size: int,
    ) -> None:
        """Put an event into the endpoint's batch."""
        kind = OWN if event_type.startswith(OWN_PREFIX) else MIXED
        batch = self._open.get(endpoint.pk)
        if batch is not None and (
            batch.items >= endpoint.batch_size
            or batch.size + size > MAX_BATCH_BYTES
            or batch.content_type != content_type
        ):
            self._close(endpoint.pk)
            batch = None
        if batch is None:
            waits = endpoint.ordering == Ordering.FIFO and endpoint.pk in self._ordered
            due = None if waits else self._now + timedelta(seconds=endpoint.batch_window)
            batch = _Open(ids.uuid7(), 0, 0, content_type, kind, due, fresh=True)
            self._open[endpoint.pk] = batch
            if endpoint.ordering == Ordering.FIFO:
                self._ordered.add(endpoint.pk)
        batch.items += 1
        batch.size += size
        batch.touched = True
        if kind == MIXED:
            batch.event_type = MIXED
        self._items.append((ids.uuid7(), batch.id, event_id, payload_id, event_type))
        if batch.items >= endpoint.batch_size:
            self._close(endpoint.pk)

    def _close(self, endpoint_id: UUID) -> None:
        """Full: it goes now, unless it waits for the one before it."""
        batch = self._open.pop(endpoint_id)
        batch.touched = True
        if batch.due_at is not None:
            batch.due_at = self._now
        self._done.append((endpoint_id, batch))

    def finish(self) -> list[tuple[UUID, _Open]]:
        """Write what was added to batches that were there; returns the new ones, to be inserted."""
        touched = [*self._done, *((key, batch) for key, batch in self._open.items() if batch.touched)]
        bulk.insert(BatchItem, _ITEM, self._items)
        for _, batch in touched:
            if not batch.fresh:
                Delivery.objects.filter(pk=batch.id, status=DeliveryStatus.PENDING, payload=None).update(
                    items=batch.items, event_type=batch.event_type, next_attempt_at=batch.due_at
                )
        return [(key, batch) for key, batch in touched if batch.fresh]


def seal(rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Join the parts of batches that were just leased, in the claim's transaction; puts `payload_id` into the
    rows.
    """
    gathered = {row["id"]: row for row in rows if row["payload_id"] is None and row["items"]}
    if not gathered:
        return
    parts: dict[UUID, list[tuple[str, bytes]]] = defaultdict(list)
    found = BatchItem.objects.filter(delivery_id__in=list(gathered)).order_by("id")
    for key, content_type, body in found.values_list("delivery_id", "payload__content_type", "payload__body"):
        if body is not None:  # else it was expunged
            parts[key].append((content_type, bytes(body)))
    custom = set(
        WebhookEndpoint.objects.filter(
            pk__in={row["endpoint_id"] for row in gathered.values()}, payload_format=PayloadFormat.CUSTOM
        ).values_list("pk", flat=True)
    )
    payloads, links = [], []
    for key, mine in parts.items():
        row = gathered[key]
        payload_id, message_id = ids.uuid7(), ids.public("bat", key)
        content_type, body = wrap(mine, batch_id=message_id, at=now, bare=row["endpoint_id"] in custom)
        payloads.append((payload_id, row["organization_id"], message_id, content_type, body, now))
        links.append((key, payload_id))
        row["payload_id"] = payload_id
    bulk.insert(Payload, _PAYLOAD, payloads)
    bulk.update(Delivery, ("id",), ("payload_id",), links)


def wrapped_alone(content_type: str, body: bytes, *, at: datetime, custom: bool) -> tuple[str, str, bytes]:
    """A test message as a batch of one: its id, content type and bytes."""
    message_id = ids.public("bat", ids.uuid7())
    return message_id, *wrap([(content_type, body)], batch_id=message_id, at=at, bare=custom)
