"""What the page of a job tells: in words, numbers and facts."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.jobs.models import Job
from apps.jobs.services import control
from apps.jobs.statuses import WORKBOOKS, JobStatus
from apps.kernel.admin import ago, badge, status_badge
from apps.records.services.history import UndoResult


def state_of(job: Job) -> SafeString:
    """The badge of a job's status, which also tells what happened to its rows."""
    if job.undone_at is not None:
        return badge("Undone", title="Everything it wrote was taken back")
    if job.status == JobStatus.COMPLETED and job.failed_records:
        return badge("Completed with errors", "warn", title=f"{job.failed_records:,} rows were left out")
    return status_badge(job.status, job.get_status_display(), title=job.status_reason)


def told(result: UndoResult, verb: str) -> str:
    if result.in_background:
        done = result.reverted + result.refused
        return f"What it wrote is taken back in the background: {done:,} of {result.total:,} changes so far."
    changes = "change" if result.reverted == 1 else "changes"
    text = f"{result.reverted:,} {changes} {verb} taken back."
    if result.refused:
        text += (
            f" {result.refused:,} cannot be, because others changed the record later, or its key is another "
            "record's now."
        )
    return text


def possible(job: Job) -> set[str]:
    found = set()
    if job.status == JobStatus.PROCESSING:
        found.add("pause")
    if job.status == JobStatus.PAUSED:
        found.add("resume")
    if not job.is_complete:
        found.add("cancel")
    begun = not job.is_import or job.configured_at or not job.file_path
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED) and begun:
        found.add("retry")
    until = control.undoable_until(job)
    written = job.created_count + job.updated_count + job.deleted_count + job.restored_count
    if (
        job.is_import
        and not job.is_working
        and not job.dry_run
        and written
        and job.undone_at is None
        and job.origin_id
        and (until is None or until > timezone.now())
    ):
        found.add("undo")
    return found


def counts(job: Job) -> list[tuple[str, int, str]]:
    """(label, number, tone) of what came of it."""
    if not job.is_import:
        return [("Exported", job.processed_records, "good")]
    all_counts = [
        ("Created", job.created_count, "good"),
        ("Updated", job.updated_count, "busy"),
        ("Restored", job.restored_count, "good"),
        ("Deleted", job.deleted_count, "bad"),
        ("Unchanged", job.unchanged_count, "quiet"),
        ("Left out", job.failed_records, "bad"),
        ("Warnings", job.warning_count, "warn"),
    ]
    always = ("Created", "Updated", "Unchanged", "Left out")
    return [item for item in all_counts if item[1] or item[0] in always]


def facts(job: Job) -> list[tuple[str, Any]]:
    """How it was ordered, for the page's side."""
    found: list[tuple[str, Any]] = [
        (
            "Dataset",
            format_html(
                '<a class="hub-link" href="{}">{}</a>',
                reverse("admin:data_list", args=[job.dataset.slug]),
                job.dataset.name,
            ),
        ),
        ("Ordered by", job.actor_label or "–"),
        ("Ordered", ago(job.created_at)),
    ]
    if job.started_at:
        found.append(("Started", ago(job.started_at)))
    if job.completed_at:
        found.append(("Ended", ago(job.completed_at)))
    if "undo" in possible(job) and (until := control.undoable_until(job)) is not None:
        found.append(("Can be undone", f"until {until:%Y-%m-%d %H:%M} UTC"))
    if job.is_import and job.source is not None:
        found.append(("Fetched from", f"{job.source}: {job.source_path}".rstrip(": ")))
    if job.is_import and not job.file_path:
        return found
    if job.is_import:
        found += [
            ("File", job.original_name),
            ("Read as", _read_as(job)),
            ("Mode", job.get_mode_display()),
            ("Wrong rows", "stop everything" if job.stop_on_error else "are left out"),
            ("Existing values", "overwritten" if job.overwrite_existing else "kept, blanks filled"),
        ]
        if job.dry_run:
            found.append(("Dry run", "nothing is written"))
    else:
        settings = job.export_settings
        found += [
            ("Format", job.get_file_type_display()),
            ("Columns", ", ".join(settings.get("columns") or []) or "all"),
            ("Filters", ", ".join(f"{k} = {v}" for k, v in job.filters.get("fields", {}).items()) or "none"),
        ]
    if job.description:
        found.append(("Note", job.description))
    return found


def _read_as(job: Job) -> str:
    if job.file_type in WORKBOOKS:
        return f"{job.get_file_type_display()}, sheet “{job.sheet}”"
    if job.record_path:
        return f"{job.get_file_type_display()}, records at “{job.record_path}”"
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe"}
    return f"CSV, {job.encoding}, {names.get(job.delimiter, job.delimiter)}"
