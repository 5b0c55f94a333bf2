"""What people decide about cells and rows of a file, and what a check found for them to decide about."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.jobs.models.jobs import Job
from apps.jobs.statuses import CorrectionKind, Severity
from apps.kernel.models import TimeOrdered


class Correction(TimeOrdered):
    """One decision about cells of one column, or about whole rows, of the file of an import.

    The file itself stays as it was sent: whoever reads it for the job, at the check, at the run or after a
    kill, applies the corrections in the order of their ids. `numbers` packs the data rows that are meant
    (`apps.jobs.services.rowsets`); an edit of one cell is a correction of one row.
    """

    PREFIX = "cor"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="corrections", db_index=False)
    kind = models.CharField(max_length=8, choices=CorrectionKind.choices)
    column = models.CharField(max_length=200, blank=True, help_text="Empty where whole rows are meant.")
    find = models.TextField(blank=True)
    value = models.TextField(blank=True)
    before = models.CharField(max_length=200, blank=True, help_text="Of one cell: what the file says.")
    code = models.CharField(max_length=60, blank=True, help_text="Of a whole cause: its code.")
    first_row = models.PositiveBigIntegerField()
    line = models.PositiveBigIntegerField(default=0, help_text="Line or sheet row of the first row.")
    rows = models.PositiveBigIntegerField(default=1)
    numbers = models.BinaryField()
    made_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["job", "id"], name="correction_job"),
            models.Index(fields=["job", "first_row", "column"], name="correction_cell"),
        ]

    def __str__(self) -> str:
        where = f"row {self.first_row}" if self.rows == 1 else f"{self.rows} rows"
        return f"{self.get_kind_display()}: {self.column or where}"


class Cause(TimeOrdered):
    """One kind of problem that the last check met: in which rows, with which values.

    `values` lists the most frequent values as `[value, count]`; `numbers` packs the data rows, all of them if
    `is_complete`.
    """

    PREFIX = "cse"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="causes", db_index=False)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    code = models.CharField(max_length=60)
    field = models.CharField(max_length=60, blank=True)
    column = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=500)
    count = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    values = models.JSONField(default=list)
    numbers = models.BinaryField()
    is_complete = models.BooleanField(default=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["job", "id"], name="cause_job")]

    def __str__(self) -> str:
        return f"{self.count} × {self.code}"
