"""What came of a job, in sentences."""

from __future__ import annotations

from typing import Any

from apps.jobs.models import Job
from apps.jobs.statuses import JobStatus


def of(job: Job) -> dict[str, Any]:
    """`message`, one sentence; `details`, further ones; `recommendations`, what to do next."""
    if job.is_import and not job.file_path:
        return {"message": "The file was not fetched.", "details": [], "recommendations": []}
    if job.is_import:
        return _of_import(job)
    return {
        "message": f"{job.processed_records:,} {_rows(job.processed_records)} exported.",
        "details": list(job.checkpoint.get("notes", [])),
        "recommendations": [],
    }


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _of_import(job: Job) -> dict[str, Any]:
    counts = [
        (job.created_count, "created"),
        (job.updated_count, "updated"),
        (job.restored_count, "restored"),
        (job.deleted_count, "deleted"),
        (job.unchanged_count, "unchanged"),
    ]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count) or "nothing to write"
    failed = f", {job.failed_records:,} left out" if job.failed_records else ""
    prefix = "Dry run, nothing was changed: " if job.dry_run else ""
    details, advice = [], []
    if job.failed_records:
        details.append(
            f"{job.failed_records:,} of {job.processed_records:,} {_rows(job.processed_records)} had "
            f"{job.error_count:,} {'error' if job.error_count == 1 else 'errors'}."
        )
        advice.append("Download the rejected rows, correct them and upload that file.")
    if job.warning_count:
        details.append(f"{job.warning_count:,} {'warning' if job.warning_count == 1 else 'warnings'}.")
    if job.mode == "replace" and job.failed_records and not job.dry_run:
        details.append("Nothing was deleted, because some rows were wrong.")
    if job.status == JobStatus.FAILED and job.processed_records:
        advice.append("Correct the cause and continue the job: it goes on where it ended.")
    return {"message": f"{prefix}{told}{failed}.", "details": details, "recommendations": advice}
