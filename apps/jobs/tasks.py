"""Celery doors of the jobs. Ids in, nothing back; what is to be done says the job's row."""

from __future__ import annotations

from celery import shared_task

from apps.jobs.services import notices, sweeps, work


@shared_task(name="jobs.run", ignore_result=True)
def run(job_id: str) -> None:
    """Work on a job that is due."""
    work.take(job_id=job_id)


@shared_task(name="jobs.check", ignore_result=True)
def check(job_id: str) -> None:
    """Work on a job whose check was ordered; the same door under a name that tells them apart in logs."""
    work.take(job_id=job_id)


@shared_task(name="jobs.sweep", ignore_result=True)
def sweep() -> None:
    """Every few seconds: due jobs that nobody works on, and scheduled ones whose time has come."""
    sweeps.sweep()


@shared_task(name="jobs.retention", ignore_result=True)
def retention() -> None:
    """Every hour: files whose time is over."""
    sweeps.discard_expired()


@shared_task(name="jobs.notify", ignore_result=True)
def notify(job_id: str) -> None:
    """Mail the outcome of a job."""
    notices.send(job_id=job_id)
