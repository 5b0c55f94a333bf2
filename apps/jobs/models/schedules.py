"""Imports and exports that run by the clock: the schedule, its destinations, its runs, the files it took."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.jobs.models.locations import FileLocation
from apps.jobs.schedule_statuses import (
    OPEN_RUNS,
    AfterImport,
    DeliveryKind,
    Disposal,
    FetchedStatus,
    RunStatus,
    RunTrigger,
    ScheduleStatus,
    ScheduleType,
)
from apps.jobs.statuses import JobType
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered
from apps.kernel.timetables import Timetable


class ScheduleQuerySet(models.QuerySet["JobSchedule"]):
    def due(self, at: datetime | None = None) -> ScheduleQuerySet:
        """Active schedules whose time has come, the longest due first."""
        due = self.filter(status=ScheduleStatus.ACTIVE, next_run_at__lte=at or timezone.now())
        return due.order_by("next_run_at")


class JobSchedule(TimeOrdered, Stamped):
    """An import or export that runs once, at an interval or by a crontab in the organization's time zone."""

    PREFIX = "sch"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    number = models.CharField(max_length=20, editable=False)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    job_type = models.CharField(max_length=8, choices=JobType.choices)
    dataset = models.ForeignKey("records.Dataset", on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=8, choices=ScheduleStatus.choices, default=ScheduleStatus.ACTIVE)
    status_reason = models.CharField(max_length=500, blank=True)

    schedule_type = models.CharField(max_length=8, choices=ScheduleType.choices)
    run_at = models.DateTimeField(null=True, blank=True)
    interval_minutes = models.PositiveIntegerField(default=0)
    crontab = models.CharField(max_length=100, blank=True)
    next_run_at = models.DateTimeField(null=True, blank=True)
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_run_status = models.CharField(max_length=9, choices=RunStatus.choices, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    max_failures = models.PositiveIntegerField(
        default=5, help_text="Failed runs in a row after which it pauses; 0: never."
    )

    # Imports: where the files come from and how they are read and imported.
    source = models.ForeignKey(
        FileLocation, on_delete=models.PROTECT, related_name="schedules", null=True, blank=True
    )
    source_path = models.CharField(max_length=500, blank=True)
    pattern = models.CharField(max_length=200, blank=True)
    after_import = models.CharField(max_length=6, choices=AfterImport.choices, default=AfterImport.KEEP)
    move_to = models.CharField(max_length=500, blank=True)
    file_options = models.JSONField(default=dict, blank=True)
    mapping = models.ForeignKey(
        "records.Mapping", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    import_settings = models.JSONField(default=dict, blank=True)

    # Exports: what is exported and how.
    export_options = models.JSONField(default=dict, blank=True)
    export_template = models.ForeignKey(
        "jobs.ExportTemplate",
        on_delete=models.PROTECT,
        related_name="schedules",
        null=True,
        blank=True,
        help_text="In the place of the options, as it is when the schedule runs.",
    )

    notifications = models.JSONField(default=dict, blank=True)
    created_by = models.CharField(max_length=200, blank=True)

    objects: ClassVar[ScheduleQuerySet] = ScheduleQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-id"]
        verbose_name = "schedule"
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="job_schedule_number_unique")
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="job_schedule_org"),
            models.Index(fields=["organization", "job_type", "id"], name="job_schedule_type"),
            models.Index(fields=["organization", "status", "id"], name="job_schedule_status"),
            models.Index(fields=["organization", "dataset", "id"], name="job_schedule_dataset"),
            models.Index(
                fields=["next_run_at"],
                name="job_schedule_due",
                condition=Q(status=ScheduleStatus.ACTIVE, next_run_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}".strip()

    @property
    def is_import(self) -> bool:
        return self.job_type == JobType.IMPORT

    @property
    def timetable(self) -> Timetable:
        return Timetable(
            once=self.run_at if self.schedule_type == ScheduleType.ONCE else None,
            minutes=self.interval_minutes if self.schedule_type == ScheduleType.INTERVAL else 0,
            crontab=self.crontab if self.schedule_type == ScheduleType.CRON else "",
            zone=self.organization.timezone,
        )

    @property
    def schedule_text(self) -> str:
        """When it runs, for people."""
        if self.schedule_type != ScheduleType.ONCE:
            return self.pattern_text
        when = self.run_at.astimezone(ZoneInfo(self.organization.timezone)) if self.run_at else None
        return f"once, {when:%Y-%m-%d %H:%M}" if when else "once"

    @property
    def pattern_text(self) -> str:
        """How it repeats: a crontab, or `every 2 hours`; empty for once."""
        if self.schedule_type == ScheduleType.CRON:
            return self.crontab
        for unit, minutes in (("day", 1440), ("hour", 60), ("minute", 1)):
            if self.interval_minutes and self.interval_minutes % minutes == 0:
                count = self.interval_minutes // minutes
                return f"every {unit}" if count == 1 else f"every {count} {unit}s"
        return ""


class ScheduleDestination(TimeOrdered):
    """One of the places that a schedule's exports are delivered to."""

    PREFIX = "dst"

    schedule = models.ForeignKey(JobSchedule, on_delete=models.CASCADE, related_name="destinations")
    position = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=8, choices=DeliveryKind.choices)
    location = models.ForeignKey(
        FileLocation, on_delete=models.PROTECT, related_name="destinations", null=True, blank=True
    )
    path = models.CharField(max_length=500, blank=True)
    recipients = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return str(self.location) if self.location_id else ", ".join(self.recipients)


