"""One export at work: the dataset's records, as they stood at one moment, into a file."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from django.utils import timezone

from apps.jobs.formats import packing
from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.out_pdf import MAX_ROWS as PDF_ROWS
from apps.jobs.formats.out_xlsx import XlsxOutput
from apps.jobs.formats.outputs import Batch, OutOptions, Output, plain_text
from apps.jobs.formats.outputs_by_format import OUTPUTS
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import attachments
from apps.jobs.services.export_columns import CHANGES, HISTORY, METADATA, Layout, UnknownColumn, layout_of
from apps.jobs.services.export_packing import Packing, filename_of
from apps.jobs.services.exports import DEFAULTS
from apps.jobs.statuses import FileType, JobStatus
from apps.kernel import ids, pace
from apps.kernel.leases import fenced_update
from apps.kernel.snapshots import snapshot
from apps.records import reading, selectors
from apps.records.models import Record

TOLD_EVERY = 0.5
"""Seconds between two looks at whether to go on, and two notes of how far it is."""
JOINED = 20_000
"""Related records that are remembered at most, beyond those of a page."""


class _Stopped(Exception):
    """The job was paused or cancelled."""


def run(job: Job, *, check: Callable[[], None]) -> JobArtifact | None:
    """Write the file and store it; None if the job was paused or cancelled meanwhile.

    An interrupted export begins anew, so that its file shows one moment; it is kept whole or not at all.
    Raises BadRequest for filters and FormatError for columns that the dataset no longer knows, and for more
    than the format holds.
    """
    settings = {**DEFAULTS, **job.export_settings}
    try:
        layout = layout_of(job.dataset, settings)
    except UnknownColumn as error:
        raise FormatError(str(error), code="unknown_field") from None
    selection = reading.select(
        job.dataset,
        job.filters.get("fields", {}),
        search=job.filters.get("search", ""),
        ordering=settings["ordering"],
        include_deleted=settings["include_deleted"],
    )
    with contextlib.suppress(_Stopped), pace.calm(), snapshot() as using:
        return _Run(job, settings, layout, selection, using, check).artifact()
    return None


@dataclass
class _Run:
    job: Job
    settings: dict[str, Any]
    layout: Layout
    selection: reading.Selection
    using: str
    check: Callable[[], None]

    def __post_init__(self) -> None:
        self.format = str(self.settings["format"])
        self.clock = time.monotonic()
        self.told = self.clock
        self.read = 0
        self.joined: list[dict[str, dict[str, Any]]] = [{} for _ in self.layout.joins]
        self.attached = (
            attachments.Collector(self.job, self.using) if self.settings["include_attachments"] else None
        )
        self.history: Output | None = None

    def artifact(self) -> JobArtifact:
        """The stored file."""
        total, exact = self._total()
        if self.format == FileType.PDF and exact and total > PDF_ROWS:
            raise FormatError(
                f"A PDF holds at most {PDF_ROWS:,} rows, and these are {total:,}. "
                "Filter what is exported, or choose Excel or CSV.",
                code="too_many_rows",
            )
        fenced_update(
            self.job,
            started_at=self.job.started_at or timezone.now(),
            total_records=total,
            total_is_exact=exact,
            processed_records=0,
            successful_records=0,
            processing_seconds=0.0,
        )
        with contextlib.ExitStack() as stack:
            file = _temporary(stack)
            output = OUTPUTS[self.format](file, self._columns(), self._options())
            beside = self._begin_history(output, stack)
            self._write(output)
            output.close()
            self._finish(output)
            members = [packing.Member(filename_of(self.job, self.format), file)]
            if beside is not None and self.history is not None:
                self.history.close()
                members.append(packing.Member(f"{self.job.dataset.slug}-changes.csv", beside))
            return Packing(self.job, self.settings, self.layout, self.attached, self.check).stored(
                members, output.rows
            )

    # --- reading and writing

    def _total(self) -> tuple[int, bool]:
        """How many rows there will be, and whether that is sure: what is tested one by one is not counted."""
        narrowed = self.job.filters.get("fields") or self.job.filters.get("search")
        if not narrowed and not self.settings["include_deleted"] and self.format != FileType.PDF:
            return selectors.count(self.job.dataset), True
        return self.selection.rows.using(self.using).order_by().count(), not self.selection.tests

    @property
    def _has_history(self) -> bool:
        return bool(self.settings["include_audit_trail"])

    def _columns(self) -> tuple[Any, ...]:
        nested = self._has_history and OUTPUTS[self.format].nested
        return (*self.layout.columns, CHANGES) if nested else self.layout.columns

    def _options(self) -> OutOptions:
        return OutOptions(
            title=self.job.dataset.name,
            labels=bool(self.settings["labels"]) or self.format == FileType.PDF,
            delimiter=self.settings["delimiter"] or ",",
            encoding=self.settings["encoding"],
            bom=bool(self.settings["bom"]),
            quote_all=bool(self.settings["quote_all"]),
            zone=ZoneInfo(self.job.organization.timezone),
            root=self.job.dataset.slug,
        )

    def _begin_history(self, output: Output, stack: contextlib.ExitStack) -> BinaryIO | None:
        """Where the changes go if they are no list in each record: a sheet, or a file beside."""
        if not self._has_history or output.nested:
            return None
        options = self._options()
        if isinstance(output, XlsxOutput):
            self.history = output.also(
                "Changes", HISTORY, OutOptions(title="Changes", zone=options.zone, labels=True)
            )
            return None
        file = _temporary(stack)
        self.history = OUTPUTS["csv"](file, HISTORY, options)
        return file

    def _write(self, output: Output) -> None:
        needs_meta = self.layout.needs_meta or self._has_history or self.attached is not None
        for page in reading.pages(self.selection, using=self.using, meta=needs_meta):
            self.read += page.read
            meta: list[tuple[Any, ...]] = []
            if needs_meta:
                meta = [_about(row) for row in page.meta]
                if self._has_history:
                    meta = self._with_changes(page, meta)
                if self.attached is not None:
                    self.attached.see(
                        [(row[0], data) for row, data in zip(page.meta, page.data, strict=True)]
                    )
            output.write(Batch(page.data, meta, self._related(page.data)))
            self._look_up(output.rows)

    def _related(self, data: list[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """The records that these refer to, by key, in one statement per join for what is not known yet."""
        for n, join in enumerate(self.layout.joins):
            known = self.joined[n]
            keys = {key for row in data if isinstance(key := row.get(join.field), str)}
            if len(known) > JOINED:
                known = self.joined[n] = {}
            missing = keys - known.keys()
            if missing:
                known.update({key: {} for key in missing})
                known.update(reading.by_keys(join.dataset, missing, using=self.using))
        return self.joined

    def _with_changes(self, page: reading.Page, meta: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        records = [row[0] for row in page.meta]
        found = reading.changes_of(zip(records, page.data, strict=True), using=self.using)
        for changes in found.values():
            for change in changes:
                change["at"] = _moment(change["at"])
        if self.history is None:
            return [(*about, found[pk]) for about, pk in zip(meta, records, strict=True)]
        key_field = self.job.dataset.key_field
        lines = [
            line
            for about, pk, data in zip(meta, records, page.data, strict=True)
            for change in found[pk]
            for line in _lines(about[0], str(data.get(key_field) or ""), change)
        ]
        self.history.write(Batch(lines))
        return meta

    def _look_up(self, rows: int) -> None:
        """Every now and then: is the lease ours, is the job still wanted; and tell how far it is."""
        self.check()
        now = time.monotonic()
        if now - self.told < TOLD_EVERY:
            return
        self.told = now
        fenced_update(
            self.job,
            processed_records=self.read,
            successful_records=rows,
            current_record=self.read,
            processing_seconds=now - self.clock,
        )
        self._still_wanted()

    def _still_wanted(self) -> None:
        if (
            Job.objects.filter(pk=self.job.pk).values_list("status", flat=True).first()
            != JobStatus.PROCESSING
        ):
            raise _Stopped

    def _finish(self, output: Output) -> None:
        self._still_wanted()
        told = output.notes.sentences() + (self.history.notes.sentences() if self.history is not None else [])
        fenced_update(
            self.job,
            total_records=output.rows,
            total_is_exact=True,
            processed_records=output.rows,
            successful_records=output.rows,
            current_record=output.rows,
            processing_seconds=time.monotonic() - self.clock,
            checkpoint={"notes": told},
        )


def _temporary(stack: contextlib.ExitStack) -> BinaryIO:
    """A file that goes when the stack is left."""
    return stack.enter_context(tempfile.TemporaryFile())


def _about(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The metadata as it is written, in the order of METADATA."""
    pk, version, created, changed, deleted = row
    return ids.public(Record.PREFIX, pk), version, _moment(created), _moment(changed), _moment(deleted)


assert len(METADATA) == len(reading.META)


def _moment(value: Any) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def _lines(record: str, key: str, change: dict[str, Any]) -> list[dict[str, Any]]:
    """A change as lines of a table: one for each value that it changed."""
    before, after = change["before"] or {}, change["after"] or {}
    about = {
        "record": record,
        "key": key,
        **{name: change[name] for name in ("version", "operation", "at", "by")},
    }
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return [
        {**about, "field": name, "before": plain_text(before.get(name)), "after": plain_text(after.get(name))}
        for name in names
    ] or [about]
