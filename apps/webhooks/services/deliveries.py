"""Retrying, cancelling and replaying deliveries by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, InvalidInput, RaceLost
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.models import Delivery, Payload
from apps.webhooks.services import fifo, pausing
from apps.webhooks.services.intake import delivery_row, insert_deliveries, render_again
from apps.webhooks.statuses import DELIVERY_TRANSITIONS, WAITING, Cause, DeliveryStatus
from apps.webhooks.templating import TemplateFailed, TemplateInvalid


@transaction.atomic
def retry(*, delivery: Delivery, actor: Actor) -> Delivery:
    """Send a delivery again, now: the same id, the same bytes. Returns the delivery that will be sent.

    One that waits goes at once instead of at its next step; one that failed or was cancelled starts its
    schedule over; one that was delivered is replayed as a new delivery. A paused endpoint's is held like
    the rest. Raises EndpointNotSending, and RaceLost for one that is under way.
    """
    sent = _again(delivery)
    entries.record(
        organization=delivery.organization,
        actor=actor,
        action="delivery.retried",
        target=delivery,
        changes={"status": [delivery.status, sent.status]},
    )
    return sent


def _again(delivery: Delivery) -> Delivery:
    endpoint = delivery.endpoint
    pausing.refuse_unless_sending(endpoint)
    if delivery.cause == Cause.TEST:
        raise Conflict("A test message is not retried; send another test.")
    if delivery.payload_id and not Payload.objects.filter(pk=delivery.payload_id).exists():
        raise Conflict(
            f"The hub has the message of {delivery} no more: it was expunged, or its time was over."
        )
    now = timezone.now()
    if delivery.status == DeliveryStatus.DELIVERED:
        return _replayed(delivery)
    fresh = Delivery.objects.select_related("endpoint").get(pk=delivery.pk)
    if fresh.status == DeliveryStatus.PENDING and fresh.next_attempt_at is not None:
        if fresh.next_attempt_at > now:  # a batch that is being gathered goes as it is
            Delivery.objects.filter(
                pk=fresh.pk, status=DeliveryStatus.PENDING, next_attempt_at__gt=now
            ).update(next_attempt_at=now)
        enqueue("webhooks.drain", queue="webhooks")
        return fresh
    more: dict[str, Any] = {}
    if fresh.payload_id is None and not fresh.items and fresh.event_id is not None:
        more["payload_id"] = _rendered(fresh)
    if fresh.status in WAITING and fresh.next_attempt_at is None:
        raise Conflict(f"{fresh} waits for the delivery before it in its ordering key.")
    due_at = now
    if fresh.status not in WAITING and fresh.ordering_key:
        queue = fifo.FifoQueue({fresh.endpoint_id})
        due_at = queue.due_at(fresh.endpoint_id, fresh.ordering_key, now)  # type: ignore[assignment]
    if fresh.status not in WAITING:
        more["step"] = 0
    move(fresh, DeliveryStatus.PENDING, DELIVERY_TRANSITIONS, next_attempt_at=due_at, **more)
    enqueue("webhooks.drain", queue="webhooks")
    return fresh


def _rendered(delivery: Delivery) -> UUID:
    """A payload for a delivery whose template failed. Raises InvalidInput if it still does."""
    try:
        return render_again(delivery).pk
    except (TemplateInvalid, TemplateFailed) as error:
        raise InvalidInput(f"The template still cannot be filled: {error}") from None


def _replayed(delivery: Delivery) -> Delivery:
    now = timezone.now()
    queue = fifo.FifoQueue({delivery.endpoint_id} if delivery.ordering_key else set())
    row = delivery_row(
        organization_id=delivery.organization_id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        payload_id=delivery.payload_id,
        event_type=delivery.event_type,
        cause=Cause.REPLAY,
        ordering_key=delivery.ordering_key,
        due_at=queue.due_at(delivery.endpoint_id, delivery.ordering_key, now),
        now=now,
        items=delivery.items,
    )
    insert_deliveries([row])
    return Delivery.objects.select_related("endpoint").get(pk=row[0])


@transaction.atomic
def cancel(*, delivery: Delivery, actor: Actor) -> Delivery:
    """Stop trying. Raises RaceLost if it is under way or finished."""
    before = delivery.status
    move(
        delivery,
        DeliveryStatus.CANCELLED,
        DELIVERY_TRANSITIONS,
        next_attempt_at=None,
        last_error="It was cancelled.",
    )
    if delivery.ordering_key:
        fifo.lock_endpoints({delivery.endpoint_id})
        fifo.release({(delivery.endpoint_id, delivery.ordering_key)}, timezone.now())
        enqueue("webhooks.drain", queue="webhooks")
    entries.record(
        organization=delivery.organization,
        actor=actor,
        action="delivery.cancelled",
        target=delivery,
        changes={"status": [before, delivery.status]},
    )
    return delivery


def cancel_many(*, organization: Organization, delivery_ids: Iterable[UUID], actor: Actor) -> int:
    """Cancel those of several that wait; returns how many."""
    count = 0
    for delivery in Delivery.objects.select_related("organization").filter(
        organization=organization, pk__in=list(delivery_ids), status__in=WAITING
    ):
        try:
            cancel(delivery=delivery, actor=actor)
            count += 1
        except RaceLost:
            continue
    return count
