"""Celery doors of the jobs. Ids in, nothing back; what is to be done says the job's row."""

from __future__ import annotations

from celery import shared_task

from apps.jobs.services import deliveries, disposals, schedule_runs, sweeps, tidying, work


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
    """Every hour: files whose time is over or that nobody knows of, and old runs of schedules."""
    sweeps.discard_expired()
    tidying.tidy()
    sweeps.forget_runs()


@shared_task(name="jobs.forsaken", ignore_result=True)
def forsaken() -> None:
    """Every night: stored files of uploads that came to nothing."""
    tidying.forsaken()


@shared_task(name="jobs.deliver", ignore_result=True)
def deliver(delivery_id: str) -> None:
    """Bring a job's file, or a notice about it, to where it is owed."""
    deliveries.attempt(delivery_id=delivery_id)


@shared_task(name="jobs.run_schedule", ignore_result=True)
def run_schedule(run_id: str) -> None:
    """Work on a schedule's run that is due."""
    schedule_runs.take(run_id=run_id)


@shared_task(name="jobs.tick", ignore_result=True)
def tick() -> None:
    """Every few seconds: schedules, runs, deliveries and fetched files that are due."""
    schedule_runs.start_due()
    schedule_runs.wake()
    deliveries.wake()
    disposals.dispose_due()
