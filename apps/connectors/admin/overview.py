"""What the page of an integration shows: its state, its streams, and what it did lately."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from apps.connectors import selectors
from apps.connectors.admin.calls import health_badge, rows_of
from apps.connectors.admin.syncs import progress_of_job
from apps.connectors.engine import times
from apps.connectors.engine.errors import EngineError
from apps.connectors.engine.manifest import ManifestError, Stream
from apps.connectors.models import Integration, IntegrationStream, SyncJob
from apps.connectors.services import connections
from apps.connectors.statuses import LIVE, IntegrationStatus
from apps.kernel.admin import Series, ago, bar_chart, milliseconds, mono, progress_bar, size, status_badge
from apps.kernel.admin.display import duration


def overview(row: Integration) -> dict[str, Any]:
    """The context of the page."""
    statistics, health = selectors.statistics_of(row), selectors.health_of(row)
    hours = selectors.calls_by_hour(row)
    definitions = _definitions(row)
    jobs = list(row.sync_jobs.prefetch_related("streams")[:8])
    running = next((job for job in jobs if job.status in LIVE), None)
    zone = timezone.get_current_timezone()
    return {
        "entry": row.catalog_entry,
        "status": status_badge(row.status, row.get_status_display()),
        "health_badge": health_badge(row),
        "health": health,
        "statistics": statistics,
        "average": milliseconds(statistics["average_response_time_ms"]),
        "latency": milliseconds(row.response_time_ms),
        "transferred": size(statistics["data_transferred_bytes"]),
        "last_sync": ago(row.last_sync_at),
        "next_sync": ago(
            row.next_sync_at if row.status == IntegrationStatus.ACTIVE else None, never="not scheduled"
        ),
        "checked": ago(row.last_health_check),
        "tested": ago(row.tested_at),
        "connected": ago(row.connected_at),
        "error_at": ago(row.last_error_at),
        "credentials": _credentials(row),
        "chart": bar_chart(
            [f"{hour['at'].astimezone(zone):%H:%M}" for hour in hours],
            [
                Series("good", tuple(h["requests"] - h["failures"] for h in hours), "good"),
                Series("failed", tuple(h["failures"] for h in hours), "bad"),
            ],
            unit="calls",
        ),
        "running": progress_bar(progress_of_job(running), _progress_url(running), reload=True)
        if running
        else "",
        "running_job": running,
        "webhook_address": mono(row.webhook_url, copy=True),
        "inbound_url": _inbound_url(row),
        "jobs": [_job_row(job) for job in jobs],
        "streams": [
            {
                "row": stream,
                "cursor": ago(_moment(stream.cursor), never="from the beginning") if stream.cursor else "",
                "synced": ago(stream.last_synced_at),
                "mode": stream.get_mode_display(),
                "mapping": _mapping(stream, definitions.get(stream.name)),
                "data_url": reverse("admin:data_list", args=[stream.dataset.slug]),
            }
            for stream in row.streams.select_related("dataset", "mapping")
        ],
        "history": [
            {
                "event": event,
                "badge": status_badge(event.action, event.get_action_display()),
                "when": ago(event.created_at),
            }
            for event in selectors.history_of(row)[:10]
        ],
        "logs": rows_of(row.logs.all()[:8]),
        "logs_url": _list_of("integrationlog", row),
        "jobs_url": _list_of("syncjob", row),
        "errors_url": _list_of("syncerror", row) + "&status__exact=open",
    }


def _inbound_url(row: Integration) -> str:
    """The page of its inbound address, which another app provides."""
    try:
        return reverse("admin:webhooks_inbound_of", args=[row.number])
    except NoReverseMatch:
        return ""


def _credentials(row: Integration) -> list[dict[str, Any]]:
    entry = row.catalog_entry
    mode = entry.manifest.auth_mode(row.auth_mode) if entry else None
    known = row.credentials or {}
    return [
        {
            "label": credential.label,
            "set": bool(known.get(credential.name)),
            "required": credential.required,
        }
        for credential in (mode.credentials if mode else ())
    ]


def _definitions(row: Integration) -> dict[str, Stream]:
    try:
        return connections.resolve(row).streams
    except (EngineError, ManifestError):
        return {}


def _mapping(use: IntegrationStream, definition: Stream | None) -> str:
    if use.mapping is not None:
        return str(use.mapping)
    return "As defined" if definition is not None and definition.mapping else "By name"


def _moment(cursor: str | None) -> Any:
    return times.parse(cursor)


def _progress_url(job: SyncJob) -> str:
    return reverse("admin:connectors_syncjob_progress", args=[job.number])


def _job_row(job: SyncJob) -> dict[str, Any]:
    return {
        "job": job,
        "url": reverse("admin:connectors_syncjob_change", args=[job.number]),
        "status": status_badge(job.status, job.get_status_display()),
        "when": ago(job.started_at or job.created_at),
        "took": duration(job.duration) if job.duration else "",
    }


def _list_of(model: str, row: Integration) -> str:
    return f"{reverse(f'admin:connectors_{model}_changelist')}?integration__id__exact={row.pk}"
