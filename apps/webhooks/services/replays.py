"""Sending again what an endpoint got, or did not get, since a time.

The same ids and bytes as the first time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.audit.services import entries
from apps.events.models import Event
from apps.events.selectors import first_id
from apps.kernel.background import enqueue
from apps.kernel.errors import FieldError, InvalidInput
from apps.tenants.principals import Actor
from apps.webhooks.models import BatchItem, Delivery, Payload, WebhookEndpoint
from apps.webhooks.services import claims, fifo, pausing
from apps.webhooks.services.intake import delivery_row, hears, insert_deliveries, owe, render_again
from apps.webhooks.statuses import Cause, DeliveryStatus
from apps.webhooks.templating import TemplateFailed, TemplateInvalid

CHUNK = 500


class What(models.TextChoices):
    """Which messages to send again."""

    FAILED = "failed", "What failed or was cancelled"
    MISSING = "missing", "Events that were never owed to it"
    ALL = "all", "Everything, also what arrived"


@dataclass(slots=True)
class Replay:
    """How many failed deliveries are retried, arrived ones sent again, and missing ones created."""

    failed: int = 0
    delivered: int = 0
    missing: int = 0

    @property
    def total(self) -> int:
        return self.failed + self.delivered + self.missing

    def add(self, other: Replay) -> None:
        self.failed += other.failed
        self.delivered += other.delivered
        self.missing += other.missing


def count(
    *, endpoint: WebhookEndpoint, since: datetime, until: datetime | None = None, what: str = What.FAILED
) -> Replay:
    """What `replay` would send again. Raises InvalidInput for times that make no sense."""
    total = Replay()
    for chunk in _chunks(endpoint, *_span(since, until), what):
        total.add(chunk.sizes)
    return total


def replay(
    *,
    endpoint: WebhookEndpoint,
    actor: Actor,
    since: datetime,
    until: datetime | None = None,
    what: str = What.FAILED,
) -> Replay:
    """Owe the endpoint again what it was owed between two times (`until` now), oldest first.

    Works in chunks of one transaction each; repeating it after an interruption sends what is left, and of
    `all` the beginning once more. Raises EndpointNotSending, InvalidInput.
    """
    pausing.refuse_unless_sending(endpoint)
    total = Replay()
    for chunk in _chunks(endpoint, *_span(since, until), what):
        with transaction.atomic():
            claims.hold()
            total.add(_owe_again(endpoint, chunk))
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.replayed",
        target=endpoint,
        changes={"since": ["", since], "what": ["", str(what)], "deliveries": [0, total.total]},
    )
    return total


def _span(since: datetime, until: datetime | None) -> tuple[UUID, UUID]:
    now = timezone.now()
    end = min(until or now, now)
    if since >= end:
        raise InvalidInput(
            errors=[FieldError("/since", "out_of_range", "since must lie before until, and in the past.")]
        )
    return first_id(since), first_id(end)


@dataclass
class _Chunk:
    """A stretch of an endpoint's history: what of it is to be sent again."""

    failed: list[UUID]
    delivered: Sequence[Mapping[str, Any]]
    missing: list[Event]

    @property
    def sizes(self) -> Replay:
        return Replay(len(self.failed), len(self.delivered), len(self.missing))


def _chunks(endpoint: WebhookEndpoint, start: UUID, end: UUID, what: str) -> Iterator[_Chunk]:
    if what not in What.values:
        raise InvalidInput(errors=[FieldError("/what", "invalid", f"One of {', '.join(What.values)}.")])
    if what in (What.FAILED, What.ALL):
        yield from _past_deliveries(endpoint, start, end, what)
    if what in (What.MISSING, What.ALL):
        yield from _missed_events(endpoint, start, end)


