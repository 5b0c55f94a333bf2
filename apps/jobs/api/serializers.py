"""Jobs on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.jobs import selectors
from apps.jobs.api.delivery_serializers import DestinationSerializer
from apps.jobs.formats.out_csv import ENCODINGS
from apps.jobs.models import Cause, Correction, Job, JobError
from apps.jobs.services import imports
from apps.jobs.services.exports import MAX_PASSWORD
from apps.jobs.services.imports import MAX_BATCH, Settings
from apps.jobs.statuses import (
    EXPORTABLE_CHOICES,
    Compression,
    CorrectionKind,
    FileType,
    ImportMode,
    JobStatus,
    JobType,
    Repeats,
    Severity,
)
from apps.kernel.api.serializers import PublicIdField, StrictSerializer
from apps.records.mapping import pipe_to_text


class UploadSerializer(StrictSerializer):
    """The file, as a multipart form, and the dataset that it is for."""

    file = serializers.FileField(help_text="In any format that can be imported.", allow_empty_file=True)
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug, such as `clients`.")
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class FetchSerializer(StrictSerializer):
    """Where a file is fetched from, and the dataset that it is for."""

    url = serializers.CharField(
        max_length=2000, required=False, help_text="An address that answers with the file."
    )
    location = PublicIdField(required=False, help_text="Instead: a place, and the file's path there.")
    path = serializers.CharField(max_length=500, required=False, default="")
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug, such as `clients`.")
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("url", "location") if name in attrs]
        if len(given) != 1:
            detail = "Give either a url, or a location and a path."
            raise serializers.ValidationError({given[1] if given else "url": [detail]}, code="required")
        return attrs


class OptionsSerializer(StrictSerializer):
    """How the file is read. What is left out is found out from the file."""

    encoding = serializers.CharField(max_length=20, required=False)
    delimiter = serializers.CharField(max_length=1, required=False, trim_whitespace=False)
    has_header = serializers.BooleanField(required=False, allow_null=True)
    header_row = serializers.IntegerField(required=False, min_value=1, max_value=1_048_576)
    sheet = serializers.CharField(max_length=255, required=False)
    record_path = serializers.CharField(
        max_length=500,
        required=False,
        help_text="Where the records are in JSON (`data.items`) or XML (`/orders/order`).",
    )
    member = serializers.CharField(
        max_length=500, required=False, help_text="Which file of an archive is read."
    )
    pad_short_rows = serializers.BooleanField(required=False, allow_null=True)
    fill_merged = serializers.BooleanField(required=False, allow_null=True)


class NotificationsSerializer(StrictSerializer):
    notify_on_completion = serializers.BooleanField(required=False, default=False)
    notify_on_error = serializers.BooleanField(required=False, default=False)
    notify_emails = serializers.ListField(
        child=serializers.EmailField(), max_length=20, required=False, default=list
    )
    webhook_url = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="An address that is told, signed; the webhook made for it is answered as `webhook`.",
    )
    webhook = serializers.CharField(
        max_length=20, required=False, allow_blank=True, help_text="The number of that webhook."
    )


class RuleSerializer(StrictSerializer):
    """A rule about whole rows: an expression over the dataset's fields that must be true."""

    check = serializers.CharField(max_length=500, help_text="Such as `amount > 0 and due >= issued`.")
    message = serializers.CharField(
        max_length=300, required=False, allow_blank=True, help_text="May name fields in braces."
    )
    severity = serializers.ChoiceField(
        Severity.choices, required=False, help_text="Warned rows are imported."
    )
    field = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="Where the problem is shown."
    )


class SettingsSerializer(StrictSerializer):
    """How an import runs. What is left out stays as it is."""

    mode = serializers.ChoiceField(ImportMode.choices, required=False)
    batch_size = serializers.IntegerField(min_value=1, max_value=MAX_BATCH, required=False)
    skip_errors = serializers.BooleanField(required=False, allow_null=True, default=None)
    stop_on_error = serializers.BooleanField(required=False, allow_null=True, default=None)
    validate_before_import = serializers.BooleanField(required=False, allow_null=True, default=None)
    dry_run = serializers.BooleanField(required=False, allow_null=True, default=None)
    preserve_ids = serializers.BooleanField(required=False, allow_null=True, default=None)
    overwrite_existing = serializers.BooleanField(required=False, allow_null=True, default=None)
    timezone = serializers.CharField(max_length=64, required=False)
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    max_errors = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, help_text="Stop after so many wrong rows; 0: never."
    )
    repeats = serializers.ChoiceField(
        Repeats.choices, required=False, help_text="What becomes of rows that repeat an earlier row's key."
    )
    deletion_limit = serializers.IntegerField(
        min_value=0,
        max_value=2_000_000_000,
        required=False,
        help_text="“Replace” wants `confirm_deletions` above so many; the organization's limit without it.",
    )
    deletion_percent = serializers.IntegerField(
        min_value=0, max_value=100, required=False, help_text="The same as a part of all records."
    )
    required_fields = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=500, required=False
    )
    unique_fields = serializers.ListField(
        child=serializers.CharField(max_length=60),
        max_length=20,
        required=False,
        help_text="Fields whose values may occur once in the file.",
    )
    custom_rules = RuleSerializer(
        many=True, required=False, help_text="Rules about whole rows, at most 50, beyond the mapping's."
    )
    notifications = NotificationsSerializer(required=False)


