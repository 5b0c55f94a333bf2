"""What a check found, kept for whoever corrects it: the wrong rows themselves, and every cause with its rows.

Bounded, however wrong a file is: so many whole rows, so many row numbers, so many distinct values per cause.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from apps.jobs.models import Cause, Job, Rejection
from apps.jobs.services import rowsets
from apps.jobs.services.feed import Settled
from apps.jobs.services.problems import Judged, Problem, pack, packable, unpacked

CAUSES = 200
WHOLE_ROWS = 100_000
ROWS_PER_PACK = 500
NUMBERS = 2_000_000
VALUES = 2_000
KEPT_VALUES = 300


@dataclass(slots=True)
class Found:
    """One cause: the first message, how often, in which rows, with which values how often."""

    message: str
    count: int = 0
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    values: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True


@dataclass(slots=True)
class Packs:
    """Rows in the file's order, compressed as they come."""

    full: list[bytes] = field(default_factory=list)
    waiting: list[list[Any]] = field(default_factory=list)

    def add(self, rows: list[list[Any]]) -> None:
        self.waiting += rows
        if len(self.waiting) >= ROWS_PER_PACK:
            self.full.append(pack(self.waiting))
            self.waiting = []

    def rows(self) -> Iterator[list[Any]]:
        """All of them, one pack in memory at a time."""
        for content in self.full:
            yield from unpacked(content)
        yield from self.waiting


@dataclass(slots=True)
class Findings:
    """Gathers while a file is rehearsed."""

    causes: dict[tuple[str, str, str, str], Found] = field(default_factory=dict)
    settled: Packs = field(default_factory=Packs)
    ahead: Packs = field(default_factory=Packs)
    whole_rows: int = 0
    numbers: int = 0

    def add(self, settled: Settled, judged: Judged, *, ahead: bool) -> None:
        """What is wrong with a batch, or with one row that the reader refused, `ahead` of the batches."""
        for problem in judged.problems:
            self._note(problem)
        if self.whole_rows < WHOLE_ROWS:
            rows = packable(settled, judged)
            self.whole_rows += len(rows)
            (self.ahead if ahead else self.settled).add(rows)

    def _note(self, problem: Problem) -> None:
        key = (problem.severity, problem.code, problem.field, problem.column)
        found = self.causes.get(key)
        if found is None:
            if len(self.causes) >= CAUSES:
                return
            found = self.causes[key] = Found(problem.message)
        found.count += 1
        if self.numbers < NUMBERS:
            self.numbers += 1
            found.numbers.append(problem.row)
        else:
            found.is_complete = False
        if problem.value in found.values or len(found.values) < VALUES:
            found.values[problem.value] = found.values.get(problem.value, 0) + 1

    def packed(self) -> Iterator[tuple[int, int, bytes]]:
        """First row, number of rows and content of each pack, in the file's order."""
        rows = heapq.merge(self.ahead.rows(), self.settled.rows(), key=lambda row: int(row[0]))
        while some := list(islice(rows, ROWS_PER_PACK)):
            yield some[0][0], len(some), pack(some)


def store(job: Job, found: Findings) -> None:
    """Write what was found, in the caller's transaction, in the place of nothing (see `clear_problems`)."""
    for first, rows, content in found.packed():
        Rejection.objects.create(job=job, first_row=first, rows=rows, content=content)
    Cause.objects.bulk_create(_causes(job, found), batch_size=50)


def _causes(job: Job, found: Findings) -> Iterator[Cause]:
    ranked = sorted(found.causes.items(), key=lambda item: (item[0][0], -item[1].count))
    for (severity, code, name, column), cause in ranked:
        common = heapq.nlargest(KEPT_VALUES, cause.values.items(), key=lambda item: item[1])
        yield Cause(
            job=job,
            severity=severity,
            code=code,
            field=name,
            column=column,
            message=cause.message,
            count=cause.count,
            rows=len(set(cause.numbers)) if cause.is_complete else cause.count,
            values=[[value, times] for value, times in common],
            numbers=rowsets.pack(cause.numbers),
            is_complete=cause.is_complete,
        )
