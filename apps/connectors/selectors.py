"""Reads about integrations and their syncs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from apps.connectors.models import (
    CallCount,
    ConnectionEvent,
    Integration,
    IntegrationLog,
    SyncError,
    SyncJob,
)
from apps.connectors.services import limits
from apps.connectors.statuses import SyncErrorStatus, SyncStatus
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization

HEALTH_SPAN = timedelta(days=7)
ERROR_SPAN = timedelta(hours=24)


def integrations_of(organization: Organization) -> QuerySet[Integration]:
    """The integrations that were not removed, with what lists and answers show of them."""
    rows = Integration.objects.live().of(organization)
    return rows.select_related("organization", "project").with_health_score()


def integration_of(organization: Organization, number: str) -> Integration:
    """One integration by its number. Raises NotFound."""
    found = integrations_of(organization).filter(number=number).first()
    if found is None:
        raise NotFound(f"There is no integration “{number[:60]}”.")
    return found


def logs_of(organization: Organization) -> QuerySet[IntegrationLog]:
    return IntegrationLog.objects.filter(organization=organization).select_related("integration", "sync_job")


def history_of(integration: Integration) -> QuerySet[ConnectionEvent]:
    return integration.connection_events.all()


def sync_jobs_of(organization: Organization) -> QuerySet[SyncJob]:
    return (
        SyncJob.objects.filter(organization=organization)
        .select_related("integration", "retry_of")
        .prefetch_related("streams")
    )


def errors_of(job: SyncJob) -> QuerySet[SyncError]:
    return SyncError.objects.filter(job=job).select_related("integration", "job")


def open_errors(organization: Organization) -> int:
    return SyncError.objects.filter(organization=organization, status=SyncErrorStatus.OPEN).count()


def statistics_by_type(organization: Organization) -> list[dict[str, Any]]:
    """How many integrations there are of each type, and how they are."""
    return Integration.objects.of(organization).statistics()


def statistics_of(integration: Integration) -> dict[str, Any]:
    """What an integration has done: added up from its calls and syncs."""
    calls = integration.call_counts.aggregate(
        requests=Sum("requests"),
        failures=Sum("failures"),
        duration=Sum("duration_ms"),
        size=Sum("bytes_received"),
        last=Max("last_request_at"),
    )
    syncs = integration.sync_jobs.aggregate(
        total=Count("id"),
        **{
            status.value: Count("id", filter=Q(status=status))
            for status in (SyncStatus.COMPLETED, SyncStatus.PARTIAL, SyncStatus.FAILED, SyncStatus.CANCELLED)
        },
        rows=Sum("processed"),
    )
    requests, failures = calls["requests"] or 0, calls["failures"] or 0
    rows = syncs.pop("rows") or 0
    return {
        "total_requests": requests,
        "successful_requests": requests - failures,
        "failed_requests": failures,
        "success_rate": round(100 * (requests - failures) / requests, 2) if requests else None,
        "last_request_at": calls["last"],
        "average_response_time_ms": round((calls["duration"] or 0) / requests) if requests else None,
        "data_transferred_bytes": calls["size"] or 0,
        "records_synced": rows,
        "syncs": syncs,
        "open_errors": integration.sync_errors.filter(status=SyncErrorStatus.OPEN).count(),
    }


def health_of(integration: Integration) -> dict[str, Any]:
    """How an integration's connection is and was."""
    now = timezone.now()
    checks = integration.logs.filter(
        action__in=("check", "test"), created_at__gte=now - HEALTH_SPAN
    ).aggregate(total=Count("id"), good=Count("id", filter=Q(ok=True)))
    calls = integration.call_counts.filter(hour__gte=now - ERROR_SPAN).aggregate(
        requests=Sum("requests"), failures=Sum("failures")
    )
    return {
        "status": integration.health_status,
        "health_score": integration.health_score,
        "last_health_check": integration.last_health_check,
        "response_time_ms": integration.response_time_ms,
        "uptime": round(100 * checks["good"] / checks["total"], 2) if checks["total"] else None,
        "error_rate": round(100 * calls["failures"] / calls["requests"], 2) if calls["requests"] else None,
        "consecutive_failures": integration.consecutive_failures,
        "consecutive_successes": integration.consecutive_successes,
        "last_error": integration.last_error,
        "last_error_at": integration.last_error_at,
        "rate_limits": limits_in_use(integration),
    }


def limits_in_use(integration: Integration) -> list[dict[str, Any]]:
    """Each limit, and how much of it is used in the present minute, hour and day."""
    used = limits.used(integration)
    return [
        {"period": period, "limit": allowed, "used": used[period]}
        for period, allowed in limits.limits_of(integration).items()
    ]


def calls_by_hour(integration: Integration, hours: int = 48) -> list[dict[str, Any]]:
    """Calls and failures of the last hours, one entry for each, oldest first."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    start = now - timedelta(hours=hours - 1)
    rows = (
        integration.call_counts.filter(hour__gte=start)
        .annotate(at=TruncHour("hour"))
        .values("at")
        .annotate(requests=Sum("requests"), failures=Sum("failures"))
        .order_by("at")
    )
    return _filled({row["at"]: (row["requests"], row["failures"]) for row in rows}, start, hours)


def _filled(found: dict[datetime, tuple[int, int]], start: datetime, hours: int) -> list[dict[str, Any]]:
    times = [start + timedelta(hours=n) for n in range(hours)]
    return [
        {"at": at, "requests": found.get(at, (0, 0))[0], "failures": found.get(at, (0, 0))[1]} for at in times
    ]


def rows_by_day(organization: Organization, days: int = 14) -> list[dict[str, Any]]:
    """Rows that syncs took over on each of the last days of the active time zone, oldest first."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=days - 1)
    rows = (
        SyncJob.objects.filter(organization=organization, created_at__gte=start)
        .annotate(day=TruncDay("created_at"))
        .values("day")
        .annotate(processed=Sum("processed"), failed=Sum("failed"), jobs=Count("id"))
        .order_by("day")
    )
    found = {row["day"]: row for row in rows}
    return [
        {
            "day": day,
            "processed": found[day]["processed"] if day in found else 0,
            "failed": found[day]["failed"] if day in found else 0,
            "jobs": found[day]["jobs"] if day in found else 0,
        }
        for day in (start + timedelta(days=n) for n in range(days))
    ]


def calls_between(organization: Organization, start: datetime) -> dict[str, int]:
    """Calls of all integrations since `start`."""
    found = CallCount.objects.filter(integration__organization=organization, hour__gte=start).aggregate(
        requests=Sum("requests"), failures=Sum("failures")
    )
    return {"requests": found["requests"] or 0, "failures": found["failures"] or 0}
