"""Pausing and resuming endpoints, by a person or by the hub itself. What is owed meanwhile is held."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.audit.services import entries
from apps.events.services import outbox
from apps.kernel.background import enqueue
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM, Actor
from apps.webhooks import events
from apps.webhooks.errors import EndpointNotSending
from apps.webhooks.models import Delivery, WebhookEndpoint
from apps.webhooks.services import claims
from apps.webhooks.statuses import (
    ENDPOINT_TRANSITIONS,
    WAITING,
    DeliveryStatus,
    EndpointStatus,
    HealthStatus,
)


def tell(endpoint: WebhookEndpoint, type: str, **data: Any) -> None:
    """Write an event about an endpoint, in the caller's transaction."""
    outbox.publish(
        organization=endpoint.organization,
        type=type,
        data={"endpoint": endpoint.number, "name": endpoint.name, **data},
        subject=endpoint.number,
    )


@transaction.atomic
def pause(
    *, endpoint: WebhookEndpoint, actor: Actor, reason: str = "", probe_at: datetime | None = None
) -> WebhookEndpoint:
    """Hold the endpoint's deliveries until it is resumed.

    With `probe_at` the hub lets one held delivery through from then on, and resumes by itself when it
    arrives. Raises RaceLost unless the endpoint is active.
    """
    before = endpoint.status
    move(
        endpoint,
        EndpointStatus.PAUSED,
        ENDPOINT_TRANSITIONS,
        paused_at=timezone.now(),
        paused_by=actor.label[:200],
        pause_reason=reason[:300],
        next_probe_at=probe_at,
        **_next_version(endpoint),
    )
    automatic = actor.kind == SYSTEM.kind
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.paused",
        target=endpoint,
        changes={"status": [before, endpoint.status], "pause_reason": ["", endpoint.pause_reason]},
    )
    tell(
        endpoint,
        events.ENDPOINT_PAUSED,
        reason=endpoint.pause_reason,
        paused_by=actor.label,
        automatic=automatic,
    )
    return endpoint


@transaction.atomic
def resume(*, endpoint: WebhookEndpoint, actor: Actor) -> WebhookEndpoint:
    """Send to the endpoint again, what was held first and in its order. Failures in a row count from zero.

    Also activates an endpoint that is inactive, testing or failed. Raises RaceLost if it is active already.
    """
    claims.hold()
    before = endpoint.status
    move(
        endpoint,
        EndpointStatus.ACTIVE,
        ENDPOINT_TRANSITIONS,
        paused_at=None,
        paused_by="",
        pause_reason="",
        next_probe_at=None,
        consecutive_failures=0,
        first_failure_at=None,
        alerted_percent=0,
        health_status=HealthStatus.UNKNOWN,
        **_next_version(endpoint),
    )
    # Those that had failed wait for their next step: the receiver is back, so they go now, oldest first.
    Delivery.objects.filter(endpoint=endpoint, status__in=WAITING, next_attempt_at__isnull=False).exclude(
        next_attempt_at=F("created_at")
    ).update(next_attempt_at=F("created_at"))
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.resumed",
        target=endpoint,
        changes={"status": [before, endpoint.status]},
    )
    tell(endpoint, events.ENDPOINT_RESUMED, resumed_by=actor.label, automatic=actor.kind == SYSTEM.kind)
    enqueue("webhooks.drain", queue="webhooks")
    return endpoint


@transaction.atomic
def deactivate(*, endpoint: WebhookEndpoint, actor: Actor) -> int:
    """Switch the endpoint off: it hears nothing more, and what waits is cancelled. Returns how many were.

    Raises RaceLost if it is inactive already.
    """
    claims.hold()
    before = endpoint.status
    move(
        endpoint,
        EndpointStatus.INACTIVE,
        ENDPOINT_TRANSITIONS,
        paused_at=None,
        next_probe_at=None,
        **_next_version(endpoint),
    )
    cancelled = cancel_waiting(endpoint)
    entries.record(
        organization=endpoint.organization,
        actor=actor,
        action="webhook.deactivated",
        target=endpoint,
        changes={"status": [before, endpoint.status], "cancelled_deliveries": [0, cancelled]},
    )
    return cancelled


def _next_version(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """One more than in the database, whose row stays locked: the version of a stale instance may be old."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    if connection.features.has_select_for_update:
        rows = rows.select_for_update(no_key=True)
    current = rows.values_list("version", flat=True).first()
    return {"version": (current or 0) + 1}


def cancel_waiting(endpoint: WebhookEndpoint) -> int:
    """Cancel what waits to be sent to an endpoint, under `claims.hold`. What is on its way arrives."""
    return Delivery.objects.filter(endpoint=endpoint, status__in=WAITING).update(
        status=DeliveryStatus.CANCELLED,
        next_attempt_at=None,
        updated_at=timezone.now(),
        last_error="The endpoint was switched off.",
    )


def refuse_unless_sending(endpoint: WebhookEndpoint) -> None:
    """Raise EndpointNotSending for an endpoint to which nothing may be owed."""
    if endpoint.removed_at is not None or endpoint.status in (EndpointStatus.INACTIVE, EndpointStatus.FAILED):
        raise EndpointNotSending(
            f"{endpoint} is {'removed' if endpoint.removed_at else endpoint.get_status_display().lower()}: "
            "activate it first."
        )
