"""The health of connections: judged by several results in a row, not by one."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.connectors.models import Integration
from apps.connectors.services.connections import event_data, note
from apps.connectors.statuses import (
    INTEGRATION,
    ConnectionAction,
    HealthStatus,
    IntegrationStatus,
)
from apps.events.services import outbox
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM

DEGRADED_AFTER = 2
DOWN_AFTER = 4
HEALTHY_AFTER = 2
CHECK_EVERY = timedelta(minutes=15)


def judge(before: str, failures: int, successes: int) -> str:
    """The health after so many failures or successes in a row."""
    if failures >= DOWN_AFTER:
        return HealthStatus.DOWN
    if failures >= DEGRADED_AFTER:
        return HealthStatus.DOWN if before == HealthStatus.DOWN else HealthStatus.DEGRADED
    if successes >= HEALTHY_AFTER or (successes and before == HealthStatus.UNKNOWN):
        return HealthStatus.HEALTHY
    return before


@transaction.atomic
def record(
    integration: Integration,
    *,
    ok: bool,
    reason: str = "",
    latency_ms: int | None = None,
    final: bool = False,
) -> None:
    """Take note of one result, and change health and status when enough results in a row say so.

    A `final` failure (wrong credentials) needs no second opinion. An integration in error becomes active
    again when its connection is healthy again.
    """
    row = (
        Integration.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=integration.pk)
    )
    now = timezone.now()
    row.consecutive_failures = 0 if ok else row.consecutive_failures + 1
    row.consecutive_successes = row.consecutive_successes + 1 if ok else 0
    failures = max(row.consecutive_failures, DOWN_AFTER) if final and not ok else row.consecutive_failures
    row.health_status = judge(row.health_status, failures, row.consecutive_successes)
    row.last_health_check = now
    # Wrong credentials are not tried again by themselves: providers lock accounts for that.
    row.next_check_at = None if final and not ok else now + CHECK_EVERY
    if latency_ms is not None:
        row.response_time_ms = latency_ms
    if not ok:
        row.last_error, row.last_error_at = reason[:500], now
    row.save(
        update_fields=[
            "consecutive_failures", "consecutive_successes", "health_status", "last_health_check",
            "next_check_at", "response_time_ms", "last_error", "last_error_at", "updated_at",
        ]
    )  # fmt: skip
    if row.status == IntegrationStatus.ACTIVE and row.health_status == HealthStatus.DOWN:
        fail(row, reason)
    elif row.status == IntegrationStatus.ERROR and row.health_status == HealthStatus.HEALTHY:
        move(row, IntegrationStatus.ACTIVE, INTEGRATION, status_reason="")
        note(row, ConnectionAction.RECOVERED, SYSTEM, "The connection works again.")
        outbox.publish(
            organization=row.organization,
            type="integration.recovered",
            data=event_data(row),
            subject=row.number,
        )
    _copy(row, integration)


def fail(row: Integration, reason: str) -> None:
    """Put an integration into error, with the reason, and say so. In the caller's transaction."""
    move(row, IntegrationStatus.ERROR, INTEGRATION, status_reason=reason[:500])
    note(row, ConnectionAction.FAILED, SYSTEM, reason)
    outbox.publish(
        organization=row.organization,
        type="integration.error",
        data={**event_data(row), "reason": reason[:500]},
        subject=row.number,
    )


def _copy(source: Integration, target: Integration) -> None:
    for name in (
        "status", "status_reason", "health_status", "consecutive_failures", "consecutive_successes",
        "last_health_check", "next_check_at", "response_time_ms", "last_error", "last_error_at", "updated_at",
    ):  # fmt: skip
        setattr(target, name, getattr(source, name))
