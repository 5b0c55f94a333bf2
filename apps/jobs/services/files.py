"""The files that a job leaves: rejected rows to correct and upload again, all errors, exported data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from apps.kernel.spreadsheets import MarkedXlsxWriter

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
    made = [_write_errors(job, FileType.CSV)]
    if _left_out(job):
        made.append(_write_rejected(job, _kind_of_rejected(job)))
    return made


def write_problem_file(job: Job, kind: str, format_name: str) -> JobArtifact | None:
    """Store the rejected rows or all errors in another format; None if there are no such rows."""
    if not job.rejections.exists():
        return None
    if kind == ArtifactKind.ERRORS:
        return _write_errors(job, format_name)
    return _write_rejected(job, format_name) if _left_out(job) else None


def _left_out(job: Job) -> int:
    return job.failed_records if job.processed_records else int(job.report.get("wrong", 0))


def _name(job: Job, what: str, format_name: str) -> str:
    stem = job.original_name.rpartition(".")[0] or job.original_name or job.number
    return f"{stem} – {what}{formats[format_name].extensions[0]}"


def _write_errors(job: Job, format_name: str) -> JobArtifact:
    header = ["_row", "_line", "column", "field", "value", "code", "message", "severity"]
    name = _name(job, "errors", format_name)
    return _write(job, ArtifactKind.ERRORS, format_name, name, header, _error_rows(job))


def _write_rejected(job: Job, format_name: str) -> JobArtifact:
    """The original cells under the original columns; in a workbook the wrong ones are marked."""
    columns = [column["raw"] or column["name"] for column in job.preview.get("columns", [])]
    header = [*columns, "_row", "_errors"]
    name = _name(job, "rejected", format_name)
    if format_name != FileType.XLSX:
        rows = _rejected_rows(job, len(columns))
        return _write(job, ArtifactKind.REJECTED, format_name, name, header, rows)
    places = {column["name"]: n for n, column in enumerate(job.preview.get("columns", []))}
    with tempfile.TemporaryFile() as file:
        # What was read as text stays text while it is corrected.
        writer = MarkedXlsxWriter(file, header, as_text=job.file_type not in WORKBOOKS)
        for item in rejected(job):
            if item.left_out:
                writer.write_marked(_row_of(item, len(columns)), _marks(item, places))
        writer.close()
        return store(job, ArtifactKind.REJECTED, format_name, name, file, rows=writer.rows, days=KEPT_DAYS)


def _marks(item: Rejected, places: Mapping[str, int]) -> dict[int, str]:
    """Why cells of a row are wrong, by their place."""
    marks: dict[int, str] = {}
    for problem in item.problems:
        place = places.get(problem.column)
        if place is not None:
            marks[place] = f"{marks[place]}\n{problem.message}" if place in marks else problem.message
    return marks


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
            yield _row_of(item, width)


def _row_of(item: Rejected, width: int) -> list[Any]:
    cells = list(item.values)[:width]
    return [*cells, *[""] * (width - len(cells)), item.row, reasons(item)]


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


def keep_also(artifact: JobArtifact) -> None:
    """Save the row of a stored file beside those of its kind in other formats."""
    JobArtifact.objects.filter(job=artifact.job, kind=artifact.kind, format=artifact.format).delete()
    artifact.save(force_insert=True)


def remove(job: Job, *kinds: str) -> None:
    """Delete the job's files of these kinds."""
    for artifact in JobArtifact.objects.filter(job=job, kind__in=kinds):
        storage.delete(artifact.file_path)
        artifact.delete()
