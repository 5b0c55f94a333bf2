"""Schedules and places on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from apps.jobs.api.delivery_serializers import DestinationSerializer
from apps.jobs.api.inputs import (
    ExportSerializer,
    NotificationsSerializer,
    OptionsSerializer,
    SettingsSerializer,
)
from apps.jobs.models import FetchedFile, FileLocation, JobSchedule, ScheduleRun
from apps.jobs.schedule_statuses import (
    AfterImport,
    Disposal,
    FetchedStatus,
    LocationKind,
    RunStatus,
    RunTrigger,
    ScheduleStatus,
    ScheduleType,
)
from apps.jobs.statuses import JobStatus, JobType
from apps.kernel.api.serializers import PublicIdField, StrictSerializer

NEXT_RUNS = 5


class LocationChangeSerializer(StrictSerializer):
    """A place where files lie. Which fields count depends on its kind."""

    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    kind = serializers.ChoiceField(LocationKind.choices, required=False)
    host = serializers.CharField(
        max_length=255, required=False, allow_blank=True, help_text="SFTP: the server's name."
    )
    port = serializers.IntegerField(min_value=1, max_value=65535, required=False, help_text="SFTP.")
    host_key = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="SFTP: the server's public key or its SHA256 fingerprint; a test tells it.",
    )
    endpoint_url = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text="S3: empty for Amazon's."
    )
    region = serializers.CharField(max_length=60, required=False, allow_blank=True, help_text="S3.")
    bucket = serializers.CharField(max_length=63, required=False, allow_blank=True, help_text="S3.")
    base_url = serializers.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        help_text="HTTPS: what all addresses of this place begin with.",
    )
    folder = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text="All paths are below it."
    )
    username = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="S3: the access key id."
    )
    secret = serializers.CharField(
        max_length=4000,
        required=False,
        allow_blank=True,
        write_only=True,
        trim_whitespace=False,
        help_text="Password, secret access key or bearer token. Left out or empty, it stays.",
    )
    private_key = serializers.CharField(
        max_length=20_000, required=False, allow_blank=True, write_only=True, help_text="SFTP."
    )
    passphrase = serializers.CharField(
        max_length=1000,
        required=False,
        allow_blank=True,
        write_only=True,
        trim_whitespace=False,
        help_text="Of the private key.",
    )


class NewLocationSerializer(LocationChangeSerializer):
    """A new place."""

    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(LocationKind.choices)


class LocationSerializer(serializers.Serializer[FileLocation]):
    """A place where files lie. What is secret is never told."""

    id = serializers.CharField(source="public_id", read_only=True)
    name = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(LocationKind.choices)
    address = serializers.CharField(source="shown_address")
    host = serializers.CharField()
    port = serializers.IntegerField()
    host_key = serializers.CharField()
    endpoint_url = serializers.CharField()
    region = serializers.CharField()
    bucket = serializers.CharField()
    base_url = serializers.CharField()
    folder = serializers.CharField()
    username = serializers.CharField()
    has_secret = serializers.SerializerMethodField()
    has_private_key = serializers.SerializerMethodField()
    tested_at = serializers.DateTimeField(allow_null=True)
    test_passed = serializers.BooleanField(allow_null=True)
    test_result = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_has_secret(self, location: FileLocation) -> bool:
        return location.has_secret("secret")

    def get_has_private_key(self, location: FileLocation) -> bool:
        return location.has_secret("private_key")


class LocationTestSerializer(serializers.Serializer[Any]):
    """Whether the hub gets in, and a plain reason."""

    passed = serializers.BooleanField()
    detail = serializers.CharField()


class ImportSettingsSerializer(SettingsSerializer):
    """How each file is imported."""

    name = None  # type: ignore[assignment]
    description = None  # type: ignore[assignment]
    template = None
    notifications = None  # type: ignore[assignment]


class ExportOptionsSerializer(ExportSerializer):
    """What is exported, and how. A password is not kept: deliver to a place that keeps others out."""

    password = None  # type: ignore[assignment]
    dataset = None  # type: ignore[assignment]
    name = None  # type: ignore[assignment]
    description = None  # type: ignore[assignment]
    notifications = None  # type: ignore[assignment]
    destinations = None  # type: ignore[assignment]


class ScheduleChangeSerializer(StrictSerializer):
    """What to change of a schedule."""

    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)
    schedule_type = serializers.ChoiceField(ScheduleType.choices, required=False)
    run_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Of `once`.")
    interval_minutes = serializers.IntegerField(
        min_value=0, max_value=527_040, required=False, help_text="Of `interval`."
    )
    crontab = serializers.CharField(
        max_length=100,
        required=False,
        allow_blank=True,
        help_text="Of `cron`: minute, hour, day, month, weekday in the organization's time zone.",
    )
    max_failures = serializers.IntegerField(
        min_value=0,
        max_value=1000,
        required=False,
        help_text="Failed runs in a row after which it pauses; 0: never.",
    )
    source = PublicIdField(  # type: ignore[assignment]
        required=False, help_text="Import: the place that the files come from."
    )
    source_path = serializers.CharField(
        max_length=500, required=False, allow_blank=True, help_text="Import: the folder there, or the file."
    )
    pattern = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="Import: such as `orders-*.csv`."
    )
    after_import = serializers.ChoiceField(AfterImport.choices, required=False)
    move_to = serializers.CharField(max_length=500, required=False, allow_blank=True)
    file_options = OptionsSerializer(required=False)
    mapping = PublicIdField(
        required=False, allow_null=True, help_text="Import: a saved mapping; else it is found by itself."
    )
    import_settings = ImportSettingsSerializer(required=False)
    export_options = ExportOptionsSerializer(required=False)
    export_template = PublicIdField(
        required=False, allow_null=True, help_text="Export: a saved template in the place of the options."
    )
    destinations = DestinationSerializer(many=True, required=False)
    notifications = NotificationsSerializer(required=False)


class NewScheduleSerializer(ScheduleChangeSerializer):
    """A new schedule of an import or export."""

    name = serializers.CharField(max_length=120)
    job_type = serializers.ChoiceField(JobType.choices)
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug.")
    schedule_type = serializers.ChoiceField(ScheduleType.choices)


class ScheduleSerializer(serializers.Serializer[JobSchedule]):
    """A schedule of an import or export."""

    id = serializers.CharField(source="number", read_only=True)
    name = serializers.CharField()
    description = serializers.CharField()
    job_type = serializers.ChoiceField(JobType.choices)
    dataset = serializers.CharField(source="dataset.slug")
    status = serializers.ChoiceField(ScheduleStatus.choices)
    status_reason = serializers.CharField()
    schedule_type = serializers.ChoiceField(ScheduleType.choices)
    run_at = serializers.DateTimeField(allow_null=True)
    interval_minutes = serializers.IntegerField()
    crontab = serializers.CharField()
    timezone = serializers.CharField(source="organization.timezone")
    next_run_at = serializers.DateTimeField(allow_null=True)
    last_run_at = serializers.DateTimeField(allow_null=True)
    last_run_status = serializers.CharField()
    consecutive_failures = serializers.IntegerField()
    max_failures = serializers.IntegerField()
    source = serializers.CharField(  # type: ignore[assignment]
        source="source.public_id", default=None, allow_null=True
    )
    source_path = serializers.CharField()
    pattern = serializers.CharField()
    after_import = serializers.ChoiceField(AfterImport.choices)
    move_to = serializers.CharField()
    file_options = serializers.JSONField()
    mapping = serializers.CharField(source="mapping.public_id", default=None, allow_null=True)
    import_settings = serializers.JSONField()
    export_options = serializers.JSONField()
    export_template = serializers.CharField(source="export_template.public_id", default=None, allow_null=True)
    destinations = serializers.SerializerMethodField()
    notifications = serializers.JSONField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_destinations(self, schedule: JobSchedule) -> list[dict[str, Any]]:
        return [
            {
                "kind": row.kind,
                "location": row.location.public_id if row.location else None,
                "path": row.path,
                "recipients": row.recipients,
            }
            for row in schedule.destinations.all()
        ]


class ScheduleDetailSerializer(ScheduleSerializer):
    """A schedule, with the times of its next runs."""

    next_runs = serializers.SerializerMethodField()

    def get_next_runs(self, schedule: JobSchedule) -> list[datetime]:
        if schedule.status != ScheduleStatus.ACTIVE or schedule.next_run_at is None:
            return []
        first = max(schedule.next_run_at, timezone.now())
        return [schedule.next_run_at, *schedule.timetable.upcoming(first, NEXT_RUNS - 1)]


class RunJobSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="number")
    status = serializers.ChoiceField(JobStatus.choices)


class RunSerializer(serializers.Serializer[ScheduleRun]):
    """One run of a schedule, and the jobs that it made."""

    id = serializers.CharField(source="public_id", read_only=True)
    trigger = serializers.ChoiceField(RunTrigger.choices)
    status = serializers.ChoiceField(RunStatus.choices)
    reason = serializers.CharField()
    scheduled_for = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    files_found = serializers.IntegerField()
    files_taken = serializers.IntegerField()
    jobs = RunJobSerializer(many=True)


class FetchedFileSerializer(serializers.Serializer[FetchedFile]):
    """A file that was taken from the source."""

    id = serializers.CharField(source="public_id", read_only=True)
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    status = serializers.ChoiceField(FetchedStatus.choices)
    reason = serializers.CharField()
    job = serializers.CharField(source="job.number", default=None, allow_null=True)
    disposal = serializers.ChoiceField(Disposal.choices)
    disposal_error = serializers.CharField()
    created_at = serializers.DateTimeField()
