"""The files that a job leaves: rejected rows to correct and upload again, all errors, exported data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, BinaryIO

from django.db import transaction
from django.utils import timezone

from apps.jobs.formats.registry import formats
from apps.jobs.formats.writers import EXPORT_TYPES, WRITERS
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import storage
from apps.jobs.services.problems import Rejected, rejected
from apps.jobs.statuses import WORKBOOKS, WRITABLE, ArtifactKind, FileType
from apps.kernel.errors import HubError

logger = logging.getLogger(__name__)

KEPT_DAYS = 30
OUTPUT_DAYS = 7
PACKED = {"gzip": ".gz", "zip": ".zip"}


def expiry(days: int) -> datetime:
    return timezone.now() + timedelta(days=days)


def write_problem_files(job: Job) -> list[JobArtifact]:
    """Store the rejected rows, in the format of the upload, and the list of all errors as CSV.

    Returns the rows to be saved in the transaction that finishes the job; nothing without problems.
    """
    if not job.rejections.exists():
        return []
    left_out = job.failed_records if job.processed_records else job.report.get("wrong", 0)
    stem = job.original_name.rpartition(".")[0] or job.original_name or job.number
    columns = [column["raw"] or column["name"] for column in job.preview.get("columns", [])]
    made = [
        _write(
            job,
            ArtifactKind.ERRORS,
            "csv",
            f"{stem} – errors.csv",
            ["_row", "_line", "column", "field", "value", "code", "message", "severity"],
            _error_rows(job),
        )
    ]
    if left_out:
        kind = _kind_of_rejected(job)
        made.append(
            _write(
                job,
                ArtifactKind.REJECTED,
                kind,
                f"{stem} – rejected{formats[kind].extensions[0]}",
                [*columns, "_row", "_errors"],
                _rejected_rows(job, len(columns)),
            )
        )
    return made


def _kind_of_rejected(job: Job) -> str:
    """The format of the upload where it can be written, else the nearest to it that people can edit."""
    if job.file_type in WRITABLE:
        return job.file_type
    return FileType.XLSX if job.file_type in WORKBOOKS else FileType.CSV


def _error_rows(job: Job) -> Iterator[list[Any]]:
    for item in rejected(job):
        for p in item.problems:
            yield [p.row, p.line, p.column, p.field, p.value, p.code, p.message, p.severity]


def _rejected_rows(job: Job, width: int) -> Iterator[list[Any]]:
    """The original cells under the original columns, then the row's number and what is wrong with it."""
    for item in rejected(job):
        if item.left_out:
            cells = list(item.values)[:width]
            yield [*cells, *[""] * (width - len(cells)), item.row, reasons(item)]


def reasons(item: Rejected) -> str:
    """`email: “x” is not an address.; …`"""
    return "; ".join(
        f"{p.column or p.field}: {p.message}" if p.column or p.field else p.message for p in item.problems
    )


def _write(
    job: Job,
    kind: ArtifactKind,
    format_name: str,
    filename: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> JobArtifact:
    with tempfile.TemporaryFile() as file:
        count = write_table(file, format_name, header, rows)
        return store(job, kind, format_name, filename, file, rows=count, days=KEPT_DAYS)


def write_table(
    file: BinaryIO, format_name: str, header: Sequence[str], rows: Iterable[Sequence[Any]], **options: Any
) -> int:
    """Write a table into an open file; returns the number of rows."""
    writer = WRITERS[format_name](file, header, **options)
    writer.write(rows)
    writer.close()
    return int(writer.rows)


def store(
    job: Job,
    kind: str,
    format_name: str,
    filename: str,
    file: BinaryIO,
    *,
    rows: int,
    days: int,
    compression: str = "",
) -> JobArtifact:
    """Put a finished file into the storage; the returned row is not saved yet."""
    sha256, size = storage.digest_of(file)
    extension = formats[format_name].extensions[0] + PACKED.get(compression, "")
    path = storage.save(job, f"{kind}-{job.generation}{extension}", file)
    return JobArtifact(
        job=job,
        kind=kind,
        format=format_name,
        filename=filename[-255:],
        file_path=path,
        file_size=size,
        mime_type=EXPORT_TYPES[compression or format_name],
        compression=compression,
        sha256=sha256,
        rows=rows,
        expires_at=expiry(days),
    )


def keep(made: Iterable[JobArtifact]) -> None:
    """Save the rows of stored files, in the place of earlier ones of their kind.

    In the caller's transaction: what they replace leaves the storage when that is committed.
    """
    made = list(made)
    stored = {artifact.file_path for artifact in made}
    for artifact in made:
        earlier = JobArtifact.objects.filter(job=artifact.job, kind=artifact.kind)
        for path in earlier.values_list("file_path", flat=True):
            if path not in stored:
                transaction.on_commit(partial(drop, path))
        earlier.delete()
        artifact.save(force_insert=True)


def drop(path: str) -> None:
    """Remove a stored file that no row names any more; where that fails, `tidying` does it later."""
    try:
        storage.delete(path)
    except HubError as error:
        logger.warning("%s stays for now: %s", path, error.detail)


def remove(job: Job, *kinds: str) -> None:
    """Delete the job's files of these kinds."""
    for artifact in JobArtifact.objects.filter(job=job, kind__in=kinds):
        storage.delete(artifact.file_path)
        artifact.delete()
