"""Celery doors: ids in, one service call, nothing back. Rows say what is due; a message only rings."""

from __future__ import annotations

from celery import shared_task

from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import lifecycle, row_errors, running, ticking


@shared_task(name="connectors.run_sync", ignore_result=True)
def run_sync(job_id: str) -> None:
    running.run(job_id=job_id)


@shared_task(name="connectors.tick", ignore_result=True)
def tick() -> None:
    ticking.tick()


@shared_task(name="connectors.check_health", ignore_result=True)
def check_health(integration_id: str) -> None:
    integration = Integration.objects.live().select_related("organization").filter(pk=integration_id)
    for row in integration:
        lifecycle.check_health(integration=row)


@shared_task(name="connectors.sweep_logs", ignore_result=True)
def sweep_logs() -> None:
    ticking.sweep_logs()


@shared_task(name="connectors.retry_rows", ignore_result=True)
def retry_rows(job_id: str) -> None:
    for job in SyncJob.objects.select_related("integration", "organization").filter(pk=job_id):
        row_errors.retry_all(job=job)
