"""What was wrong with the rows of a job."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.jobs.models.jobs import Job
from apps.jobs.statuses import Severity
from apps.kernel.models import TimeOrdered

KEPT = 1_000
"""How many errors of a job are kept as rows; all of them are in its error file."""


class JobError(TimeOrdered):
    """One thing wrong with one row. `row` counts data rows from 1; `line` is the line or sheet row."""

    PREFIX = "err"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="errors", db_index=False)
    row = models.PositiveBigIntegerField()
    line = models.PositiveBigIntegerField(default=0)
    column = models.CharField(max_length=200, blank=True, help_text="The column of the file.")
    field = models.CharField(max_length=60, blank=True, help_text="The field of the dataset.")
    value = models.CharField(max_length=200, blank=True, help_text="Shortened; masked for sensitive fields.")
    code = models.CharField(max_length=60)
    message = models.CharField(max_length=500)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.ERROR)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["job", "id"], name="joberror_job"),
            models.Index(fields=["job", "code", "id"], name="joberror_code"),
            models.Index(fields=["job", "field", "id"], name="joberror_field"),
        ]

    def __str__(self) -> str:
        return f"Row {self.row}: {self.message}"


class Rejection(TimeOrdered):
    """The rows of one batch that have problems, packed: what the error files are made of at the end.

    `content` is zlib-compressed JSON: a list of `[row, line, values, problems, rejected]`. Written in the
    transaction of the batch, so that a run that was killed neither loses nor repeats a row.
    """

    PREFIX = "rej"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="rejections", db_index=False)
    first_row = models.PositiveBigIntegerField()
    rows = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "first_row"], name="rejection_batch_unique")]

    def __str__(self) -> str:
        return f"{self.rows} rows from {self.first_row}"