class ScheduleRun(TimeOrdered, Leased):
    """One time that a schedule ran, or should have. Its jobs name it as their `run`."""

    PREFIX = "run"

    schedule = models.ForeignKey(JobSchedule, on_delete=models.CASCADE, related_name="runs", db_index=False)
    trigger = models.CharField(max_length=8, choices=RunTrigger.choices, default=RunTrigger.SCHEDULE)
    scheduled_for = models.DateTimeField()
    status = models.CharField(max_length=9, choices=RunStatus.choices, default=RunStatus.WAITING)
    reason = models.CharField(max_length=500, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    files_found = models.PositiveIntegerField(default=0)
    files_taken = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The clock starts each time once, however many schedulers act.
            models.UniqueConstraint(
                fields=["schedule", "scheduled_for"],
                name="schedule_run_once",
                condition=Q(trigger=RunTrigger.SCHEDULE),
            ),
            # A run that is not over keeps the next one from starting.
            models.UniqueConstraint(
                fields=["schedule"],
                name="schedule_run_alone",
                condition=Q(status__in=[status.value for status in OPEN_RUNS]),
            ),
        ]
        indexes = [
            models.Index(fields=["schedule", "id"], name="schedule_run_schedule"),
            models.Index(
                fields=["status", "due_at"],
                name="schedule_run_due",
                condition=Q(status__in=[status.value for status in OPEN_RUNS]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule.number} of {self.scheduled_for:%Y-%m-%d %H:%M}"


class FetchedFile(TimeOrdered):
    """A file that a schedule has taken from its source: taken once, as long as it stays the same."""

    PREFIX = "ftf"

    schedule = models.ForeignKey(
        JobSchedule, on_delete=models.CASCADE, related_name="fetched", db_index=False
    )
    run = models.ForeignKey(
        ScheduleRun, on_delete=models.SET_NULL, related_name="files", null=True, blank=True
    )
    job = models.ForeignKey("jobs.Job", on_delete=models.SET_NULL, related_name="+", null=True, blank=True)
    path = models.CharField(max_length=1000)
    # What tells a changed file: size and ETag or time of change.
    version = models.CharField(max_length=300)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=9, choices=FetchedStatus.choices)
    reason = models.CharField(max_length=500, blank=True)
    disposal = models.CharField(max_length=7, choices=Disposal.choices, default=Disposal.NONE, blank=True)
    disposal_error = models.CharField(max_length=300, blank=True)
    disposal_attempts = models.PositiveSmallIntegerField(default=0)
    disposal_due_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "path", "version"], name="fetched_file_once")
        ]
        indexes = [
            models.Index(fields=["schedule", "path", "sha256"], name="fetched_file_content"),
            models.Index(
                fields=["disposal", "disposal_due_at"],
                name="fetched_file_disposal",
                condition=Q(disposal__in=[Disposal.DUE]),
            ),
        ]

    def __str__(self) -> str:
        return self.path
