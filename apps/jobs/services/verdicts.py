"""What single wrong rows look like after the corrections made since the last check, judged at once.

A row is judged by its values, by the rules about whole rows and against the records that there are; what
other rows of the file say about it (a value that occurs twice) only a check tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from apps.jobs.formats import Row
from apps.jobs.formats import Severity as ReadSeverity
from apps.jobs.formats.tables import CellProblem
from apps.jobs.models import Cause, Correction, Job
from apps.jobs.services import corrected, corrections, imports, repeats, rowsets
from apps.jobs.services.feed import Settled
from apps.jobs.services.plans import plan
from apps.jobs.services.problems import Judge, Problem, Rejected
from apps.jobs.statuses import CorrectionKind
from apps.kernel.errors import HubError
from apps.records.mapping import compile_mapping
from apps.records.services import alone
from apps.records.services.lookups import Finder
from apps.records.services.upsert import BatchOutcome, Mode

OF_OTHERS = frozenset({"not_unique", repeats.CODE})
"""What may be wrong with a row because of another one of the file."""


@dataclass(slots=True)
class Verdict:
    """A row as it is now: its cells by column, and what is still wrong with it."""

    row: int
    line: int
    cells: dict[str, Any]
    problems: list[Problem]
    is_skipped: bool = False
    is_corrected: bool = False
    before: dict[str, Any] = field(default_factory=dict)

    def wrong_columns(self) -> set[str]:
        return {problem.column for problem in self.problems if problem.column}


def of_rows(job: Job, numbers: Sequence[int]) -> list[Verdict]:
    """The verdicts on these rows, as far as the last check kept them; in the file's order."""
    kept = corrections.wrong_rows(job, numbers=set(numbers))
    names = imports.column_names(job)
    since = _since(job, {row.row for row in kept})
    judged = _Bench(job, names)
    return [judged.verdict(row, since.get(row.row, [])) for row in kept]


def of_cause(job: Job, cause: Cause, *, start: int, count: int) -> list[Verdict]:
    """The verdicts on some rows of a cause."""
    return of_rows(job, list(islice(rowsets.unpack(cause.numbers), start, start + count)))


def _since(job: Job, numbers: set[int]) -> dict[int, list[Correction]]:
    """The corrections that the last check did not know, by row."""
    found: dict[int, list[Correction]] = {}
    newer = Correction.objects.filter(job=job).order_by("id")
    if job.checked_at is not None:
        newer = newer.filter(created_at__gt=job.checked_at)
    for item in newer.filter(rows=1, first_row__in=numbers):
        found.setdefault(item.first_row, []).append(item)
    for item in newer.filter(rows__gt=1):
        for number in rowsets.unpack(item.numbers):
            if number in numbers:
                found.setdefault(number, []).append(item)
    for items in found.values():
        items.sort(key=lambda item: item.pk)
    return found


class _Bench:
    """Judges rows of one job."""

    def __init__(self, job: Job, names: list[str]) -> None:
        self.job = job
        # What a “replace all” deletes is no matter of one row.
        self.mode = Mode.UPSERT if job.mode == Mode.REPLACE else Mode(job.mode)
        self.names = names
        self.index = {name: number for number, name in enumerate(names)}
        planned = plan(job, names)
        self.row_id = planned.extra
        self.judge = Judge(job.dataset, planned.sources)
        self.finder = Finder(job.organization)
        self.mapper = compile_mapping(
            job.dataset.fields,
            planned.spec,
            columns=planned.columns,
            timezone=job.timezone or job.organization.timezone,
        )

    def verdict(self, kept: Rejected, made: list[Correction]) -> Verdict:
        cells = dict(zip(self.names, kept.values, strict=False))
        if not made:
            return Verdict(kept.row, kept.line, cells, list(kept.problems))
        read = Row(kept.row, kept.line, kept.values, tuple(self._of_reader(kept)))
        row = corrected.apply(read, made, self.index)
        now = dict(zip(self.names, row.values, strict=False))
        changed = {name: value for name, value in cells.items() if now.get(name) != value}
        if row.is_skipped:
            return Verdict(kept.row, kept.line, cells, [], True, True, changed)
        problems = self._problems(row)
        if not changed and not any(item.kind == CorrectionKind.ACCEPT for item in made):
            known = {(p.code, p.field) for p in problems}
            problems += [p for p in kept.problems if p.code in OF_OTHERS and (p.code, p.field) not in known]
        return Verdict(kept.row, kept.line, now, problems, False, True, changed)

    def _of_reader(self, kept: Rejected) -> list[CellProblem]:
        """What the reader said about the row: no field of the dataset is wrong by itself."""
        codes = corrected.OF_ROW | {"nul_byte", "cell_too_long"}
        return [
            CellProblem(p.code, p.message, p.column, p.value, ReadSeverity.ERROR)
            for p in kept.problems
            if p.code in codes
        ]

    def _problems(self, row: Row) -> list[Problem]:
        if row.is_wrong:
            return self.judge.judge(Settled([row], []), BatchOutcome(1)).problems
        values = list(row.values) if self.row_id is None else [*row.values, self.row_id(row)]
        try:
            mapped = self.mapper.map_rows([values], 1, lookup=self.finder)
            found = mapped.problems or alone.problems_of(
                self.job.dataset,
                mapped,
                mode=self.mode,
                overwrite=self.job.overwrite_existing,
                defaults=self.mapper.defaults,
            )
        except HubError as error:
            return [Problem(row.number, row.line, "", "", "", error.code, error.detail)]
        return self.judge.judge(Settled([row], [row]), BatchOutcome(1, problems=found)).problems
