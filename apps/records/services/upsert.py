"""The one door in: whatever brings rows calls `upsert`, which writes records, changes and events.

Rows are read as a stream and written in batches. Each batch is one transaction, in which the caller's
`on_batch` runs too, so that a checkpoint is exactly as durable as what it tells of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db import connection, transaction

from apps.kernel.errors import InvalidInput
from apps.records.mapping import CompiledMapper, MappingSpec, compile_mapping
from apps.records.models import Dataset, Origin, Record, SeenRecord
from apps.records.services import bulk, links
from apps.records.services.intake import Examine, Intake
from apps.records.services.lookups import Finder
from apps.records.services.marks import Glance, Marker
from apps.records.services.outcomes import BatchOutcome, LinkSource, Mode, UpsertResult, UpsertStopped
from apps.records.services.planning import Guard, Plan, Prepared, Row, key_text
from apps.records.services.store import DELETED, Batch, Write, apply, origin_of
from apps.records.services.stored import Existing, by_keys
from apps.tenants.principals import Actor

__all__ = ["BatchOutcome", "LinkSource", "Mode", "UpsertResult", "UpsertStopped", "upsert"]

BATCH = 10_000
OnBatch = Callable[[BatchOutcome], None]


class _DryRunDone(Exception):
    """Leaves the transaction of a dry run."""


def upsert(
    *,
    dataset: Dataset,
    rows: Iterable[Any],
    actor: Actor,
    mapping: MappingSpec | None = None,
    columns: Sequence[str] | None = None,
    mode: Mode | str = Mode.UPSERT,
    link: LinkSource | None = None,
    overwrite: bool = True,
    dry_run: bool = False,
    stop_on_error: bool = False,
    batch_size: int = BATCH,
    first_row: int = 1,
    timezone: str | None = None,
    on_batch: OnBatch | None = None,
    allow_deletion: bool = True,
    examine: Examine | None = None,
) -> UpsertResult:
    """Write rows into a dataset; returns the sums, the origin and the first problems.

    Rows are dictionaries, or sequences in the order of `columns`; without a `mapping` their names are the
    dataset's field names. A wrong row is reported, with every wrong value, and left out; with `stop_on_error`
    it rolls its batch back and raises UpsertStopped. With `overwrite` off only blanks are filled. A `dry_run`
    is the same run, rolled back: it leaves the database as it was. Mode REPLACE finally deletes the records
    that no row named, unless a row was wrong, there was none, or `allow_deletion` is off. `examine` may look
    at each mapped batch, in order, and leave rows out or warn of them; of rows that are recognized as stored
    already it sees the key alone. Raises InvalidInput if the mapping
    does not fit the dataset.
    """
    mode = Mode(mode)
    timezone = timezone or dataset.organization.timezone
    mapper = compile_mapping(dataset.fields, mapping, columns=columns, timezone=timezone)
    if mode is not Mode.CREATE and link is None and not dataset.key_field:
        mode = _without_key(mode, dataset)
    marker = Marker.of(dataset, mapper, timezone, overwrite=overwrite)
    run = _Run(dataset, actor, mapper, mode, link, overwrite, dry_run, stop_on_error, examine, marker)
    try:
        with transaction.atomic() if dry_run else contextlib.nullcontext():
            result = run.all(rows, batch_size, first_row, on_batch, allow_deletion)
            if dry_run:
                raise _DryRunDone
    except _DryRunDone:
        pass
    return result


def _without_key(mode: Mode, dataset: Dataset) -> Mode:
    if mode is Mode.UPDATE:
        raise InvalidInput(
            f"“{dataset.name}” has no key field, so no row can name the record that it changes."
        )
    return Mode.CREATE if mode is Mode.UPSERT else mode


class _Run:
    """One call of `upsert`."""

    def __init__(
        self,
        dataset: Dataset,
        actor: Actor,
        mapper: CompiledMapper,
        mode: Mode,
        link: LinkSource | None,
        overwrite: bool,
        dry_run: bool,
        stop_on_error: bool,
        examine: Examine | None = None,
        marker: Marker | None = None,
    ) -> None:
        self.dataset = dataset
        self.actor = actor
        self.mapper = mapper
        self.mode = mode
        self.link = links.Reader(link, mapper.columns) if link is not None else None
        self.overwrite = overwrite
        self.dry_run = dry_run
        self.stop_on_error = stop_on_error
        self.guard = Guard(dataset)
        self.swift = link is None and bool(dataset.key_field) and not self.guard.concerns(mapper.targets)
        self.slots = not dry_run or mapper.needs_lookup
        self.intake = Intake(
            dataset,
            mapper,
            mode,
            swift=self.swift,
            dry_run=dry_run,
            slots=self.slots,
            examine=examine,
            marker=marker if self.swift else None,
            finder=Finder(dataset.organization, create=self._create_references),
        )

    def all(
        self,
        rows: Iterable[Any],
        batch_size: int,
        first_row: int,
        on_batch: OnBatch | None,
        allow_deletion: bool,
    ) -> UpsertResult:
        origin = origin_of(self.dataset, kind=self.actor.kind, ref=self.actor.ref, label=self.actor.label)
        intake = self.intake
        intake.origin = origin
        result = UpsertResult(origin=origin)
        if self.mode is Mode.REPLACE and first_row == 1:
            SeenRecord.objects.filter(origin=origin).delete()
        number = first_row
        alone, unsettled = not connection.in_atomic_block, False
        with contextlib.closing(intake.batches(rows, batch_size, first_row)) as batches:
            for part, found in batches:
                with transaction.atomic():
                    if part and not self.dry_run:
                        bulk.lock_dataset(self.dataset.pk)
                    prepared, known = intake.resolved(part, found, number)
                    outcome = self.one(part, prepared, known, number, origin)
                    if on_batch is not None:
                        on_batch(outcome)
                    # Who is told of the commit may act on it at once: it must not be lost any more.
                    unsettled = alone and len(part) == batch_size and not connection.run_on_commit
                    if unsettled:
                        bulk.commit_without_waiting()
                intake.learn(outcome, isinstance(found, Glance), known)
                result.add(outcome)
                number += len(part)
        if unsettled:
            bulk.settle()
        if self.mode is Mode.REPLACE:
            # A source without a single row is a mistake far more often than an order to delete everything.
            empty = number == 1
            result.deletion_skipped = bool(result.failed) or not allow_deletion or empty
            if not result.deletion_skipped:
                for outcome in self._remove_unseen(origin, number, batch_size, on_batch):
                    result.add(outcome)
        return result

    def one(
        self, part: list[Any], prepared: Prepared, known: int, number: int, origin: Origin
    ) -> BatchOutcome:
        """Write one batch, in the caller's transaction."""
        mapped = prepared.mapped
        outcome = BatchOutcome(first_row=number, rows=len(part), unchanged=known)
        outcome.problems.extend(mapped.problems)
        outcome.warnings.extend(mapped.warnings)
        outcome.skipped.extend(mapped.skipped)
        rows = self._swift(prepared, origin, outcome)
        if rows is None:
            rows = [
                Row(n, values, missing, mark=mark)
                for n, values, missing, mark in zip(
                    mapped.rows, mapped.values, mapped.missing, prepared.marks, strict=True
                )
            ]
            self._identify(rows, part, number, outcome)
        for wave in self._waves(rows):
            self._write(wave, origin, outcome)
        outcome.failed = len({problem.row for problem in outcome.problems})
        if self.stop_on_error and outcome.failed:
            raise UpsertStopped(outcome)
        return outcome

    def _swift(self, prepared: Prepared, origin: Origin, outcome: BatchOutcome) -> list[Row] | None:
        """Settle what is plainly new or the same; returns the others, or None if all need the long way."""
        keys = prepared.keys
        if not self.swift or keys is None:
            return None
        batch = Batch(self.dataset, origin, slots=self.slots)
        plan = self._plan(batch, outcome)
        others = plan.swift(prepared, keys)
        self.intake.creating = 0 < len(keys) == len(batch.creates)
        apply(batch, journal=not self.dry_run)
        if self.mode is Mode.REPLACE:
            self._note_seen(origin, plan.met)
        return others

    def _plan(self, batch: Batch, outcome: BatchOutcome) -> Plan:
        return Plan(batch, outcome, mode=self.mode, overwrite=self.overwrite, defaults=self.mapper.defaults)

    def _identify(self, rows: list[Row], part: list[Any], number: int, outcome: BatchOutcome) -> None:
        """Give each row its key and, if it has a remote twin, the twin's id."""
        key_field = self.dataset.key_field
        for row in rows:
            if key_field:
                row.key = key_text(row.values.get(key_field))
        if self.link is not None:
            self.link.identify(rows, part, number, outcome)
            return
        if key_field and any(row.key is None for row in rows):
            batch = Batch(self.dataset, Origin())
            plan = self._plan(batch, outcome)
            for row in rows:
                if row.key is None:
                    plan.refuse_without_key(row)
            rows[:] = [row for row in rows if row.key is not None]

    def _waves(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Rows with no key and no remote id twice: later rows of one record come in later waves."""
        rest = rows
        while rest:
            keys: set[str] = set()
            remote: set[str] = set()
            wave, later = [], []
            for row in rest:
                if (row.key is not None and row.key in keys) or (
                    row.remote_id is not None and row.remote_id in remote
                ):
                    later.append(row)
                    continue
                wave.append(row)
                if row.key is not None:
                    keys.add(row.key)
                if row.remote_id is not None:
                    remote.add(row.remote_id)
            yield wave
            rest = later

    def _write(self, rows: list[Row], origin: Origin, outcome: BatchOutcome) -> None:
        batch = Batch(self.dataset, origin, slots=self.slots)
        plan = self._plan(batch, outcome)
        found = by_keys(
            self.dataset,
            [row.key for row in rows if row.key is not None],
            with_data=self.swift,  # the rows that came this far are changed or new
        )
        linked = self.link.linked(self.dataset, rows) if self.link is not None else {}
        pairs: list[tuple[Row, Existing | None]] = []
        for row in rows:
            holder = found.get(row.key) if row.key is not None else None
            existing = linked.get(row.remote_id, holder) if row.remote_id is not None else holder
            if existing is not None and holder is not None and holder.record != existing.record:
                plan.refuse(
                    row, self.dataset.key_field, row.key, "not_unique",
                    f"Another record has the key “{row.key}” already.",
                )  # fmt: skip
                continue
            pairs.append((row, existing))
        plan.place(self.guard.check(plan, pairs))
        apply(batch, journal=not self.dry_run)
        if self.link is not None:
            self.link.tie(self.dataset, plan.touched)
        if self.mode is Mode.REPLACE:
            self._note_seen(origin, [record for _, record in plan.touched])

    def _create_references(self, dataset: Dataset, rows: list[dict[str, Any]]) -> UpsertResult:
        """Records that rows refer to and that are missing: written by the same origin, so that undoing takes
        them back too. In a dry run they are rolled back with everything else."""
        return upsert(dataset=dataset, rows=rows, actor=self.actor, mode=Mode.UPSERT, overwrite=False)

    def _note_seen(self, origin: Origin, records: Sequence[str]) -> None:
        SeenRecord.objects.bulk_create(
            [SeenRecord(origin=origin, record_id=record) for record in records],
            ignore_conflicts=True,
            batch_size=500,
        )

    def _remove_unseen(
        self, origin: Origin, number: int, batch_size: int, on_batch: OnBatch | None
    ) -> Iterator[BatchOutcome]:
        """Delete what no row named, batch by batch."""
        while True:
            with transaction.atomic():
                if not self.dry_run:
                    bulk.lock_dataset(self.dataset.pk)
                seen = SeenRecord.objects.filter(origin=origin).values("record_id")
                gone = list(
                    Record.objects.filter(dataset=self.dataset, deleted_at=None)
                    .exclude(id__in=seen)
                    .order_by("id")[:batch_size]
                )
                if not gone:
                    SeenRecord.objects.filter(origin=origin).delete()
                    return
                outcome = BatchOutcome(first_row=number, deleted=len(gone), removed=gone)
                apply(Batch(self.dataset, origin, changes=removals(gone)), journal=not self.dry_run)
                if on_batch is not None:
                    on_batch(outcome)
            yield outcome


def removals(records: Sequence[Record]) -> list[Write]:
    """The writes that delete these records (which become tombstones)."""
    return [
        Write(
            DELETED, bulk.hex_of(r.pk), r.key, r.data, b"", bytes(r.content_hash), r.version + 1, r.data, None
        )
        for r in records
    ]
