"""The events that jobs publish."""

from __future__ import annotations

from typing import Any

from apps.events.catalog import EventType

_COUNTS = (
    "total_records",
    "processed_records",
    "successful_records",
    "failed_records",
    "created_count",
    "updated_count",
    "unchanged_count",
    "deleted_count",
    "error_count",
    "warning_count",
)
_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The job's number."},
        "name": {"type": "string"},
        "job_type": {"enum": ["import", "export"]},
        "dataset": {"type": "string"},
        "status": {"enum": ["completed", "failed"]},
        "reason": {"type": "string"},
        "started_at": {"type": ["string", "null"], "format": "date-time"},
        "completed_at": {"type": ["string", "null"], "format": "date-time"},
        "schedule": {"type": "string", "description": "The schedule that ordered it; empty without one."},
        "notify": {"type": "string", "description": "The endpoint that is told of this job besides others."},
        **{name: {"type": "integer", "minimum": 0} for name in _COUNTS},
    },
    "required": ["id", "job_type", "dataset", "status", *_COUNTS],
}
_SAMPLE: dict[str, Any] = {
    "id": "JOB-2026-00012",
    "name": "clients-march.csv",
    "job_type": "import",
    "dataset": "clients",
    "status": "completed",
    "reason": "",
    "started_at": "2026-03-01T09:00:00Z",
    "completed_at": "2026-03-01T09:00:07Z",
    "total_records": 1200,
    "processed_records": 1200,
    "successful_records": 1197,
    "failed_records": 3,
    "created_count": 1000,
    "updated_count": 97,
    "unchanged_count": 100,
    "deleted_count": 0,
    "error_count": 4,
    "warning_count": 0,
    "schedule": "",
    "notify": "",
}
_EXPORT_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The job's number."},
        "name": {"type": "string"},
        "dataset": {"type": "string"},
        "schedule": {"type": "string"},
        "notify": {"type": "string"},
        "filename": {"type": "string"},
        "format": {"type": "string"},
        "file_size": {"type": "integer", "minimum": 0},
        "rows": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string"},
        "download_url": {
            "type": "string",
            "format": "uri",
            "description": "The file, for a key with the scopes jobs:read and records:read.",
        },
        "expires_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "Until when the file is kept.",
        },
    },
    "required": ["id", "dataset", "filename", "file_size", "rows", "sha256", "download_url"],
}
_EXPORT_SAMPLE: dict[str, Any] = {
    "id": "JOB-2026-00013",
    "name": "Clients, every night",
    "dataset": "clients",
    "schedule": "SCH-2026-00001",
    "notify": "WHK-2026-00004",
    "filename": "clients-2026-03-01.csv",
    "format": "csv",
    "file_size": 48210,
    "rows": 1200,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "download_url": "https://hub.example.com/api/v1/export/JOB-2026-00013/download",
    "expires_at": "2026-03-08T09:00:07Z",
}
_RUN_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The schedule's number."},
        "name": {"type": "string"},
        "job_type": {"enum": ["import", "export"]},
        "dataset": {"type": "string"},
        "run": {"type": "string"},
        "scheduled_for": {"type": "string", "format": "date-time"},
        "reason": {"type": "string"},
        "consecutive_failures": {"type": "integer", "minimum": 1},
        "paused": {"type": "boolean", "description": "It failed too often in a row and runs no more."},
        "notify": {"type": "string"},
    },
    "required": ["id", "job_type", "dataset", "run", "scheduled_for", "reason", "paused"],
}
_RUN_SAMPLE: dict[str, Any] = {
    "id": "SCH-2026-00001",
    "name": "Orders from the shop",
    "job_type": "import",
    "dataset": "orders",
    "run": "run_01k3xq8v9gexampleexample",
    "scheduled_for": "2026-03-01T06:00:00Z",
    "reason": "sftp.example.com does not accept this user name and password.",
    "consecutive_failures": 2,
    "paused": False,
    "notify": "",
}

EVENT_TYPES = (
    EventType("job.completed", "An import or export was completed.", _SCHEMA, _SAMPLE, group="Jobs"),
    EventType(
        "job.failed",
        "An import or export failed.",
        _SCHEMA,
        {**_SAMPLE, "status": "failed", "reason": "The file is not UTF-8 throughout."},
        group="Jobs",
    ),
    EventType(
        "export.completed",
        "An exported file is ready, for those who asked to be told where it is.",
        _EXPORT_SCHEMA,
        _EXPORT_SAMPLE,
        group="Jobs",
    ),
    EventType("schedule.failed", "A scheduled run failed.", _RUN_SCHEMA, _RUN_SAMPLE, group="Jobs"),
)


def data_of(job: Any) -> dict[str, Any]:
    """The data of an event about a job."""
    return {
        "id": job.number,
        "name": job.name,
        "job_type": job.job_type,
        "dataset": job.dataset.slug,
        "status": job.status,
        "reason": job.status_reason,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "schedule": schedule_of(job),
        "notify": job.notifications.get("webhook", ""),
        **{name: getattr(job, name) for name in _COUNTS},
    }


def schedule_of(job: Any) -> str:
    """The number of the schedule that ordered a job."""
    return job.run.schedule.number if job.run_id else ""


def data_of_export(job: Any, artifact: Any, address: str) -> dict[str, Any]:
    """The data of an event about an exported file."""
    return {
        "id": job.number,
        "name": job.name,
        "dataset": job.dataset.slug,
        "schedule": schedule_of(job),
        "notify": job.notifications.get("webhook", ""),
        "filename": artifact.filename,
        "format": artifact.format,
        "file_size": artifact.file_size,
        "rows": artifact.rows,
        "sha256": artifact.sha256,
        "download_url": address,
        "expires_at": artifact.expires_at,
    }


def data_of_run(schedule: Any, run: Any, *, paused: bool) -> dict[str, Any]:
    """The data of an event about a run that failed."""
    return {
        "id": schedule.number,
        "name": schedule.name,
        "job_type": schedule.job_type,
        "dataset": schedule.dataset.slug,
        "run": run.public_id,
        "scheduled_for": run.scheduled_for,
        "reason": run.reason,
        "consecutive_failures": schedule.consecutive_failures,
        "paused": paused,
        "notify": schedule.notifications.get("webhook", ""),
    }
