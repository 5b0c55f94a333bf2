"""The questions that are asked about jobs as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Q, Sum

from apps.jobs.statuses import FINISHED, WORKING, JobStatus

if TYPE_CHECKING:
    from apps.jobs.models.jobs import Job  # noqa: F401 - the query set's type argument
    from apps.records.models import Dataset


class JobQuerySet(models.QuerySet["Job"]):
    def find_active(self) -> JobQuerySet:
        """Jobs that are being worked on, wait for a worker, or are paused."""
        return self.filter(status__in=[*WORKING, JobStatus.PAUSED])

    def find_by_type(self, job_type: str, dataset: Dataset | None = None) -> JobQuerySet:
        """Imports or exports, of one dataset or of all."""
        found = self.filter(job_type=job_type)
        return found if dataset is None else found.filter(dataset=dataset)

    def due(self) -> JobQuerySet:
        """Jobs that a worker should have; whether one has is the lease's question."""
        return self.filter(status__in=WORKING)

    def statistics(self) -> dict[str, Any]:
        """How many jobs there are by status, and how many rows they moved."""
        sums = self.aggregate(
            total=Count("id"),
            active=Count("id", filter=Q(status__in=[*WORKING, JobStatus.PAUSED])),
            finished=Count("id", filter=Q(status__in=FINISHED)),
            imports=Count("id", filter=Q(job_type="import")),
            exports=Count("id", filter=Q(job_type="export")),
            processed_records=Sum("processed_records", default=0),
            successful_records=Sum("successful_records", default=0),
            failed_records=Sum("failed_records", default=0),
            **{status.value: Count("id", filter=Q(status=status)) for status in JobStatus},
        )
        by_status = {status.value: sums.pop(status.value) for status in JobStatus}
        processed = sums["processed_records"]
        rate = round(100 * sums["successful_records"] / processed, 1) if processed else None
        return {**sums, "by_status": by_status, "success_rate": rate}
