"""What the mapping of rows gives: checked values, and what was wrong with the rest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple


class RowProblem(NamedTuple):
    """One thing wrong with one row.

    `field` is the dataset's, empty if the row as a whole is wrong; `column` is the source's; `value` is what
    the source held, shortened, and masked if the field is sensitive.
    """

    row: int
    field: str
    column: str
    value: str
    code: str
    message: str


@dataclass(slots=True)
class MappedBatch:
    """The good rows, and the problems of the others.

    `rows`, `values`, `present` and `missing` run in parallel, one entry per good row: its ordinal number, its
    canonical values, these without nulls, and the required fields that the source did not have at all, which
    matters if a record is to be created. A value of null says that the source was blank; what the source did
    not have is not in `values`. `warnings` are about good rows, `skipped` about rows that are right, but not
    wanted.
    """

    rows: list[int] = field(default_factory=list)
    values: list[dict[str, Any]] = field(default_factory=list)
    present: list[dict[str, Any]] = field(default_factory=list)
    missing: list[Sequence[str]] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    warnings: list[RowProblem] = field(default_factory=list)
    skipped: list[RowProblem] = field(default_factory=list)

    def extend(self, more: MappedBatch) -> None:
        """Take in the rows that follow."""
        self.rows += more.rows
        self.values += more.values
        self.present += more.present
        self.missing += more.missing
        self.problems += more.problems
        self.warnings += more.warnings
        self.skipped += more.skipped

    def leave_out(self, numbers: Collection[int]) -> None:
        """Take rows out of the good ones, by their numbers."""
        if numbers:
            kept = [number not in numbers for number in self.rows]
            for rows in (self.rows, self.values, self.present, self.missing):
                rows[:] = compress(rows, kept)  # type: ignore[arg-type]


def present(values: dict[str, Any]) -> dict[str, Any]:
    """The values without nulls: an absent field and a null are the same in what is stored."""
    if None in values.values():
        return {name: value for name, value in values.items() if value is not None}
    return values
