"""One export at work: the dataset's records into a file, in one pass over one snapshot."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

from django.utils import timezone

from apps.jobs.formats.registry import formats
from apps.jobs.formats.writers import WRITERS
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import files
from apps.jobs.statuses import ArtifactKind, JobStatus
from apps.kernel import ids
from apps.kernel.leases import fenced_update
from apps.records import selectors
from apps.records.fields import Field, display
from apps.records.models import Record

CHUNK = 2_000
METADATA = ("_id", "_version", "_created_at", "_updated_at")


def run(job: Job, *, check: Callable[[], None]) -> JobArtifact | None:
    """Write the file and store it; None if the job was paused or cancelled meanwhile.

    An interrupted export begins anew: its file is only kept whole. Raises BadRequest for filters that the
    dataset no longer knows, FormatError for more rows than the format holds.
    """
    settings = job.export_settings
    format_name = settings.get("format", "csv")
    chosen = [
        job.dataset.fields_by_name[name] for name in columns_of(job) if name in job.dataset.fields_by_name
    ]
    records = selectors.filtered(
        job.dataset,
        job.filters.get("fields", {}),
        search=job.filters.get("search", ""),
        ordering=settings.get("ordering", ""),
    )
    fenced_update(
        job,
        started_at=job.started_at or timezone.now(),
        total_records=_total(job, records),
        total_is_exact=True,
        processed_records=0,
        successful_records=0,
        processing_seconds=0.0,
    )
    with_metadata = bool(settings.get("include_metadata"))
    header = [_heading(field, settings) for field in chosen] + list(METADATA if with_metadata else ())
    clock = time.monotonic()
    with tempfile.TemporaryFile() as file:
        options = (
            {"delimiter": settings["delimiter"]} if format_name == "csv" and settings.get("delimiter") else {}
        )
        writer = WRITERS[format_name](file, header, **options)
        rows = _rows(records, chosen, with_metadata)
        while part := list(islice(rows, CHUNK)):
            check()
            writer.write(part)
            fenced_update(
                job,
                processed_records=writer.rows,
                successful_records=writer.rows,
                current_record=writer.rows,
                processing_seconds=time.monotonic() - clock,
            )
            status = Job.objects.filter(pk=job.pk).values_list("status", flat=True).first()
            if status != JobStatus.PROCESSING:
                return None
        writer.close()
        stamp = timezone.localtime().strftime("%Y-%m-%d")
        name = f"{job.dataset.slug}-{stamp}{formats[format_name].extensions[0]}"
        return files.store(
            job, ArtifactKind.OUTPUT, format_name, name, file, rows=writer.rows, days=files.OUTPUT_DAYS
        )


def columns_of(job: Job) -> list[str]:
    """The fields to export, in order: those that were chosen, or all."""
    return list(job.export_settings.get("columns") or [field.name for field in job.dataset.fields])


def _heading(field: Field, settings: dict[str, Any]) -> str:
    return field.title if settings.get("labels") else field.name


def _total(job: Job, records: Any) -> int:
    if not job.filters.get("fields") and not job.filters.get("search"):
        return selectors.count(job.dataset)
    return int(records.order_by().count())


def _rows(records: Any, chosen: list[Field], with_metadata: bool) -> Iterator[list[Any]]:
    names = ["data", "id", "version", "created_at", "updated_at"] if with_metadata else ["data"]
    for data, *metadata in records.values_list(*names).iterator(chunk_size=CHUNK):
        row = [cell_of(data.get(field.name), field) for field in chosen]
        if metadata:
            row += [ids.public(Record.PREFIX, metadata[0]), *metadata[1:2]]
            row += [_moment(value) for value in metadata[2:]]
        yield row


def cell_of(value: Any, field: Field) -> Any:
    """A canonical value as a cell that the hub's own import reads back as the same value."""
    if value is None or isinstance(value, bool | int):
        return value
    if field.type == "decimal":
        return Decimal(value)
    if field.type == "money":
        return display(value, field)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value


def _moment(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if value is not None else ""
