"""The job: one import or export, with everything needed to run it, watch it and take it up again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from apps.jobs.models.queries import JobQuerySet
from apps.jobs.statuses import FINISHED, WORKING, FileType, ImportMode, JobStatus, JobType, Repeats
from apps.kernel.crypto.fields import EncryptedTextField
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered


class Job(TimeOrdered, Stamped, Leased):
    """An import of a file into a dataset, or an export of a dataset into a file.

    Counters and `checkpoint` are written by the one worker that holds the lease, in the transaction of each
    batch; `checkpoint` says how many of the file's data rows are settled.
    """

    PREFIX = "job"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="jobs", db_index=False
    )
    project = models.ForeignKey(
        "tenants.Project", on_delete=models.SET_NULL, related_name="jobs", null=True, blank=True
    )
    number = models.CharField(max_length=20, editable=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    job_type = models.CharField(max_length=8, choices=JobType.choices, default=JobType.IMPORT)
    dataset = models.ForeignKey(
        "records.Dataset", on_delete=models.PROTECT, related_name="jobs", db_index=False
    )
    status = models.CharField(max_length=12, choices=JobStatus.choices, default=JobStatus.PENDING)
    status_reason = models.CharField(
        max_length=500, blank=True, help_text="Why it failed, stopped or was cancelled."
    )

    # Where the file of an import is fetched from, if it is not uploaded.
    source = models.ForeignKey(
        "jobs.FileLocation", on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    source_path = models.CharField(max_length=500, blank=True, help_text="Below the place's folder.")
    source_url = EncryptedTextField(
        null=True, blank=True, help_text="May hold a token; forgotten when the file is there."
    )

    # The file of an import. What is empty is found out from the file.
    filename = models.CharField(max_length=255, blank=True, help_text="The name under which it is stored.")
    original_name = models.CharField(max_length=255, blank=True)
    file_type = models.CharField(max_length=8, choices=FileType.choices, blank=True)
    file_size = models.PositiveBigIntegerField(default=0, help_text="In bytes.")
    file_path = models.CharField(max_length=500, blank=True, help_text="Within the file storage.")
    mime_type = models.CharField(max_length=120, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    encoding = models.CharField(max_length=20, blank=True)
    delimiter = models.CharField(max_length=1, blank=True)
    has_header = models.BooleanField(default=True)
    header_row = models.PositiveIntegerField(
        default=0, help_text="Line or sheet row of the header; 0 for none."
    )
    sheet = models.CharField(max_length=255, blank=True)
    record_path = models.CharField(
        max_length=500, blank=True, help_text="Where the records are in a nested file (JSON, XML)."
    )
    member = models.CharField(max_length=500, blank=True, help_text="Which file of an archive is read.")
    pad_short_rows = models.BooleanField(
        default=False, help_text="Take cells that are missing at the end of a row as empty."
    )
    fill_merged = models.BooleanField(default=False, help_text="Give every cell of a merged range its value.")
    preview = models.JSONField(
        default=dict, blank=True, help_text="Columns, first rows and what was noticed."
    )

    # How to run it.
    mode = models.CharField(max_length=8, choices=ImportMode.choices, default=ImportMode.UPSERT)
    batch_size = models.PositiveIntegerField(default=5_000, help_text="Rows per transaction.")
    skip_errors = models.BooleanField(default=True, help_text="Leave wrong rows out and import the others.")
    stop_on_error = models.BooleanField(default=False, help_text="Import nothing if any row is wrong.")
    max_errors = models.PositiveIntegerField(
        default=0, help_text="Stop after so many wrong rows; 0 for no limit."
    )
    repeats = models.CharField(max_length=5, choices=Repeats.choices, default=Repeats.LAST)
    deletion_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="“Replace all” asks before it deletes more records than this."
    )
    deletion_percent = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="“Replace all” asks before it deletes a larger part of all records."
    )
    deletions_confirmed = models.BooleanField(
        default=False, help_text="A person agreed to delete more than the limits."
    )
    validate_before_import = models.BooleanField(default=True)
    dry_run = models.BooleanField(default=False, help_text="Check only: change nothing.")
    preserve_ids = models.BooleanField(
        default=True, help_text="Keep the identifiers of the file; otherwise every row gets one of its own."
    )
    overwrite_existing = models.BooleanField(
        default=True, help_text="Otherwise only blank fields are filled."
    )
    timezone = models.CharField(max_length=64, blank=True, help_text="Of times that name none.")
    field_mapping = models.JSONField(default=dict, blank=True)
    mapping = models.ForeignKey(
        "records.Mapping", on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    validation_rules = models.JSONField(default=dict, blank=True)
    configured_at = models.DateTimeField(null=True, blank=True, help_text="When the columns were matched.")

    # The last check: the real run, rolled back.
    report = models.JSONField(default=dict, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    corrected_at = models.DateTimeField(
        null=True, blank=True, help_text="When cells or rows of the file were last corrected."
    )

    # Progress and results.
    total_records = models.PositiveBigIntegerField(default=0)
    total_is_exact = models.BooleanField(default=False)
    processed_records = models.PositiveBigIntegerField(default=0)
    successful_records = models.PositiveBigIntegerField(default=0)
    failed_records = models.PositiveBigIntegerField(default=0)
    skipped_records = models.PositiveBigIntegerField(
        default=0, help_text="Blank rows and rows left as they were."
    )
    current_record = models.PositiveBigIntegerField(default=0)
    created_count = models.PositiveBigIntegerField(default=0)
    updated_count = models.PositiveBigIntegerField(default=0)
    unchanged_count = models.PositiveBigIntegerField(default=0)
    restored_count = models.PositiveBigIntegerField(default=0)
    deleted_count = models.PositiveBigIntegerField(default=0)
    duplicate_count = models.PositiveBigIntegerField(default=0)
    error_count = models.PositiveBigIntegerField(default=0, help_text="Wrong cells; a row may have several.")
    warning_count = models.PositiveBigIntegerField(default=0)
    checkpoint = models.JSONField(default=dict, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    processing_seconds = models.FloatField(default=0, help_text="Time at work, without pauses.")
    attempts = models.PositiveIntegerField(
        default=0, help_text="Times that a worker took it up without progress."
    )
    generation = models.PositiveIntegerField(default=1, help_text="Raised when it runs anew after an undo.")
    summary = models.JSONField(default=dict, blank=True)
    origin = models.ForeignKey(
        "records.Origin", on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    undone_at = models.DateTimeField(null=True, blank=True)
    files_tidied_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its folder was found to hold what rows name."
    )

    # Exports.
    filters = models.JSONField(default=dict, blank=True)
    export_settings = models.JSONField(default=dict, blank=True)
    export_password = EncryptedTextField(
        null=True, blank=True, help_text="Of the archive; forgotten as soon as the file is written."
    )

    # When it runs by itself, and who hears of it.
    run = models.ForeignKey(
        "jobs.ScheduleRun",
        on_delete=models.SET_NULL,
        related_name="jobs",
        null=True,
        blank=True,
        help_text="The schedule's run that ordered it.",
    )
    is_scheduled = models.BooleanField(default=False)
    scheduled_at = models.DateTimeField(null=True, blank=True)
    next_run_at = models.DateTimeField(null=True, blank=True)
    notifications = models.JSONField(default=dict, blank=True)

    # Who ordered it.
    created_by = models.ForeignKey(
        "tenants.User", on_delete=models.SET_NULL, related_name="+", null=True, blank=True, db_index=False
    )
    actor_kind = models.CharField(max_length=16, blank=True)
    actor_ref = models.CharField(max_length=120, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["organization", "number"], name="job_number_unique")]
        indexes = [
            models.Index(fields=["organization", "id"], name="job_org"),
            models.Index(fields=["organization", "job_type", "status", "id"], name="job_type_status"),
            models.Index(fields=["organization", "status", "id"], name="job_status"),
            models.Index(fields=["organization", "dataset", "status", "id"], name="job_dataset_status"),
            models.Index(fields=["dataset"], name="job_dataset"),
            models.Index(
                fields=["organization", "sha256", "id"], name="job_file", condition=~models.Q(sha256="")
            ),
            models.Index(fields=["created_by", "status"], name="job_creator_status"),
            models.Index(fields=["organization", "started_at"], name="job_started"),
            models.Index(
                fields=["lease_until"],
                name="job_due",
                condition=models.Q(status__in=[s.value for s in WORKING]),
            ),
            models.Index(
                fields=["updated_at"], name="job_untidied", condition=models.Q(files_tidied_at__isnull=True)
            ),
            models.Index(
                fields=["next_run_at"], name="job_next_run", condition=models.Q(next_run_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}".strip()

    @property
    def public_id(self) -> str:
        return self.number

    @property
    def is_import(self) -> bool:
        return self.job_type == JobType.IMPORT

    @property
    def is_complete(self) -> bool:
        return self.status in FINISHED

    @property
    def is_working(self) -> bool:
        return self.status in WORKING

    @property
    def is_waiting(self) -> bool:
        """Ordered, but no worker has begun."""
        return self.is_working and not self.lease_owner

    @property
    def success_count(self) -> int:
        return self.successful_records

    @property
    def skipped_count(self) -> int:
        return self.skipped_records

    @property
    def success_rate(self) -> float | None:
        """Percent of the processed rows that were right; None before the first."""
        if not self.processed_records:
            return None
        return round(100 * self.successful_records / self.processed_records, 1)

    @property
    def duration(self) -> timedelta | None:
        """From start to end, or to now."""
        if self.started_at is None:
            return None
        return (self.completed_at or timezone.now()) - self.started_at

    @property
    def processing_time(self) -> float:
        """Seconds at work, without pauses."""
        return round(self.processing_seconds, 3)

    @property
    def records_per_second(self) -> float | None:
        if not self.processed_records or self.processing_seconds <= 0:
            return None
        return round(self.processed_records / self.processing_seconds, 1)

    @property
    def percent_complete(self) -> int:
        """0 to 100; 100 only when it is over and done."""
        if self.status == JobStatus.COMPLETED:
            return 100
        if not self.total_records:
            return 0
        return min(99, int(100 * self.processed_records / self.total_records))

    @property
    def estimated_time_remaining(self) -> timedelta | None:
        """None when it is not running, or has not shown its pace yet."""
        rate = self.records_per_second
        if self.status != JobStatus.PROCESSING or not rate or not self.total_records:
            return None
        return timedelta(seconds=max(0, self.total_records - self.processed_records) / rate)

    @property
    def run_ref(self) -> str:
        """What names this run of the job as an origin of changes."""
        return self.number if self.generation == 1 else f"{self.number}/{self.generation}"

    def settled_rows(self) -> int:
        """How many data rows of the file need not be read again."""
        return int(self.checkpoint.get("rows", 0))

    def progress(self) -> dict[str, Any]:
        """What a progress bar shows."""
        remaining = self.estimated_time_remaining
        return {
            "total_records": self.total_records,
            "processed_records": self.processed_records,
            "successful_records": self.successful_records,
            "failed_records": self.failed_records,
            "skipped_records": self.skipped_records,
            "current_record": self.current_record,
            "percent_complete": self.percent_complete,
            "records_per_second": self.records_per_second,
            "estimated_time_remaining": None if remaining is None else round(remaining.total_seconds()),
            "started_at": _iso(self.started_at),
            "completed_at": _iso(self.completed_at),
            "processing_time": self.processing_time,
        }


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")
