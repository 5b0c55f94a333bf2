"""Celery doors of the audit log."""

from __future__ import annotations

from celery import shared_task

from apps.audit.services import verification


@shared_task(name="audit.verify", ignore_result=True)
def verify(quick: bool = False) -> None:
    """Verify every chain; what is wrong goes to the log, the heads and the alarms."""
    for _ in verification.verify_all(quick=quick):
        pass


@shared_task(name="audit.verify_new", ignore_result=True)
def verify_new() -> None:
    """Verify what came since the last verification."""
    verify(quick=True)