class ImportSerializer(StrictSerializer):
    """An uploaded import, with what was decided about it. Without `mapping` the proposed one is taken."""

    job = PublicIdField(help_text="The number that the upload answered with.")
    options = OptionsSerializer(required=False)
    mapping = serializers.JSONField(
        required=False,
        help_text='`{"fields": [{"target": "name", "source": "Company", "transforms": "trim"}]}`',
    )
    settings = SettingsSerializer(required=False)


class ExecuteSerializer(ImportSerializer):
    confirm_deletions = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Agree that a “replace” deletes more records than the limits allow without asking.",
    )


class StartSerializer(StrictSerializer):
    confirm_deletions = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Agree that a “replace” deletes more records than the limits allow without asking.",
    )


class ExportSerializer(StrictSerializer):
    """What to export, and how."""

    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug.")
    format = serializers.ChoiceField(EXPORTABLE_CHOICES, default=FileType.CSV)
    template = PublicIdField(
        required=False, help_text="A saved one; what is given besides goes before what it says."
    )
    filters = serializers.DictField(
        child=serializers.CharField(max_length=500, allow_blank=True),
        required=False,
        default=dict,
        help_text=(
            "The filters of `GET /records/{dataset}`, on every field, such as "
            '`{"status": "active", "since__gte": "2026-01-01", "tags__in": "vip,new"}`. Further lookups: '
            "`contains`, `ne`, `isnull`. Further names: `created_since`, `created_before`, `updated_since`, "
            "`updated_before` (a day, or a time with a zone)."
        ),
    )
    search = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    ordering = serializers.CharField(
        max_length=200,
        required=False,
        allow_blank=True,
        default="",
        help_text="Indexed fields, `created_at` or `updated_at`; several with commas: `status,-name`.",
    )
    columns = serializers.ListField(
        child=serializers.CharField(max_length=130),
        max_length=500,
        required=False,
        default=list,
        help_text=(
            "In this order; all fields if left out. `client.name` is the name of the client that is referred "
            "to; `_id`, `_version`, `_created_at`, `_updated_at` and `_deleted_at` are metadata."
        ),
    )
    headers = serializers.DictField(
        child=serializers.CharField(max_length=200),
        required=False,
        default=dict,
        help_text='What columns are called, with `labels`: `{"name": "Company"}`.',
    )
    labels = serializers.BooleanField(
        required=False, default=False, help_text="Labels as headers, not names."
    )
    include_related = serializers.BooleanField(
        required=False, default=False, help_text="With the names of the records that are referred to."
    )
    include_metadata = serializers.BooleanField(
        required=False, default=False, help_text="With id, version, times of creation and last change."
    )
    include_audit_trail = serializers.BooleanField(
        required=False,
        default=False,
        help_text="With all changes of the records: nested in JSON and XML, a sheet or a file with others.",
    )
    include_attachments = serializers.BooleanField(
        required=False, default=False, help_text="A ZIP with the files that the hub holds for the records."
    )
    include_deleted = serializers.BooleanField(
        required=False, default=False, help_text="With deleted records; `_deleted_at` says since when."
    )
    delimiter = serializers.CharField(
        max_length=1, required=False, allow_blank=True, default="", trim_whitespace=False, help_text="Of CSV."
    )
    encoding = serializers.ChoiceField(list(ENCODINGS.items()), default="utf-8", help_text="Of CSV.")
    bom = serializers.BooleanField(
        required=False, default=True, help_text="A byte order mark in UTF-8 CSV, which Excel needs."
    )
    quote_all = serializers.BooleanField(
        required=False, default=False, help_text="Quotes around every cell of CSV, needed or not."
    )
    compression = serializers.ChoiceField(
        Compression.choices, required=False, allow_blank=True, default="", help_text="What it is packed into."
    )
    password = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=MAX_PASSWORD,
        write_only=True,
        trim_whitespace=False,
        help_text="Makes the file a ZIP with AES-256. Kept until the file is written, never shown.",
    )
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    notifications = NotificationsSerializer(required=False)
    destinations = DestinationSerializer(
        many=True, required=False, help_text="Where the file is brought when it is there."
    )


class NewJobSerializer(ExportSerializer):
    """An export. Imports begin with `POST /import/upload`."""

    job_type = serializers.ChoiceField([JobType.EXPORT.value], default=JobType.EXPORT.value)


class CancelSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class UndoSerializer(StrictSerializer):
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only tell what would happen."
    )


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


def settings_of(values: dict[str, Any]) -> Settings:
    """The service's settings for validated input."""
    return Settings(**values)
