"""What happens by the clock: bells that nobody heard, jobs whose time has come, files whose time is over."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from apps.jobs.models import Job, JobArtifact, Rejection, ScheduleRun
from apps.jobs.schedule_statuses import OPEN_RUNS
from apps.jobs.services import files
from apps.jobs.services.control import set_off
from apps.jobs.statuses import ArtifactKind, JobStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError
from apps.kernel.leases import free

logger = logging.getLogger(__name__)

RING_AGAIN = 30
"""Seconds for which a job's bell is not rung again: a busy worker hears one as well as ten."""


def sweep() -> int:
    """Start what is scheduled and ring for every job that nobody works on; returns how many bells."""
    _start_scheduled()
    rung = 0
    for pk in Job.objects.due().filter(free()).order_by("id").values_list("pk", flat=True)[:200]:
        if cache.add(f"jobs:bell:{pk.hex}", 1, RING_AGAIN):
            enqueue("jobs.run", str(pk), queue="jobs")
            rung += 1
    return rung


def _start_scheduled() -> None:
    waiting = Job.objects.filter(
        is_scheduled=True, status=JobStatus.PENDING, next_run_at__lte=timezone.now()
    ).order_by("next_run_at")[:50]
    for job in waiting:
        try:
            with transaction.atomic():
                set_off(job)
        except HubError as error:
            logger.info("%s was not started: %s", job, error.detail)


RUN_DAYS = 180
"""Days for which runs of schedules are kept. What they took is remembered for as long as the schedule."""


def forget_runs(batch: int = 1000) -> int:
    """Delete old runs of schedules; returns how many."""
    old = ScheduleRun.objects.filter(created_at__lt=timezone.now() - timedelta(days=RUN_DAYS))
    keys = list(old.exclude(status__in=OPEN_RUNS).order_by("id").values_list("pk", flat=True)[:batch])
    ScheduleRun.objects.filter(pk__in=keys).delete()
    return len(keys)


def discard_expired(limit: int = 500) -> int:
    """Forget files whose time is over, and delete them; returns how many."""
    now = timezone.now()
    expired = JobArtifact.objects.filter(expires_at__lte=now).order_by("expires_at")
    count = 0
    for pk, job_id, kind, path in list(expired.values_list("pk", "job_id", "kind", "file_path")[:limit]):
        with transaction.atomic():
            if not JobArtifact.objects.filter(pk=pk, expires_at__lte=now).delete()[0]:
                continue  # its time was made longer, or a newer file is in its place
            if kind == ArtifactKind.SOURCE:
                Rejection.objects.filter(job_id=job_id).delete()
            # Should this process die before the file is gone, tidying finds it.
            Job.objects.filter(pk=job_id).update(files_tidied_at=None)
        files.drop(path)
        count += 1
    return count
