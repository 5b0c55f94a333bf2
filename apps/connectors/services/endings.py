"""How a sync ends: its status, the integration's next due time, and the event that tells of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.connectors.models import Integration, SyncJob, SyncStream
from apps.connectors.services import schedules
from apps.connectors.statuses import SyncStatus
from apps.events.services import outbox

_EVENTS = {
    SyncStatus.RUNNING: "sync.started",
    SyncStatus.COMPLETED: "sync.completed",
    SyncStatus.PARTIAL: "sync.partial",
    SyncStatus.FAILED: "sync.failed",
    SyncStatus.CANCELLED: "sync.cancelled",
}


def verdict(streams: list[SyncStream]) -> str:
    """The status of a job whose streams have all ended."""
    statuses = {stream.status for stream in streams}
    if statuses <= {SyncStatus.COMPLETED}:
        return SyncStatus.COMPLETED
    if SyncStatus.CANCELLED in statuses:
        return SyncStatus.CANCELLED
    return SyncStatus.FAILED if statuses <= {SyncStatus.FAILED} else SyncStatus.PARTIAL


def summary(streams: list[SyncStream]) -> str:
    """In a sentence what did not go well; empty if all did."""
    errors = [f"{stream.name}: {stream.error_message}" for stream in streams if stream.error_message]
    failed = sum(stream.failed for stream in streams)
    if failed:
        errors.append(f"{failed:,} row{'s' if failed != 1 else ''} could not be taken over.")
    errors += [f"{stream.name}: {stream.warning}" for stream in streams if stream.warning]
    return " ".join(errors)[:500]


def settle(job: SyncJob) -> None:
    """Note on the integration how its last sync went and when the next is due, in this transaction."""
    now = timezone.now()
    integration = Integration.objects.select_related("organization").get(pk=job.integration_id)
    values: dict[str, Any] = {
        "last_sync_status": job.status,
        "next_sync_at": schedules.next_run(integration, now),
        "updated_at": now,
    }
    if job.status in (SyncStatus.COMPLETED, SyncStatus.PARTIAL):
        values["last_sync_at"] = now
    Integration.objects.filter(pk=integration.pk).update(**values)


def announce(job: SyncJob) -> None:
    """Publish the event that tells of the job's status. In the caller's transaction."""
    integration = job.integration
    outbox.publish(
        organization=job.organization,
        type=_EVENTS[SyncStatus(job.status)],
        subject=job.number,
        data={
            "id": job.number,
            "integration": integration.number,
            "name": str(integration),
            "type": job.type,
            "trigger": job.trigger,
            "status": job.status,
            "streams": [stream.name for stream in job.streams.all()],
            "started_at": job.started_at,
            "completed_at": job.completed_at,
            "error": job.error_message,
            "processed": job.processed,
            "created": job.created,
            "updated": job.updated,
            "unchanged": job.unchanged,
            "deleted": job.deleted,
            "failed": job.failed,
        },
    )
