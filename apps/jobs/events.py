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
        **{name: getattr(job, name) for name in _COUNTS},
    }
