"""Celery doors of the events."""

from __future__ import annotations

from celery import shared_task

from apps.events.services import fanout

SWEEP_SECONDS = 20.0


@shared_task(name="events.sweep", ignore_result=True)
def sweep() -> None:
    """Hand due events to their subscribers.

    Rung after each publishing commit, and every few seconds anyway.
    """
    fanout.sweep(seconds=SWEEP_SECONDS)
