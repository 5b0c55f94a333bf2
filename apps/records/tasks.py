"""Celery doors of records."""

from __future__ import annotations

from celery import shared_task

from apps.records.services import datasets


@shared_task(name="records.fold_counts")
def fold_counts() -> None:
    """Fold the deltas that the counts of datasets are made of."""
    datasets.fold_counts()
