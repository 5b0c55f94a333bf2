"""What connectors show on the home page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.connectors import selectors
from apps.connectors.models import Integration, SyncJob
from apps.connectors.statuses import IntegrationStatus, SyncStatus
from apps.kernel.admin import Series, ago, bar_chart, dashboard, sparkline

_SCOPE = "integrations:read"
LATE = timedelta(minutes=10)
_TONES: dict[str, str] = {
    SyncStatus.COMPLETED: "good",
    SyncStatus.PARTIAL: "warn",
    SyncStatus.FAILED: "bad",
    SyncStatus.PENDING: "busy",
    SyncStatus.RUNNING: "busy",
}


def _mine(request: HttpRequest) -> Any:
    return Integration.objects.live().of(request.organization)  # type: ignore[attr-defined]


def _integrations(request: HttpRequest) -> dict[str, Any] | None:
    counts: dict[str, int] = {}
    for status in _mine(request).values_list("status", flat=True)[:5000]:
        counts[status] = counts.get(status, 0) + 1
    active, broken, total = counts.get("active", 0), counts.get("error", 0), sum(counts.values())
    if not total:
        note, tone = "none is connected yet", "quiet"
    elif broken:
        note, tone = f"{broken} in error, {total} in all", "bad"
    else:
        note, tone = f"{total} in all", "good" if active else "warn"
    return {
        "title": "Integrations at work",
        "value": f"{active:,}",
        "note": note,
        "tone": tone,
        "href": reverse("admin:connectors_integration_changelist"),
    }


def _rows(request: HttpRequest) -> dict[str, Any] | None:
    days = selectors.rows_by_day(request.organization)  # type: ignore[attr-defined]
    today = days[-1]
    syncs = f"{today['jobs']:,} sync{'s' if today['jobs'] != 1 else ''}"
    return {
        "title": "Rows synced today",
        "value": f"{today['processed']:,}",
        "note": f"in {syncs}, {today['failed']:,} rows refused",
        "tone": "warn" if today["failed"] else "good" if today["jobs"] else "quiet",
        "href": reverse("admin:connectors_syncjob_changelist"),
        "spark": sparkline([day["processed"] for day in days], label="rows per day"),
    }


def _chart(request: HttpRequest) -> dict[str, Any] | None:
    days = selectors.rows_by_day(request.organization)  # type: ignore[attr-defined]
    return {
        "title": "Rows synced, last 14 days",
        "chart": bar_chart(
            [f"{day['day'].day}" for day in days],
            [
                Series("taken over", tuple(day["processed"] - day["failed"] for day in days), "good"),
                Series("refused", tuple(day["failed"] for day in days), "bad"),
            ],
            unit="rows",
        ),
        "href": reverse("admin:connectors_syncjob_changelist"),
    }


def _today(request: HttpRequest) -> dict[str, Any] | None:
    organization = request.organization  # type: ignore[attr-defined]
    jobs = SyncJob.objects.filter(organization=organization).select_related("integration")[:6]
    return {
        "title": "Latest syncs",
        "items": [
            {
                "title": str(job.integration),
                "text": f"{job.get_status_display()}: {job.processed:,} rows read, {job.created:,} new, "
                f"{job.updated:,} changed" + (f", {job.failed:,} refused" if job.failed else ""),
                "tone": _TONES.get(job.status, "quiet"),
                "href": reverse("admin:connectors_syncjob_change", args=[job.number]),
                "when": ago(job.started_at or job.created_at),
            }
            for job in jobs
        ],
        "href": reverse("admin:connectors_syncjob_changelist"),
        "empty": "No sync has run yet.",
    }


def _problems(request: HttpRequest) -> list[dashboard.Problem]:
    now = timezone.now()
    broken = _mine(request).filter(status=IntegrationStatus.ERROR).order_by("-last_error_at")[:5]
    late = _mine(request).needing_sync(now - LATE)[:3]
    refused = (
        SyncJob.objects.filter(
            organization=request.organization,  # type: ignore[attr-defined]
            status__in=(SyncStatus.PARTIAL, SyncStatus.FAILED),
            completed_at__gte=now - timedelta(days=1),
            integration__status=IntegrationStatus.ACTIVE,
        )
        .select_related("integration")
        .order_by("-id")[:3]
    )
    return [
        *(
            dashboard.Problem(
                title=f"{row} is in error",
                text=row.connection_status_description,
                href=reverse("admin:connectors_integration_change", args=[row.number]),
                when=row.last_error_at,
            )
            for row in broken
        ),
        *(
            dashboard.Problem(
                title=f"{row} is late",
                text="Its sync is due, but no worker has taken it up. Is a worker running?",
                href=reverse("admin:connectors_integration_change", args=[row.number]),
                tone="warn",
                when=row.next_sync_at,
            )
            for row in late
        ),
        *(
            dashboard.Problem(
                title=f"{job.number} of {job.integration}: {job.get_status_display().lower()}",
                text=job.error_message,
                href=reverse("admin:connectors_syncjob_change", args=[job.number]),
                tone="bad" if job.status == SyncStatus.FAILED else "warn",
                when=job.completed_at,
            )
            for job in refused
        ),
    ]


def register() -> None:
    """Put the cards on the home page."""
    card, cards = dashboard.Card, dashboard.cards
    cards.register(card("integrations", "health", 10, build=_integrations, scope=_SCOPE))
    cards.register(card("rows-synced", "health", 15, build=_rows, scope="syncs:read"))
    cards.register(
        card("latest-syncs", "today", 10, build=_today, template=dashboard.LIST, scope="syncs:read")
    )
    cards.register(
        card("rows-by-day", "charts", 10, build=_chart, template=dashboard.CHART, scope="syncs:read")
    )
    dashboard.attention.register(dashboard.Attention("integrations", _problems, scope=_SCOPE))
