"""The real run, rolled back: what an import would do, told before anything is written."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.jobs.errors import RunFailed
from apps.jobs.formats import Cell, Row
from apps.jobs.models import Job, JobArtifact
from apps.jobs.models.problems import KEPT
from apps.jobs.services import corrected, deletions, examples, files, findings, live, storage
from apps.jobs.services.feed import Feed, Settled
from apps.jobs.services.plans import actor_of, plan, watch
from apps.jobs.services.problems import MASK, Judge, Judged, Problem
from apps.jobs.statuses import Severity
from apps.records.fields import display
from apps.records.models import Dataset, Record
from apps.records.services.upsert import BatchOutcome, Mode, UpsertStopped, upsert

GROUPS = 200
SAMPLES_PER_GROUP = 5
SAMPLES_PER_OPERATION = 10
SQLITE_PART = 100_000
SHOWN_OPERATIONS = ("updated", "restored", "deleted", "created")
COUNTS = ("created", "updated", "unchanged", "restored", "deleted")


class Cancelled(Exception):
    """The person who asked does not want it any more; everything is rolled back."""


@dataclass(slots=True)
class Rehearsal:
    """What a rehearsal found."""

    rows: int = 0
    wrong: int = 0
    skipped: int = 0
    errors: int = 0
    warnings: int = 0
    duplicates: int = 0
    blank: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    groups: dict[tuple[str, str, str, str], dict[str, Any]] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    last_problems: deque[Problem] = field(default_factory=lambda: deque(maxlen=KEPT))
    found: findings.Findings = field(default_factory=findings.Findings)
    deletion_skipped: bool = False
    deletion_question: str = ""
    vanishing: list[JobArtifact] = field(default_factory=list)
    max_errors: int = 0
    in_parts: bool = False
    seconds: float = 0.0

    def add(self, settled: Settled, judged: Judged, *, ahead: bool = False) -> None:
        self.skipped += len(judged.skipped)
        if not judged.problems:
            return
        self.found.add(settled, judged, ahead=ahead)
        self.wrong += len(judged.wrong)
        self.errors += judged.errors
        self.warnings += judged.warnings
        self.duplicates += judged.duplicates
        self.last_problems.extend(judged.problems)
        for problem in judged.problems:
            key = (problem.severity, problem.code, problem.field, problem.column)
            group = self.groups.get(key)
            if group is None:
                if len(self.groups) >= GROUPS:
                    key = (problem.severity, "other", "", "")
                group = self.groups.setdefault(
                    key,
                    {
                        "message": problem.message if key[1] != "other" else "Other problems.",
                        "count": 0,
                        "samples": [],
                    },
                )
            group["count"] += 1
            if len(group["samples"]) < SAMPLES_PER_GROUP:
                group["samples"].append(
                    {
                        "row": problem.row,
                        "line": problem.line,
                        "value": problem.value,
                        "message": problem.message,
                    }
                )

    def report(self) -> dict[str, Any]:
        """As JSON, for the job."""
        groups = [
            {"severity": severity, "code": code, "field": name, "column": column, **group}
            for (severity, code, name, column), group in self.groups.items()
        ]
        return {
            "rows": self.rows,
            "good": self.rows - self.wrong - self.skipped,
            "wrong": self.wrong,
            "skipped": self.skipped,
            "errors": self.errors,
            "warnings": self.warnings,
            "duplicates": self.duplicates,
            "blank": self.blank,
            **self.counts,
            "deletion_skipped": self.deletion_skipped,
            "deletion_question": self.deletion_question,
            "stops_after_errors": self.max_errors if 0 < self.max_errors <= self.wrong else 0,
            "in_parts": self.in_parts,
            "groups": sorted(groups, key=_prominence),
            "samples": [sample for name in SHOWN_OPERATIONS for sample in self.samples.get(name, ())],
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows / self.seconds) if self.seconds > 0.05 else None,
            "at": timezone.now().isoformat(),
        }


def _prominence(group: Mapping[str, Any]) -> tuple[str, int, int]:
    """Errors before warnings, frequent before rare, early before late."""
    return group["severity"], -group["count"], group["samples"][0]["row"]


class _Part:
    """The next rows of a feed, at most so many, read as freely as the feed."""

    may_be_read_anywhere = Feed.may_be_read_anywhere

    def __init__(self, feed: Feed, rows: int | None) -> None:
        self._feed, self._rows = feed, rows

    def __iter__(self) -> Iterator[Sequence[Cell]]:
        return islice(self._feed, self._rows)


def _part(job: Job) -> int | None:
    """Rows per rolled-back transaction; None for all in one, so that duplicates anywhere count right.

    SQLite lets nobody else write during a transaction, which therefore must not last for minutes there.
    """
    if connection.vendor == "sqlite" and job.mode != Mode.REPLACE:
        return SQLITE_PART
    return None


def rehearse(job: Job, *, stop_on_error: bool = False, check: Callable[[], None] = lambda: None) -> Rehearsal:
    """Run the import of the whole file and roll it back. `check` is called between batches and may raise.

    Raises FormatError, NotReady, Cancelled; with `stop_on_error` RunFailed at the first wrong row. What a
    “replace all” would delete is stored as a file, for the caller to keep.
    """
    began = time.monotonic()
    files.remove(job, "vanishing")
    with contextlib.closing(deletions.Vanishing(job)) as vanishing:
        found = _rehearse(job, stop_on_error, check, vanishing)
        if found.counts["deleted"]:
            _, alive = deletions.unseen(job)
            found.deletion_question = deletions.question(job, deleted=found.counts["deleted"], of=alive)
            found.vanishing = vanishing.kept()
    found.seconds = time.monotonic() - began
    return found


def _rehearse(
    job: Job, stop_on_error: bool, check: Callable[[], None], vanishing: deletions.Vanishing
) -> Rehearsal:
    found = Rehearsal(max_errors=job.max_errors)
    with contextlib.ExitStack() as stack, storage.opened(job.file_path) as file:
        table = corrected.open_job(job, file)
        planned = plan(job, table.names)
        judge = Judge(job.dataset, planned.sources)

        noting = threading.Lock()  # the rows are read ahead by another thread

        def on_wrong(row: Row) -> None:
            with noting:
                found.rows += 1
                settled = Settled([row])
                found.add(settled, judge.judge(settled, BatchOutcome(0)), ahead=True)

        feed = Feed(
            table.rows, max_wrong=1, stop_on_error=stop_on_error, extra=planned.extra, on_wrong=on_wrong
        )

        def on_batch(outcome: BatchOutcome) -> None:
            settled = feed.settle(outcome.rows)
            with noting:
                found.rows += len(settled.rows)
                found.add(settled, judge.judge(settled, outcome))
            if outcome.removed:
                vanishing.add(outcome.removed)
                _keep_removed(found, job.dataset, outcome.removed)
            for name in COUNTS:
                found.counts[name] += getattr(outcome, name)
            _keep_samples(found, job.dataset, outcome, settled)
            live.note(job, done=found.rows, total=max(job.total_records, found.rows))
            if live.is_cancelled(job):
                raise Cancelled
            check()

        part = _part(job)
        first_row = 1
        repeats = watch(job, planned, feed.places)
        if repeats is not None:
            stack.enter_context(contextlib.closing(repeats))
        examine = examples.examiner(job, planned, repeats)
        try:
            while True:
                result = upsert(
                    dataset=job.dataset,
                    rows=_Part(feed, part),
                    actor=actor_of(job),
                    mapping=planned.spec,
                    columns=planned.columns,
                    mode=Mode(job.mode),
                    overwrite=job.overwrite_existing,
                    dry_run=True,
                    stop_on_error=stop_on_error,
                    batch_size=job.batch_size,
                    first_row=first_row,
                    timezone=job.timezone or None,
                    on_batch=on_batch,
                    examine=examine,
                )
                first_row += result.rows
                if part is None or feed.is_exhausted or not result.rows:
                    break
                found.in_parts = True
        except UpsertStopped as stop:
            settled = feed.settle(stop.outcome.rows)
            judged = judge.judge(settled, stop.outcome)
            raise stopped(judged) from None
        if feed.stopped_at is not None:
            judged = judge.judge(Settled([feed.stopped_at]), BatchOutcome(0))
            raise stopped(judged)
    found.blank = table.blank_rows
    found.deletion_skipped = Mode(job.mode) is Mode.REPLACE and (result.deletion_skipped or found.wrong > 0)
    if found.deletion_skipped:
        found.counts["deleted"] = 0
    return found


class StoppedOnError(RunFailed):
    """A wrong row ended a run that imports all or nothing."""

    code = "stopped_on_error"

    def __init__(self, detail: str, judged: Judged) -> None:
        super().__init__(detail)
        self.judged = judged


def stopped(judged: Judged) -> StoppedOnError:
    first = next(problem for problem in judged.problems if problem.severity == Severity.ERROR)
    where = f"Row {first.row:,} (line {first.line:,})" if first.line else f"Row {first.row:,}"
    return StoppedOnError(f"{where}: {first.message} Nothing was imported.", judged)


def _keep_samples(found: Rehearsal, dataset: Dataset, outcome: BatchOutcome, settled: Settled) -> None:
    for sample in outcome.samples:
        kept = found.samples.setdefault(sample.operation, [])
        if len(kept) >= SAMPLES_PER_OPERATION:
            continue
        index = sample.row - outcome.first_row
        row = settled.good[index] if 0 <= index < len(settled.good) else None
        kept.append(
            {
                "row": row.number if row else sample.row,
                "line": row.line if row else 0,
                "operation": sample.operation,
                "key": sample.key,
                "fields": _differences(dataset, sample.before, sample.after),
            }
        )


def _keep_removed(found: Rehearsal, dataset: Dataset, removed: Sequence[Record]) -> None:
    kept = found.samples.setdefault("deleted", [])
    for record in removed[: SAMPLES_PER_OPERATION - len(kept)]:
        fields = _differences(dataset, record.data, {})
        kept.append({"row": 0, "line": 0, "operation": "deleted", "key": record.key, "fields": fields})


def _differences(
    dataset: Dataset, before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Each changed field with both values as a person reads them."""
    shown = []
    for spec in dataset.fields:
        if spec.name not in before and spec.name not in after:
            continue
        old, new = before.get(spec.name), after.get(spec.name)
        if spec.sensitive:
            was, becomes = (MASK if old is not None else ""), (MASK if new is not None else "")
        else:
            was, becomes = display(old, spec)[:200], display(new, spec)[:200]
        shown.append({"field": spec.name, "label": spec.title, "before": was, "after": becomes})
    return shown