def _past_deliveries(endpoint: WebhookEndpoint, start: UUID, end: UUID, what: str) -> Iterator[_Chunk]:
    ended = [DeliveryStatus.FAILED, DeliveryStatus.CANCELLED]
    if what == What.ALL:
        ended.append(DeliveryStatus.DELIVERED)
    rows = Delivery.objects.filter(endpoint=endpoint, id__lt=end, status__in=ended).exclude(cause=Cause.TEST)
    after = start
    message = Payload.objects.filter(pk=OuterRef("payload_id"))
    rows = rows.filter(Q(payload_id=None) | Exists(message))  # else it was forgotten
    while True:
        found = list(
            rows.filter(id__gte=after)
            .order_by("id")
            .values("id", "status", "event_id", "payload_id", "event_type", "ordering_key", "cause", "items")[
                :CHUNK
            ]
        )
        if found:
            yield _Chunk(
                failed=[row["id"] for row in found if row["status"] != DeliveryStatus.DELIVERED],
                # A replay of a replay would double what is sent.
                delivered=[
                    row
                    for row in found
                    if row["status"] == DeliveryStatus.DELIVERED and row["cause"] != Cause.REPLAY
                ],
                missing=[],
            )
        if len(found) < CHUNK:
            return
        after = UUID(int=found[-1]["id"].int + 1)


def _missed_events(endpoint: WebhookEndpoint, start: UUID, end: UUID) -> Iterator[_Chunk]:
    rows = Event.objects.filter(organization_id=endpoint.organization_id, id__lt=end).exclude(
        fanned_out_at=None
    )
    after = start
    while True:
        found = list(rows.filter(id__gte=after).order_by("id")[:CHUNK])
        heard = [event for event in found if hears(endpoint, event)]
        owed = set(
            Delivery.objects.filter(
                endpoint=endpoint, event_id__in=[event.pk for event in heard]
            ).values_list("event_id", flat=True)
        )
        owed |= set(
            BatchItem.objects.filter(
                delivery__endpoint=endpoint, event_id__in=[event.pk for event in heard]
            ).values_list("event_id", flat=True)
        )
        missing = [event for event in heard if event.pk not in owed]
        if missing:
            yield _Chunk([], [], missing)
        if len(found) < CHUNK:
            return
        after = UUID(int=found[-1].pk.int + 1)


def _render_missing(rows: models.QuerySet[Delivery]) -> None:
    """Give payloads to deliveries whose template failed, if it can be filled by now."""
    unmade = rows.filter(payload=None, items=0, event__isnull=False).select_related("endpoint")
    for delivery in unmade:
        try:
            payload = render_again(delivery)
        except (TemplateInvalid, TemplateFailed):
            continue
        Delivery.objects.filter(pk=delivery.pk, payload=None).update(payload=payload)


def _owe_again(endpoint: WebhookEndpoint, chunk: _Chunk) -> Replay:
    now = timezone.now()
    done = Replay()
    if chunk.failed:
        rows = Delivery.objects.filter(
            pk__in=chunk.failed, status__in=(DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)
        )
        _render_missing(rows)
        rows = rows.exclude(payload=None, items=0)  # those whose template still fails stay as they are
        keys = set(rows.exclude(ordering_key="").order_by().values_list("endpoint_id", "ordering_key"))
        fifo.lock_endpoints({endpoint.pk} if keys else ())
        back = {"status": DeliveryStatus.PENDING, "step": 0, "updated_at": now}
        ordered = rows.exclude(ordering_key="").update(next_attempt_at=None, **back)
        done.failed = ordered + rows.filter(ordering_key="").update(next_attempt_at=now, **back)
        fifo.release(keys, now)
        enqueue("webhooks.drain", queue="webhooks")
    if chunk.delivered:
        queue = fifo.FifoQueue(
            {endpoint.pk} if any(row["ordering_key"] for row in chunk.delivered) else set()
        )
        insert_deliveries(
            [
                delivery_row(
                    organization_id=endpoint.organization_id,
                    endpoint_id=endpoint.pk,
                    event_id=row["event_id"],
                    payload_id=row["payload_id"],
                    event_type=row["event_type"],
                    cause=Cause.REPLAY,
                    ordering_key=row["ordering_key"],
                    due_at=queue.due_at(endpoint.pk, row["ordering_key"], now),
                    now=now,
                    items=row["items"],
                )
                for row in chunk.delivered
            ]
        )
        done.delivered = len(chunk.delivered)
    if chunk.missing:
        done.missing = owe(
            endpoint.organization_id, [(event, [endpoint]) for event in chunk.missing], cause=Cause.REPLAY
        )
    return done
