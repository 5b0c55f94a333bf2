"""What a “replace all” would delete, and when it has to be asked for.

The file names what stays; a file that lacks half of it would delete the other half. So the check lists what
would vanish, and above a limit somebody has to agree, in words of their own, before anything is deleted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from apps.jobs.formats.writers import CsvWriter
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import files
from apps.jobs.services.problems import MASK
from apps.jobs.statuses import ArtifactKind, ImportMode, JobStatus
from apps.kernel.errors import Conflict
from apps.records.fields import display
from apps.records.models import Record, SeenRecord

FEW = 10
"""Up to so many deletions the percentage does not matter: small datasets change by large parts."""


class Unconfirmed(Conflict):
    """More would be deleted than the limits allow without asking."""

    code = "deletions_not_confirmed"
    title = "The deletions have to be confirmed"


def limits(job: Job) -> tuple[int, int]:
    """Records and percent above which is asked: the job's, else its organization's."""
    organization = job.organization
    count = organization.import_deletion_limit if job.deletion_limit is None else job.deletion_limit
    percent = organization.import_deletion_percent if job.deletion_percent is None else job.deletion_percent
    return count, percent


def question(job: Job, *, deleted: int, of: int) -> str:
    """What somebody has to agree to, or nothing."""
    count, percent = limits(job)
    if not deleted or job.mode != ImportMode.REPLACE:
        return ""
    said = f"{deleted:,} of {of:,} records of “{job.dataset.name}” would be deleted"
    if deleted > count:
        return f"{said}, more than the limit of {count:,}."
    if deleted > FEW and deleted * 100 > of * percent:
        return f"{said}, more than the limit of {percent} %."
    return ""


def asks_to_delete(job: Job) -> bool:
    """Whether the job ended because nobody had agreed to its deletions."""
    return (
        job.mode == ImportMode.REPLACE
        and job.status == JobStatus.FAILED
        and not job.deletions_confirmed
        and "would be deleted" in job.status_reason
    )


def unseen(job: Job) -> tuple[int, int]:
    """How many records no row of the run named, and how many there are."""
    alive = Record.objects.filter(dataset=job.dataset, deleted_at=None)
    seen = SeenRecord.objects.filter(origin=job.origin).values("record_id")
    return alive.exclude(id__in=seen).count(), alive.count()


class Vanishing:
    """Gathers what a rehearsal deletes as a CSV file, in memory one batch at a time."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._fields = job.dataset.fields
        self._file: Any = None
        self._writer: Any = None

    def add(self, records: Sequence[Record]) -> None:
        if self._writer is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            self._writer = CsvWriter(self._file, [field.name for field in self._fields])
        self._writer.write([self._cells(record) for record in records])

    def _cells(self, record: Record) -> list[str]:
        data = record.data
        return [
            (
                MASK
                if field.sensitive and data.get(field.name) is not None
                else display(data.get(field.name), field)
            )
            for field in self._fields
        ]

    def kept(self) -> list[JobArtifact]:
        """The stored file as an artifact to be saved; empty if nothing would vanish."""
        if self._writer is None:
            return []
        self._writer.close()
        stem = self.job.original_name.rpartition(".")[0] or self.job.number
        return [
            files.store(
                self.job,
                ArtifactKind.VANISHING,
                "csv",
                f"{stem} – would be deleted.csv",
                self._file,
                rows=self._writer.rows,
                days=files.KEPT_DAYS,
            )
        ]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
