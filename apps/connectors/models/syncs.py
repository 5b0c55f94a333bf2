"""Runs of syncs, their streams, and the rows that could not be taken over."""

from __future__ import annotations

from datetime import timedelta

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.connectors.models.integrations import Integration, IntegrationStream
from apps.connectors.statuses import (
    LIVE,
    Direction,
    SyncErrorStatus,
    SyncMode,
    SyncStatus,
    SyncTrigger,
    SyncType,
)
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered


class Counted(models.Model):
    """What became of rows. Written only by the worker that holds the job's lease."""

    processed = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    deleted = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    pages = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True


class SyncJob(TimeOrdered, Stamped, Leased, Counted):
    """One run of a sync over some streams. A row with a state and a due time: the work to be done."""

    PREFIX = "syn"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="sync_jobs", db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.PROTECT, related_name="sync_jobs", db_index=False
    )
    number = models.CharField(max_length=20, editable=False)
    type = models.CharField(max_length=16, choices=SyncType.choices)
    direction = models.CharField(max_length=16, choices=Direction.choices, default=Direction.INBOUND)
    trigger = models.CharField(max_length=10, choices=SyncTrigger.choices, default=SyncTrigger.MANUAL)
    status = models.CharField(max_length=10, choices=SyncStatus.choices, default=SyncStatus.PENDING)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Failed tries since the last good page.")
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.CharField(max_length=200, blank=True)
    metadata = models.JSONField(default=dict, blank=True, help_text="What the asker noted about it.")
    error_kind = models.CharField(max_length=16, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    retry_of = models.ForeignKey(
        "self", on_delete=models.SET_NULL, related_name="retries", null=True, blank=True, db_index=False
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="sync_number_unique"),
            models.UniqueConstraint(
                fields=["integration"],
                name="sync_live_unique",
                condition=Q(status__in=[s.value for s in LIVE]),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="sync_org"),
            models.Index(fields=["organization", "created_at"], name="sync_created"),
            models.Index(fields=["organization", "status", "-id"], name="sync_status"),
            models.Index(fields=["integration", "-id"], name="sync_integration"),
            models.Index(fields=["organization", "trigger", "-id"], name="sync_trigger"),
            models.Index(fields=["organization", "type", "-id"], name="sync_type"),
            models.Index(fields=["due_at"], name="sync_due", condition=Q(status__in=[s.value for s in LIVE])),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def public_id(self) -> str:
        return self.number

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def duration(self) -> timedelta | None:
        """From the start to the end, or to now."""
        return (self.completed_at or timezone.now()) - self.started_at if self.started_at else None

    @property
    def percent(self) -> int:
        """How much is done: the mean over the streams, 100 when it has ended well."""
        if self.status in (SyncStatus.COMPLETED, SyncStatus.PARTIAL):
            return 100
        parts = [stream.percent for stream in self.streams.all()]
        return sum(parts) // len(parts) if parts else 0

    @property
    def rows_per_second(self) -> float | None:
        duration = self.duration
        return round(self.processed / duration.total_seconds(), 1) if duration else None


class SyncStream(TimeOrdered, Counted):
    """One stream of a run: how far it is, and the checkpoint from which a killed run goes on."""

    PREFIX = "sst"

    job = models.ForeignKey(SyncJob, on_delete=models.CASCADE, related_name="streams")
    stream = models.ForeignKey(
        IntegrationStream, on_delete=models.SET_NULL, related_name="runs", null=True, blank=True
    )
    name = models.CharField(max_length=60)
    dataset = models.CharField(max_length=60)
    position = models.PositiveSmallIntegerField(default=0)
    mode = models.CharField(max_length=12, choices=SyncMode.choices)
    revision = models.PositiveIntegerField(default=0, editable=False)
    status = models.CharField(max_length=10, choices=SyncStatus.choices, default=SyncStatus.PENDING)
    cursor_before = models.CharField(max_length=80, blank=True)
    cursor_after = models.CharField(max_length=80, blank=True)
    checkpoint = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    duplicates = models.PositiveIntegerField(default=0)
    expected = models.PositiveIntegerField(
        null=True, blank=True, help_text="Rows that the last such run had."
    )
    warning = models.CharField(max_length=500, blank=True)
    error_kind = models.CharField(max_length=16, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="sync_stream_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def percent(self) -> int:
        """How much is done, as far as one can tell before the last page."""
        if self.status in (SyncStatus.COMPLETED, SyncStatus.PARTIAL):
            return 100
        return min(99, 100 * self.processed // self.expected) if self.expected else 0


class SyncError(TimeOrdered):
    """A row that could not be taken over, with the reasons. One open error for each remote row."""

    PREFIX = "ser"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="sync_errors", db_index=False
    )
    job = models.ForeignKey(SyncJob, on_delete=models.CASCADE, related_name="errors", db_index=False)
    stream = models.CharField(max_length=60)
    remote_id = models.CharField(max_length=190, blank=True)
    code = models.CharField(max_length=60)
    field = models.CharField(max_length=60, blank=True)
    message = models.CharField(max_length=500)
    problems = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    row = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    status = models.CharField(max_length=10, choices=SyncErrorStatus.choices, default=SyncErrorStatus.OPEN)
    retryable = models.BooleanField(default=True)
    attempts = models.PositiveSmallIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "refused row"
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "stream", "remote_id"],
                name="sync_error_open_unique",
                condition=Q(status=SyncErrorStatus.OPEN) & ~Q(remote_id=""),
            ),
        ]
        indexes = [
            models.Index(fields=["job", "-id"], name="sync_error_job"),
            models.Index(fields=["integration", "status", "-id"], name="sync_error_of"),
            models.Index(fields=["organization", "status", "-id"], name="sync_error_org"),
            models.Index(fields=["organization", "code", "-id"], name="sync_error_code"),
            models.Index(fields=["organization", "remote_id"], name="sync_error_remote"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.remote_id}: {self.message}"
