"""Reads about jobs."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet

from apps.jobs.models import (
    ExportTemplate,
    FileLocation,
    Job,
    JobDelivery,
    JobError,
    JobSchedule,
    ScheduleRun,
)
from apps.jobs.services import live
from apps.jobs.statuses import JobStatus, JobType
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization


def jobs_of(organization: Organization) -> QuerySet[Job]:
    """The organization's jobs, newest first, with what lists show."""
    return Job.objects.filter(organization=organization).select_related(
        "dataset", "organization", "created_by", "run__schedule", "source"
    )


def job_of(organization: Organization, ref: str) -> Job:
    """One job by its number. Raises NotFound."""
    job = jobs_of(organization).select_related("origin", "mapping").filter(number=ref[:40]).first()
    if job is None:
        raise NotFound(f"There is no job “{ref[:40]}”.")
    return job


def statistics_of(organization: Organization) -> dict[str, Any]:
    """How many jobs there are, by kind and status, and how many rows they moved."""
    return Job.objects.filter(organization=organization).order_by().statistics()


def same_file(job: Job) -> Job | None:
    """The latest other import of exactly this file into the same dataset that has run, if there is one."""
    if not job.sha256:
        return None
    return (
        Job.objects.filter(
            organization_id=job.organization_id,
            sha256=job.sha256,
            dataset_id=job.dataset_id,
            job_type=JobType.IMPORT,
            started_at__isnull=False,
            dry_run=False,
        )
        .exclude(pk=job.pk)
        .order_by("-id")
        .first()
    )


def locations_of(organization: Organization) -> QuerySet[FileLocation]:
    """The organization's places, newest first."""
    return FileLocation.objects.filter(organization=organization).select_related("organization")


def location_of(organization: Organization, ref: str) -> FileLocation:
    """One place by its public id. Raises NotFound."""
    pk = FileLocation.parse_public_id(ref[:60])
    found = locations_of(organization).filter(pk=pk).first() if pk else None
    if found is None:
        raise NotFound(f"There is no place “{ref[:60]}”.")
    return found


def schedules_of(organization: Organization) -> QuerySet[JobSchedule]:
    """The organization's schedules, newest first, with what lists show."""
    rows = JobSchedule.objects.filter(organization=organization)
    found = rows.select_related("organization", "dataset", "source", "mapping", "export_template")
    return found.prefetch_related("destinations__location")


def export_templates_of(organization: Organization) -> QuerySet[ExportTemplate]:
    """The organization's export templates, newest first."""
    return ExportTemplate.objects.filter(organization=organization).select_related("dataset", "organization")


def export_template_of(organization: Organization, ref: str) -> ExportTemplate:
    """One export template by its public id. Raises NotFound."""
    pk = ExportTemplate.parse_public_id(ref[:60])
    found = export_templates_of(organization).filter(pk=pk).first() if pk else None
    if found is None:
        raise NotFound(f"There is no export template “{ref[:60]}”.")
    return found


def runs_of(schedule: JobSchedule) -> QuerySet[ScheduleRun]:
    """A schedule's runs, newest first, with their jobs."""
    return schedule.runs.order_by("-id").prefetch_related("jobs")


def deliveries_of(organization: Organization) -> QuerySet[JobDelivery]:
    """What is owed for the organization's jobs, newest first."""
    rows = JobDelivery.objects.filter(organization=organization)
    return rows.select_related("organization", "job", "location", "run__schedule").order_by("-id")


def progress_of(job: Job) -> dict[str, Any]:
    """What a progress bar shows; during a check, how far that is."""
    found = job.progress()
    if job.status == JobStatus.FETCHING:
        found["fetched_bytes"] = (live.noted(job) or {"done": 0})["done"]
    if job.status == JobStatus.VALIDATING:
        noted = live.noted(job) or {"done": 0, "total": job.total_records}
        done, total = noted["done"], noted["total"]
        found |= {
            "processed_records": done,
            "total_records": total,
            "percent_complete": min(99, int(100 * done / total)) if total else 0,
        }
    return found


def errors_of(job: Job, *, code: str = "", field: str = "", severity: str = "") -> QuerySet[JobError]:
    """What was wrong: the last thousand, in the file's order."""
    chosen = {"code": code, "field": field, "severity": severity}
    return JobError.objects.filter(job=job, **{name: value for name, value in chosen.items() if value})


def error_groups(job: Job) -> list[dict[str, Any]]:
    """The kept errors by cause, most frequent first."""
    groups = JobError.objects.filter(job=job).values("code", "field", "column", "severity")
    return [dict(group) for group in groups.annotate(count=Count("id")).order_by("-count", "code")[:100]]
