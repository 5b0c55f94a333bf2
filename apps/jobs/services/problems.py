"""From what readers and `upsert` say about rows to what is stored about them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.jobs.formats import Row
from apps.jobs.formats import Severity as ReadSeverity
from apps.jobs.models import Job, JobError, Rejection
from apps.jobs.models.problems import KEPT
from apps.jobs.services import repeats
from apps.jobs.services.feed import Settled
from apps.jobs.statuses import Severity
from apps.records.mapping import RowProblem
from apps.records.models import Dataset
from apps.records.services.upsert import BatchOutcome

MASK = "***"
DUPLICATES = ("already_exists", "not_unique", repeats.CODE)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row of the file, in the file's own numbering."""

    row: int
    line: int
    column: str
    field: str
    value: str
    code: str
    message: str
    severity: str = Severity.ERROR


@dataclass(slots=True)
class Judged:
    """What is wrong with the rows of a batch.

    `wrong` holds the numbers of the rows that were left out for it, `skipped` of those that are right but
    were passed over on purpose.
    """

    problems: list[Problem] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)

    @property
    def errors(self) -> int:
        return sum(problem.severity == Severity.ERROR for problem in self.problems)

    @property
    def warnings(self) -> int:
        return len(self.problems) - self.errors

    @property
    def duplicates(self) -> int:
        return len({problem.row for problem in self.problems if problem.code in DUPLICATES})


class Judge:
    """Knows which column feeds which field, and which values must not be shown."""

    def __init__(self, dataset: Dataset, sources: Mapping[str, str]) -> None:
        """`sources` maps a dataset's field to the source that it comes from."""
        self._column_of = dict(sources)
        self._field_of = {column: name for name, column in sources.items()}
        self._sensitive = {f.name for f in dataset.fields if f.sensitive}

    def judge(self, settled: Settled, outcome: BatchOutcome) -> Judged:
        """All problems of a batch, in the file's order."""
        judged = Judged()
        found, first_row = outcome.problems, outcome.first_row
        if not (found or outcome.warnings or outcome.skipped or settled.has_problems):
            return judged
        by_row: dict[int, list[Problem]] = {}
        for row in settled.rows:
            if row.problems:
                if row.is_skipped:
                    judged.skipped.add(row.number)
                    continue
                by_row[row.number] = list(self._read(row))
                if row.is_wrong:
                    judged.wrong.add(row.number)
        for problem in found:
            row = settled.good[problem.row - first_row]
            judged.wrong.add(row.number)
            by_row.setdefault(row.number, []).append(self._mapped(problem, row))
        for problem in [*outcome.warnings, *outcome.skipped]:
            row = settled.good[problem.row - first_row]
            by_row.setdefault(row.number, []).append(self._mapped(problem, row, Severity.WARNING))
        judged.skipped |= {settled.good[problem.row - first_row].number for problem in outcome.skipped}
        for row in settled.rows:
            judged.problems += by_row.get(row.number, ())
        return judged

    def _read(self, row: Row) -> Iterator[Problem]:
        for problem in row.problems:
            name = self._field_of.get(problem.column, "")
            yield Problem(
                row.number,
                row.line,
                problem.column[:200],
                name,
                MASK if problem.value and name in self._sensitive else problem.value[:200],
                problem.code,
                problem.message[:500],
                Severity.ERROR if problem.severity is ReadSeverity.ERROR else Severity.WARNING,
            )

    def _mapped(self, problem: RowProblem, row: Row, severity: str = Severity.ERROR) -> Problem:
        column = problem.column
        if not column or column == problem.field:
            column = self._column_of.get(problem.field, column)
        return Problem(
            row.number,
            row.line,
            column[:200],
            problem.field[:60],
            problem.value[:200],
            problem.code,
            problem.message[:500],
            severity,
        )


def store(job: Job, settled: Settled, judged: Judged) -> None:
    """Write what is wrong with a batch, in its transaction: the last thousand as rows, all of it packed."""
    if not judged.problems:
        return
    JobError.objects.bulk_create(
        [
            JobError(
                job=job, row=p.row, line=p.line, column=p.column, field=p.field, value=p.value, code=p.code,
                message=p.message, severity=p.severity,
            )
            for p in judged.problems[-KEPT:]
        ],
        batch_size=500,
    )  # fmt: skip
    oldest_kept = (
        JobError.objects.filter(job=job).order_by("-id").values_list("id", flat=True)[KEPT - 1 : KEPT].first()
    )
    if oldest_kept is not None:
        JobError.objects.filter(job=job, id__lt=oldest_kept).delete()
    packed = packable(settled, judged)
    Rejection.objects.create(
        job=job, first_row=settled.rows[0].number, rows=len(packed), content=pack(packed)
    )


def packable(settled: Settled, judged: Judged) -> list[list[Any]]:
    """The rows of a batch that have problems, as they are packed."""
    by_row: dict[int, list[Problem]] = {}
    for problem in judged.problems:
        by_row.setdefault(problem.row, []).append(problem)
    return [
        [
            row.number,
            row.line,
            list(row.values),
            [[p.column, p.field, p.value, p.code, p.message, p.severity] for p in by_row[row.number]],
            row.number in judged.wrong,
        ]
        for row in settled.rows
        if row.number in by_row
    ]


def pack(value: Any) -> bytes:
    return zlib.compress(
        json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False).encode("utf-8", "replace"), 6
    )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of the file with all that is wrong with it; `left_out` if it was not imported."""

    row: int
    line: int
    values: Sequence[Any]
    problems: Sequence[Problem]
    left_out: bool


def rejected(job: Job) -> Iterator[Rejected]:
    """All rows of the job that have problems, in the file's order, one batch in memory at a time."""
    for rejection in Rejection.objects.filter(job=job).order_by("first_row").iterator(chunk_size=1):
        yield from unpack(rejection)


def unpacked(content: bytes) -> Any:
    """What `pack` packed."""
    return json.loads(zlib.decompress(content))


def unpack(rejection: Rejection) -> Iterator[Rejected]:
    """The rows of one batch."""
    for row, line, values, problems, left_out in unpacked(bytes(rejection.content)):
        yield Rejected(
            row, line, values, [Problem(row, line, *problem) for problem in problems], bool(left_out)
        )
