"""A file's rows as they are after the corrections of its import: the one way in which jobs read files.

The file stays as it was sent. Corrected rows keep their number and line, skipped ones too, so that counting
rows, going on after a kill and the lists of what was wrong speak of the same rows as the file.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from apps.jobs.formats import Cell, CellProblem, Row, Severity, Table, open_table
from apps.jobs.models import Correction, Job
from apps.jobs.services import rowsets
from apps.jobs.services.uploads import options_of
from apps.jobs.statuses import CorrectionKind

SKIPPED = CellProblem("skipped", "The row is skipped, as somebody decided.", severity=Severity.SKIP)
OF_ROW = frozenset({"extra_cell", "missing_cell", "stray_quote"})
"""What a reader says about a whole row, and a person may accept: the row is taken as it was read."""


def open_job(job: Job, file: BinaryIO, *, skip_rows: int = 0) -> Table:
    """The job's table, from the row after `skip_rows` on, with its corrections. Raises FormatError."""
    table = open_table(file, options_of(job, skip_rows=skip_rows), file_type=job.file_type)
    found = list(Correction.objects.filter(job=job).order_by("id"))
    if found:
        table.rows = corrected(table.rows, table.names, found)
    return table


def corrected(
    rows: Iterator[Row], columns: Sequence[str], corrections: Sequence[Correction]
) -> Iterator[Row]:
    """The rows with the corrections applied in their order."""
    index = {name: number for number, name in enumerate(columns)}
    due = heapq.merge(*(_places(order, item) for order, item in enumerate(corrections)))
    place = next(due, None)
    for row in rows:
        while place is not None and place[0] < row.number:  # of rows that were passed over
            place = next(due, None)
        if place is None or place[0] != row.number:
            yield row
            continue
        meant = []
        while place is not None and place[0] == row.number:
            meant.append(corrections[place[1]])
            place = next(due, None)
        yield apply(row, meant, index)


def _places(order: int, correction: Correction) -> Iterator[tuple[int, int]]:
    return ((number, order) for number in rowsets.unpack(correction.numbers))


def apply(row: Row, corrections: Sequence[Correction], index: dict[str, int]) -> Row:
    """One row, corrected."""
    values: list[Cell] = list(row.values)
    problems = row.problems
    for item in corrections:
        if item.kind == CorrectionKind.SKIP:
            return Row(row.number, row.line, values, (SKIPPED,))
        if item.kind == CorrectionKind.ACCEPT:
            problems = tuple(problem for problem in problems if problem.code not in OF_ROW)
            del values[len(index) :]
            values += [""] * (len(index) - len(values))
            continue
        at = index.get(item.column)
        if at is None:
            continue
        if at >= len(values):
            values += [""] * (len(index) - len(values))
        changed = _changed(values[at], item)
        if changed is not values[at]:
            values[at] = changed
            problems = tuple(problem for problem in problems if problem.column != item.column)
    return Row(row.number, row.line, values, problems)


def _changed(value: Cell, item: Correction) -> Any:
    if item.kind == CorrectionKind.SET:
        return item.value
    text = "" if value is None else str(value)
    changed = text.strip() if item.kind == CorrectionKind.TRIM else text.replace(item.find, item.value)
    return value if changed == text else changed
