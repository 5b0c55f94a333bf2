"""What a bulk write is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from apps.kernel.errors import TerminalError
from apps.records.mapping import RowProblem
from apps.records.models import Origin, Record

KEPT_PROBLEMS = 1000
KEPT_SAMPLES = 20


class Mode(StrEnum):
    """What may happen to records: only new ones, only existing ones, both, or both and the rest removed."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class LinkSource:
    """Where rows come from, when they have a remote twin.

    `remote_id` and `remote_version` are paths (JMESPath) in the source row; `source` is the integration's
    number. A row whose remote id is linked already goes to the linked record, whatever its key.
    """

    source: str
    stream: str
    remote_id: str = "id"
    remote_version: str = ""


@dataclass(slots=True)
class Sample:
    """One row's fate, for a report: what the record was and will be, by changed field."""

    row: int
    operation: str
    key: str | None
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(slots=True)
class BatchOutcome:
    """What became of one batch. `failed` counts rows; a row may have several problems.

    `warnings` are about rows that were written, `skipped` about rows that were right, but not wanted;
    `removed` are the records that a "replace all" deleted.
    """

    first_row: int
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    restored: int = 0
    deleted: int = 0
    failed: int = 0
    problems: list[RowProblem] = field(default_factory=list)
    warnings: list[RowProblem] = field(default_factory=list)
    skipped: list[RowProblem] = field(default_factory=list)
    removed: Sequence[Record] = ()
    samples: list[Sample] = field(default_factory=list)

    @property
    def last_row(self) -> int:
        return self.first_row + self.rows - 1


@dataclass(slots=True)
class UpsertResult:
    """The sums over all batches. `problems` and `samples` are the first ones only.

    `deletion_skipped` tells that a "replace all" removed nothing, because rows were wrong or missing.
    """

    origin: Origin
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    restored: int = 0
    deleted: int = 0
    failed: int = 0
    deletion_skipped: bool = False
    problems: list[RowProblem] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def add(self, batch: BatchOutcome) -> None:
        self.rows += batch.rows
        self.created += batch.created
        self.updated += batch.updated
        self.unchanged += batch.unchanged
        self.restored += batch.restored
        self.deleted += batch.deleted
        self.failed += batch.failed
        self.problems += batch.problems[: KEPT_PROBLEMS - len(self.problems)]
        self.samples += batch.samples[: KEPT_SAMPLES - len(self.samples)]

    @property
    def succeeded(self) -> int:
        return self.rows - self.failed


class UpsertStopped(TerminalError):
    """A wrong row ended a run that was told to stop on errors; its batch was rolled back."""

    code = "stopped_on_error"
    status = 422
    title = "The run stopped at a wrong row"

    def __init__(self, outcome: BatchOutcome) -> None:
        first = outcome.problems[0]
        super().__init__(f"Row {first.row}: {first.message}")
        self.outcome = outcome
