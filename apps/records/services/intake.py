"""Rows on their way to the writer: read, mapped, checked and packed while the batch before is written.

Where most rows say what is stored already, they are recognized by their marks instead (ADR 0017).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from apps.kernel import pace
from apps.records.mapping import CompiledMapper, MappedBatch
from apps.records.models import Dataset, Origin
from apps.records.services.lookups import Finder
from apps.records.services.marks import Glance, Marker, recognized
from apps.records.services.outcomes import BatchOutcome, Mode
from apps.records.services.planning import Prepared, pack_ahead, prepare

PIECE = 1_000  # rows that are mapped and packed at once
PACKED_FROM = 100  # rows of a batch from which it is worth packing them before it is known that they are new
WORTH_A_GLANCE = 0.8  # share of a batch's rows that are the same, from which the next is known by marks
Examine = Callable[[MappedBatch], None]
_CSVReader = type(csv.reader(()))


def may_be_read_anywhere(rows: Iterable[Any]) -> bool:
    """Whether another thread may read the rows: what is in memory or a file, and what says so of itself."""
    return isinstance(rows, (list, tuple, _CSVReader)) or getattr(rows, "may_be_read_anywhere", False) is True


def _strangers(rows: Sequence[Any], same: Sequence[bool]) -> Iterator[tuple[int, Sequence[Any]]]:
    """The rows that were not recognized, each run of them with the index of its first."""
    start = 0
    while start < len(rows):
        try:
            start = same.index(False, start)
        except ValueError:
            return
        try:
            end = same.index(True, start)
        except ValueError:
            end = len(rows)
        yield start, rows[start:end]
        start = end


class Intake:
    """The rows of one call of `upsert`."""

    def __init__(
        self,
        dataset: Dataset,
        mapper: CompiledMapper,
        mode: Mode,
        *,
        swift: bool,
        dry_run: bool,
        slots: bool,
        examine: Examine | None,
        marker: Marker | None,
        finder: Finder,
    ) -> None:
        self.dataset = dataset
        self.mapper = mapper
        self.mode = mode
        self.swift = swift
        self.dry_run = dry_run
        self.slots = slots
        self.examine = examine
        self.marker = marker
        self.finder = finder
        self.origin = Origin()
        self.creating = True  # whether the last batch created everything: what to pack ahead
        self.may_glance = marker is not None and mode in (Mode.UPSERT, Mode.UPDATE)
        self.glancing = False  # whether the next batch is looked at by its marks first
        self.glanced = False  # whether one was: from then on `examine` is called where it is written

    def batches(
        self, rows: Iterable[Any], batch_size: int, first_row: int
    ) -> Generator[tuple[list[Any], Prepared | Glance], None, None]:
        """The batches, mapped and checked, the next one while the database writes the present one.

        A source is read ahead too if nothing ties it to the caller's thread; mappings that look up in the
        database do not leave it.
        """
        source = iter(rows)

        def read() -> list[Any]:
            return list(islice(source, batch_size))

        number = first_row
        part = read()
        if len(part) < batch_size or self.mapper.needs_lookup:
            while part:
                yield self._ready(part, number)
                number += len(part)
                part = read()
            return
        free = may_be_read_anywhere(rows)
        with pace.calm(), ThreadPoolExecutor(1, thread_name_prefix="mapping") as ahead:
            coming = ahead.submit(self._ready, part, number)
            while True:
                following = [] if free else read()
                present = coming.result()
                number += len(present[0])
                if free:
                    coming = ahead.submit(self._ready, islice(source, batch_size), number)
                elif following:
                    coming = ahead.submit(self._ready, following, number)
                if present[0]:
                    yield present
                if not (following or (free and present[0])):
                    return

    def _ready(self, part: Iterable[Any], number: int) -> tuple[list[Any], Prepared | Glance]:
        """A batch read, mapped and prepared, in pieces that the processor's caches hold. Mappings that look
        up get it whole: they ask the database once for each piece."""
        if self.glancing and self.marker is not None:
            self.glanced = True
            seen = list(part)
            return seen, Glance(self.marker.keys(seen), self.marker.marks(seen))
        rows, whole = iter(part), Prepared()
        read: list[Any] = []
        lookup = self.finder if self.mapper.needs_lookup else None
        while piece := list(rows if lookup is not None else islice(rows, PIECE)):
            first = number + len(read)
            mapped = self.mapper.map_rows(piece, first, lookup=lookup)
            if self.examine is not None and not self.glanced:
                self.examine(mapped)
            prepared = self._prepared(mapped, self._marks(piece), first)
            if self._worth_packing(whole, prepared):
                pack_ahead(
                    prepared,
                    self.dataset,
                    self.origin,
                    self.mapper.defaults,
                    journal=not self.dry_run,
                    slots=self.slots,
                )
            whole.extend(prepared)
            read += piece
        whole.settle_keys()
        whole.is_examined = not self.glanced
        return read, whole

    def _prepared(self, mapped: MappedBatch, marks: Sequence[bytes], first: int) -> Prepared:
        in_order = self.mapper.writes_in_order
        return prepare(mapped, self.dataset, marks, first=first, in_order=in_order)

    def _marks(self, rows: Sequence[Any]) -> Sequence[bytes]:
        """The marks to store with what these rows write."""
        return self.marker.marks(rows) if self.marker is not None and not self.dry_run else ()

    def resolved(self, part: list[Any], found: Prepared | Glance, number: int) -> tuple[Prepared, int]:
        """The rows of a batch that were not recognized, mapped and examined, and how many were."""
        if isinstance(found, Prepared):
            if self.examine is not None and not found.is_examined:
                good = len(found.mapped.rows)
                self.examine(found.mapped)
                if len(found.mapped.rows) < good:
                    found = self._prepared(found.mapped, self._marks(part), number)
                    found.settle_keys()
            return found, 0
        same = recognized(self.dataset, found)
        known = {number + n: found.keys[n] for n, is_same in enumerate(same) if is_same}
        mapped = MappedBatch()
        for first, rows in _strangers(part, same):
            mapped.extend(self.mapper.map_rows(rows, number + first))
        if self.examine is not None:
            known = self._examined(mapped, known)
        prepared = self._prepared(mapped, found.marks, number)
        prepared.settle_keys()
        return prepared, len(known)

    def _examined(self, mapped: MappedBatch, known: dict[int, str | None]) -> dict[int, str | None]:
        """Have rows examined, of those that are known the key alone; returns the known that are left."""
        values: dict[int, dict[str, Any]] = {n: {self.dataset.key_field: key} for n, key in known.items()}
        values.update(zip(mapped.rows, mapped.values, strict=True))
        numbers = sorted(values)
        given = [values[n] for n in numbers]
        whole = MappedBatch(list(numbers), given, list(given), [()] * len(given))
        if self.examine is not None:
            self.examine(whole)
        mapped.problems += whole.problems
        mapped.warnings += whole.warnings
        mapped.skipped += whole.skipped
        if len(whole.rows) == len(numbers):
            return known
        gone = set(numbers).difference(whole.rows)
        mapped.leave_out(gone)
        return {n: key for n, key in known.items() if n not in gone}

    def learn(self, outcome: BatchOutcome, glance: bool, known: int) -> None:
        """Decide whether marks are worth a look: where most rows are the same, and marks tell it."""
        many = outcome.unchanged >= WORTH_A_GLANCE * outcome.rows
        if glance and many and known < WORTH_A_GLANCE * outcome.rows:
            self.may_glance = False
        self.glancing = self.may_glance and many

    def _worth_packing(self, whole: Prepared, piece: Prepared) -> bool:
        if not self.swift or self.mode is Mode.UPDATE:
            return False
        if whole.data:
            return whole.creates is not None
        return self.creating and len(piece.data) >= PACKED_FROM
