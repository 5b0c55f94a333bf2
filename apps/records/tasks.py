"""Celery doors of records."""

from __future__ import annotations

from celery import shared_task

from apps.records.services import datasets, undoing


@shared_task(name="records.fold_counts")
def fold_counts() -> None:
    """Fold the deltas that the counts of datasets are made of."""
    datasets.fold_counts()


@shared_task(name="records.undo")
def undo(undoing_id: str) -> None:
    """Take back what was ordered."""
    undoing.take(undoing_id=undoing_id)


@shared_task(name="records.sweep_undo")
def sweep_undo() -> None:
    """Ring for orders to take back that nobody works on."""
    undoing.sweep()
