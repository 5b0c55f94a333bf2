"""Jobs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.jobs import selectors
from apps.jobs.models import Cause, Correction, Job, JobError
from apps.jobs.services import imports
from apps.jobs.statuses import (
    CorrectionKind,
    FileType,
    ImportMode,
    JobStatus,
    JobType,
    Repeats,
    Severity,
)
from apps.records.mapping import pipe_to_text


class FileSerializer(serializers.Serializer[Job]):
    """The file of an import and how it is read."""

    original_name = serializers.CharField()
    file_type = serializers.ChoiceField(FileType.choices)
    file_size = serializers.IntegerField(help_text="Bytes.")
    mime_type = serializers.CharField()
    sha256 = serializers.CharField()
    encoding = serializers.CharField()
    delimiter = serializers.CharField()
    has_header = serializers.BooleanField()
    header_row = serializers.IntegerField()
    sheet = serializers.CharField()
    record_path = serializers.CharField()
    member = serializers.CharField()
    pad_short_rows = serializers.BooleanField()
    fill_merged = serializers.BooleanField()


class ConfigSerializer(serializers.Serializer[Job]):
    """How an import runs."""

    mode = serializers.ChoiceField(ImportMode.choices)
    batch_size = serializers.IntegerField()
    skip_errors = serializers.BooleanField()
    stop_on_error = serializers.BooleanField()
    max_errors = serializers.IntegerField()
    repeats = serializers.ChoiceField(Repeats.choices)
    deletion_limit = serializers.IntegerField(allow_null=True)
    deletion_percent = serializers.IntegerField(allow_null=True)
    validate_before_import = serializers.BooleanField()
    dry_run = serializers.BooleanField()
    preserve_ids = serializers.BooleanField()
    overwrite_existing = serializers.BooleanField()
    timezone = serializers.CharField()


class ProgressSerializer(serializers.Serializer[Any]):
    """How far the job is. Times in seconds."""

    total_records = serializers.IntegerField()
    processed_records = serializers.IntegerField()
    successful_records = serializers.IntegerField()
    failed_records = serializers.IntegerField()
    skipped_records = serializers.IntegerField()
    current_record = serializers.IntegerField()
    percent_complete = serializers.IntegerField()
    records_per_second = serializers.FloatField(allow_null=True)
    estimated_time_remaining = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    processing_time = serializers.FloatField()
    fetched_bytes = serializers.IntegerField(
        required=False, help_text="While its file is fetched: how much is there."
    )


class ResultsSerializer(serializers.Serializer[Job]):
    success_count = serializers.IntegerField()
    error_count = serializers.IntegerField()
    warning_count = serializers.IntegerField()
    created_count = serializers.IntegerField()
    updated_count = serializers.IntegerField()
    unchanged_count = serializers.IntegerField()
    restored_count = serializers.IntegerField()
    deleted_count = serializers.IntegerField()
    skipped_count = serializers.IntegerField()
    duplicate_count = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True)


class SchedulingSerializer(serializers.Serializer[Job]):
    """When the job runs by itself: once at a time, or because of a schedule."""

    is_scheduled = serializers.BooleanField()
    schedule = serializers.CharField(source="run.schedule.number", default=None, allow_null=True)
    schedule_type = serializers.CharField(source="run.schedule.schedule_type", default="")
    recurring_pattern = serializers.CharField(
        source="run.schedule.pattern_text", default="", help_text="A crontab, or `every 2 hours`."
    )
    scheduled_at = serializers.DateTimeField(allow_null=True)
    next_run_at = serializers.SerializerMethodField()
    last_run_at = serializers.DateTimeField(
        source="run.schedule.last_run_at", default=None, allow_null=True, help_text="Of the schedule."
    )

    def get_next_run_at(self, job: Job) -> datetime | None:
        """Of the job itself while it waits, else of its schedule."""
        return job.next_run_at or (job.run.schedule.next_run_at if job.run else None)


class StatusSerializer(serializers.Serializer[Job]):
    """Where a job stands."""

    id = serializers.CharField(source="number", read_only=True)
    name = serializers.CharField()
    job_type = serializers.ChoiceField(JobType.choices)
    dataset = serializers.CharField(source="dataset.slug")
    status = serializers.ChoiceField(JobStatus.choices)
    status_reason = serializers.CharField()
    is_complete = serializers.BooleanField()
    progress = serializers.SerializerMethodField()
    results = ResultsSerializer(source="*")
    report = serializers.JSONField(
        help_text="Of the last check: counts, errors by cause, samples of changes."
    )
    checked_at = serializers.DateTimeField(allow_null=True)
    summary = serializers.JSONField()
    duration = serializers.SerializerMethodField(help_text="Seconds from start to end, or to now.")

    def get_duration(self, job: Job) -> float | None:
        return None if job.duration is None else round(job.duration.total_seconds(), 3)

    def get_progress(self, job: Job) -> dict[str, Any]:
        return selectors.progress_of(job)


class JobSerializer(StatusSerializer):
    """A job, whole."""

    description = serializers.CharField()
    project = serializers.CharField(source="project.public_id", default=None, allow_null=True)
    file = FileSerializer(source="*")
    config = ConfigSerializer(source="*")
    field_mapping = serializers.JSONField()
    validation_rules = serializers.JSONField()
    filters = serializers.JSONField()
    export_settings = serializers.JSONField()
    notifications = serializers.JSONField()
    scheduling = SchedulingSerializer(source="*")
    output = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="actor_label")
    undone_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_output(self, job: Job) -> dict[str, Any] | None:
        """The exported file, without a link to it: ask `GET /export/{id}`."""
        if job.is_import:
            return None
        for artifact in job.artifacts.all():
            if artifact.kind == "output" and not artifact.is_expired:
                return {
                    "filename": artifact.filename,
                    "format": artifact.format,
                    "compression": artifact.compression,
                    "file_size": artifact.file_size,
                    "rows": artifact.rows,
                    "sha256": artifact.sha256,
                    "expires_at": artifact.expires_at,
                }
        return None


class ImportStatusSerializer(StatusSerializer):
    """Where an import stands; while it waits to be configured, also what was found in its file."""

    preview = serializers.SerializerMethodField(
        help_text="Columns, first rows, and what was noticed; null while there is nothing to decide."
    )
    proposal = serializers.SerializerMethodField(
        help_text="A mapping to begin with, and how sure each column is; null likewise."
    )

    def get_preview(self, job: Job) -> dict[str, Any] | None:
        return job.preview if _is_open(job) else None

    def get_proposal(self, job: Job) -> dict[str, Any] | None:
        return proposal_of(job) if _is_open(job) else None


def _is_open(job: Job) -> bool:
    return job.status == JobStatus.PENDING and job.configured_at is None


def proposal_of(job: Job) -> dict[str, Any]:
    """What the columns of an import probably mean."""
    proposal = imports.propose(job=job)
    return {
        "how": proposal.how,
        "mapping": proposal.spec.to_dict(),
        "columns": [
            {
                "column": column.column,
                "target": column.target,
                "confidence": column.confidence,
                "how": column.how,
                "transforms": pipe_to_text(column.transforms),
                "fitting": column.fitting,
                "ambiguous": list(column.ambiguous),
            }
            for column in proposal.columns
        ],
    }


class UploadedSerializer(JobSerializer):
    """An import that was just uploaded: how its file looks, and what its columns probably mean."""

    preview = serializers.JSONField(help_text="Columns, first rows, and what was noticed.")
    proposal = serializers.JSONField(help_text="A mapping to begin with, and how sure each column is.")
    same_file_as = serializers.CharField(
        allow_null=True, help_text="The latest job that imported exactly this file into the dataset before."
    )


class JobStatisticsSerializer(serializers.Serializer[Any]):
    """The organization's jobs, counted, and the rows that they moved."""

    total = serializers.IntegerField()
    active = serializers.IntegerField(help_text="Checking, processing or paused.")
    finished = serializers.IntegerField()
    imports = serializers.IntegerField()
    exports = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    processed_records = serializers.IntegerField()
    successful_records = serializers.IntegerField()
    failed_records = serializers.IntegerField()
    success_rate = serializers.FloatField(allow_null=True, help_text="Percent of the processed rows.")


