"""The home page's cards about jobs."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.jobs.admin.job_page import state_of
from apps.jobs.models import Job, JobDelivery, JobSchedule
from apps.jobs.schedule_statuses import DeliveryStatus, RunStatus, ScheduleStatus
from apps.jobs.statuses import WORKING, JobStatus
from apps.kernel.admin import ago, dashboard, number

DAY = dt.timedelta(days=1)
SHOWN = 6


def _jobs(request: HttpRequest) -> Any:
    return Job.objects.filter(organization=request.organization)  # type: ignore[attr-defined]


def running(request: HttpRequest) -> dict[str, Any]:
    """How many jobs run, and what the last day brought."""
    active = _jobs(request).filter(status__in=[*WORKING, JobStatus.PAUSED]).count()
    recent = list(
        _jobs(request)
        .filter(status=JobStatus.COMPLETED, job_type="import", started_at__gte=timezone.now() - DAY)
        .order_by("-id")
        .values_list("successful_records", flat=True)[:500]
    )
    files = "file" if len(recent) == 1 else "files"
    return {
        "title": "Imports and exports",
        "value": f"{number(active)} running" if active else "Idle",
        "note": f"{number(sum(recent))} rows from {len(recent)} {files} in 24 hours",
        "tone": "busy" if active else "quiet",
        "href": reverse("admin:jobs_job_changelist"),
    }


def latest(request: HttpRequest) -> dict[str, Any]:
    """A table: the latest jobs."""
    rows = [
        [
            (job.number, reverse("admin:jobs_job_change", args=[job.number])),
            job.name[:60],
            state_of(job),
            ago(job.created_at),
        ]
        for job in _jobs(request).select_related("dataset").order_by("-id")[:SHOWN]
    ]
    return {
        "title": "Latest imports and exports",
        "items": [
            {
                "title": f"{row[0][0]} {row[1]}",
                "text": row[2],
                "tone": "",
                "href": row[0][1],
                "when": row[3],
            }
            for row in rows
        ],
        "href": reverse("admin:jobs_job_changelist"),
        "empty": "Nothing was imported or exported yet.",
    }


def problems(request: HttpRequest) -> list[dashboard.Problem]:
    """Jobs of the last week that failed and were not taken up again, and those that hang."""
    found = []
    since = timezone.now() - 7 * DAY
    failed = _jobs(request).filter(status=JobStatus.FAILED, completed_at__gte=since).order_by("-id")[:4]
    for job in failed:
        found.append(
            dashboard.Problem(
                f"{job.number} {job.name} failed",
                job.status_reason,
                reverse("admin:jobs_job_change", args=[job.number]),
                "bad",
                job.completed_at,
            )
        )
    late = timezone.now() - dt.timedelta(minutes=5)
    for job in _jobs(request).filter(status__in=WORKING, updated_at__lt=late).order_by("-id")[:3]:
        found.append(
            dashboard.Problem(
                f"{job.number} {job.name} makes no progress",
                "No worker has moved it for five minutes.",
                reverse("admin:jobs_job_change", args=[job.number]),
                "warn",
                job.updated_at,
            )
        )
    return found


def late_schedules(request: HttpRequest) -> list[dashboard.Problem]:
    """Schedules that failed the last time, or were paused because they failed too often."""
    schedules = JobSchedule.objects.filter(
        organization=request.organization,  # type: ignore[attr-defined]
        consecutive_failures__gt=0,
        status__in=(ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED),
    )
    found = []
    for schedule in schedules.order_by("-last_run_at")[:4]:
        paused = schedule.status == ScheduleStatus.PAUSED
        last = schedule.runs.filter(status=RunStatus.FAILED).order_by("-id").first()
        reason = last.reason if last is not None else ""
        found.append(
            dashboard.Problem(
                f"{schedule.number} {schedule.name} {'is paused after failures' if paused else 'failed'}",
                reason or schedule.status_reason,
                reverse("admin:jobs_jobschedule_change", args=[schedule.number]),
                "bad" if paused else "warn",
                schedule.last_run_at,
            )
        )
    return found


def undelivered(request: HttpRequest) -> list[dashboard.Problem]:
    """What could not be delivered in the last week and waits for a person."""
    rows = JobDelivery.objects.filter(
        organization=request.organization,  # type: ignore[attr-defined]
        status=DeliveryStatus.FAILED,
        created_at__gte=timezone.now() - 7 * DAY,
        job__isnull=False,
    )
    return [
        dashboard.Problem(
            f"{row.job.number} was not delivered",
            f"{row.to}: {row.last_error}",
            f"{reverse('admin:jobs_job_change', args=[row.job.number])}#deliveries",
            "bad",
            row.created_at,
        )
        for row in rows.select_related("job", "location").order_by("-id")[:3]
        if row.job is not None
    ]


def register() -> None:
    dashboard.cards.register(dashboard.Card("jobs", "health", 40, running, scope="jobs:read"))
    dashboard.cards.register(
        dashboard.Card("latest-jobs", "today", 50, latest, dashboard.LIST, scope="jobs:read")
    )
    dashboard.attention.register(dashboard.Attention("jobs", problems, scope="jobs:read"))
    dashboard.attention.register(dashboard.Attention("schedules", late_schedules, scope="schedules:read"))
    dashboard.attention.register(dashboard.Attention("deliveries", undelivered, scope="jobs:read"))


register()