class ErrorSerializer(serializers.Serializer[JobError]):
    """One thing wrong with one row."""

    id = serializers.CharField(source="public_id", read_only=True)
    row = serializers.IntegerField(help_text="Number of the data row, from 1.")
    line = serializers.IntegerField(help_text="Line of the file, or row of the sheet.")
    column = serializers.CharField()
    field = serializers.CharField()
    value = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField(source="message")
    severity = serializers.ChoiceField(Severity.choices)


class CorrectionSerializer(serializers.Serializer[Correction]):
    """What was corrected. `rows` counts the rows that it is about, from `first_row` on."""

    id = serializers.CharField(source="public_id", read_only=True)
    kind = serializers.ChoiceField(CorrectionKind.choices)
    column = serializers.CharField()
    find = serializers.CharField()
    value = serializers.CharField()
    before = serializers.CharField(help_text="Of one cell: what the file says.")
    code = serializers.CharField(help_text="Of a whole cause: its code.")
    first_row = serializers.IntegerField()
    line = serializers.IntegerField(help_text="Line or sheet row of the first row; 0 if not known.")
    rows = serializers.IntegerField()
    made_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class CauseSerializer(serializers.Serializer[Cause]):
    """One kind of problem that the last check met."""

    id = serializers.CharField(source="public_id", read_only=True)
    severity = serializers.ChoiceField(Severity.choices)
    code = serializers.CharField()
    field = serializers.CharField()
    column = serializers.CharField()
    detail = serializers.CharField(source="message", help_text="Of the first such problem.")
    count = serializers.IntegerField()
    rows = serializers.IntegerField()
    values = serializers.SerializerMethodField()

    def get_values(self, cause: Cause) -> list[dict[str, Any]]:
        return [{"value": value, "count": count} for value, count in cause.values]


class ConflictSerializer(serializers.Serializer[Any]):
    record = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class UndoneSerializer(serializers.Serializer[Any]):
    """What an undo took back, and the first records that stay because somebody changed them later."""

    reverted = serializers.IntegerField()
    refused = serializers.IntegerField()
    dry_run = serializers.BooleanField()
    in_background = serializers.BooleanField(help_text="It goes on; the numbers are those so far.")
    total = serializers.IntegerField(help_text="Changes to take back.")
    conflicts = ConflictSerializer(many=True)


class ExportStatusSerializer(JobSerializer):
    download_url = serializers.CharField(allow_null=True, help_text="Signed; valid for an hour.")
    download_expires_at = serializers.DateTimeField(allow_null=True)
