"""One import at work: from its checkpoint to the end of the file, batch by batch.

Each batch is one transaction that holds the records, their changes and events, the errors, the counters and
the checkpoint. Whoever is killed has therefore either settled a batch wholly or not touched it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.jobs.errors import RunFailed
from apps.jobs.formats import Table
from apps.jobs.models import Cause, Job, JobError, Rejection
from apps.jobs.services import (
    corrected,
    deletions,
    examples,
    files,
    findings,
    live,
    problems,
    rehearsals,
    storage,
)
from apps.jobs.services.feed import Feed, Settled
from apps.jobs.services.plans import Plan, actor_of, plan, watch
from apps.jobs.services.problems import Judge, Judged
from apps.jobs.services.rehearsals import StoppedOnError, rehearse, stopped
from apps.jobs.services.repeats import Places
from apps.jobs.statuses import JobStatus
from apps.kernel.leases import fenced_update
from apps.records.mapping import compile_mapping
from apps.records.models import SeenRecord
from apps.records.services.lookups import Finder
from apps.records.services.upsert import BatchOutcome, Mode, UpsertStopped, upsert

TRUST_POSITION_ABOVE = 4 * 2**20
"""Bytes of a file above which the read position, which runs ahead by a buffer, tells the number of rows."""

ZERO_COUNTERS: dict[str, Any] = {
    **dict.fromkeys(
        (
            "processed_records", "successful_records", "failed_records", "skipped_records", "current_record",
            "created_count", "updated_count", "unchanged_count", "restored_count", "deleted_count",
            "duplicate_count", "error_count", "warning_count",
        ),
        0,
    ),
    "checkpoint": {},
    "processing_seconds": 0.0,
    "summary": {},
}  # fmt: skip


def begin(job: Job) -> None:
    """Note the start, the first time."""
    if job.started_at is None:
        fenced_update(job, started_at=timezone.now())


def run(job: Job, *, out_of_time: Callable[[], bool], check: Callable[[], None]) -> bool:
    """Import from the checkpoint on. True if the end was reached; false if paused, cancelled or out of time.

    `check` raises when the lease is lost. Raises FormatError, RunFailed and whatever `upsert` raises; what
    was settled before stays settled.
    """
    begin(job)
    if job.dry_run:
        _rehearse_only(job, check)
        return True
    if not job.checkpoint.get("verified"):
        _verify(job, check)
    with storage.opened(job.file_path) as file:
        table = corrected.open_job(job, file, skip_rows=job.settled_rows())
        at_work = _Import(job, table, plan(job, table.names), out_of_time, check)
        try:
            at_work.remember_settled()
            at_work.import_rows()
            if not at_work.feed.is_exhausted:
                return False
            at_work.remove_unseen()
        finally:
            at_work.close()
    if not job.total_is_exact or job.total_records != job.processed_records:
        fenced_update(job, total_records=job.processed_records, total_is_exact=True)
    return True


class _Import:
    """The state of one run."""

    def __init__(
        self,
        job: Job,
        table: Table,
        planned: Plan,
        out_of_time: Callable[[], bool],
        check: Callable[[], None],
    ) -> None:
        self.job = job
        self.table = table
        self.plan = planned
        self.judge = Judge(job.dataset, planned.sources)
        self.out_of_time = out_of_time
        self.check = check
        self.handed = int(job.checkpoint.get("handed", 0))
        places = Places()
        self.feed = Feed(
            table.rows,
            max_wrong=job.batch_size,
            stop_on_error=job.stop_on_error,
            extra=planned.extra,
            places=places,
            handed=self.handed,
        )
        self.watch = watch(job, planned, places)
        self.examine = examples.examiner(job, planned, self.watch)
        self.clock = time.monotonic()

    def close(self) -> None:
        if self.watch is not None:
            self.watch.close()

    def remember_settled(self) -> None:
        """Before going on in the middle of a file: look once more at the rows that are settled, so that one
        that repeats them is found as in a run that was never interrupted."""
        job, settled = self.job, self.job.settled_rows()
        if self.examine is None or self.watch is None or not settled:
            return
        mapper = compile_mapping(
            job.dataset.fields,
            self.plan.spec,
            columns=self.plan.columns,
            timezone=job.timezone or job.organization.timezone,
        )
        finder = Finder(job.organization)
        with storage.opened(job.file_path) as file:
            table = corrected.open_job(job, file)
            before = Feed(
                islice(table.rows, settled),
                max_wrong=settled + 1,
                extra=self.plan.extra,
                places=self.feed.places,
            )
            rows, number = iter(before), 1
            while part := list(islice(rows, job.batch_size)):
                self.check()
                before.settle(len(part))
                self.examine(mapper.map_rows(part, number, lookup=finder))
                number += len(part)
        self.clock = time.monotonic()

    def import_rows(self) -> None:
        """Settle batch after batch until the file ends or somebody wants a stop."""
        while not (self.feed.is_exhausted or self.feed.is_stopped):
            try:
                self._upsert(self.feed)
            except UpsertStopped as stop:
                settled = self.feed.settle(stop.outcome.rows)
                judged = self.judge.judge(settled, stop.outcome)
                raise self._stopped(judged) from None
            if self.feed.stopped_at is not None:
                raise self._stopped(self.judge.judge(Settled([self.feed.stopped_at]), BatchOutcome(0)))
            with transaction.atomic():  # wrong rows that no good row followed
                self._on_batch(BatchOutcome(first_row=self.handed + 1), only_if_rows=True)
            self._refuse_more_errors()

    def _refuse_more_errors(self) -> None:
        """End the run where so many rows were wrong as the job allows; what was imported before stays.

        Raised before a further batch is written, or after the last.
        """
        job = self.job
        wrong = job.failed_records - int(job.checkpoint.get("forgiven", 0))
        if job.max_errors and wrong >= job.max_errors:
            raise RunFailed(
                f"{wrong:,} {'row was' if wrong == 1 else 'rows were'} wrong, and the job stops after "
                f"{job.max_errors:,}. The {job.successful_records:,} right rows before row "
                f"{job.current_record + 1:,} were imported. Correct the file and upload it again: what is "
                "imported already is left as it is."
            )

    def remove_unseen(self) -> None:
        """“Replace all”: delete what no row named, unless a row was wrong.

        What `upsert` has seen is noted in the database and forgotten after the last deletion, so that coming
        back after a kill neither forgets to delete nor deletes what was seen.
        """
        job = self.job
        if job.mode != Mode.REPLACE or job.failed_records or not job.successful_records:
            return
        if job.origin_id is None or not SeenRecord.objects.filter(origin_id=job.origin_id).exists():
            return
        self._confirm_deletions()
        self._upsert(())

    def _confirm_deletions(self) -> None:
        """Count once more what would be deleted: the dataset may have grown since the check."""
        job = self.job
        if job.deletions_confirmed or job.checkpoint.get("deleting"):
            return
        deleted, alive = deletions.unseen(job)
        if question := deletions.question(job, deleted=deleted, of=alive):
            raise RunFailed(
                f"{question} Nothing was deleted; the rows of the file were imported. Confirm the deletions "
                "and retry the job to go on."
            )
        fenced_update(job, checkpoint={**job.checkpoint, "deleting": True})

    def _upsert(self, rows: Any) -> None:
        job = self.job
        upsert(
            dataset=job.dataset,
            rows=rows,
            actor=actor_of(job),
            mapping=self.plan.spec,
            columns=self.plan.columns,
            mode=Mode(job.mode),
            overwrite=job.overwrite_existing,
            stop_on_error=job.stop_on_error,
            batch_size=job.batch_size,
            first_row=self.handed + 1,
            timezone=job.timezone or None,
            on_batch=self._on_batch,
            allow_deletion=rows == (),
            examine=self.examine,
        )

    def _stopped(self, judged: Judged) -> StoppedOnError:
        error = stopped(judged)
        if self.job.successful_records:
            error.detail = error.detail.removesuffix("Nothing was imported.") + (
                f"{self.job.successful_records:,} rows before it had been imported, because other records "
                "changed since the file was checked. Undo the job to take them back."
            )
        return error

    def _on_batch(self, outcome: BatchOutcome, only_if_rows: bool = False) -> None:
        """In the batch's transaction: errors, counters, checkpoint."""
        self.check()
        job = self.job
        if not outcome.removed:
            self._refuse_more_errors()
        settled = self.feed.settle(outcome.rows)
        if only_if_rows and not settled.rows:
            return
        judged = self.judge.judge(settled, outcome)
        problems.store(job, settled, judged)
        now = time.monotonic()
        rows, wrong, skipped = len(settled.rows), len(judged.wrong), len(judged.skipped)
        handed = self.handed + outcome.rows
        processed = job.processed_records + rows
        values: dict[str, Any] = {
            "processed_records": processed,
            "successful_records": job.successful_records + rows - wrong - skipped,
            "failed_records": job.failed_records + wrong,
            "skipped_records": job.skipped_records + outcome.unchanged + skipped,
            "current_record": settled.rows[-1].number if settled.rows else job.current_record,
            "error_count": job.error_count + judged.errors,
            "warning_count": job.warning_count + judged.warnings,
            "duplicate_count": job.duplicate_count + judged.duplicates,
            "checkpoint": {**job.checkpoint, "rows": processed, "handed": handed},
            "processing_seconds": job.processing_seconds + now - self.clock,
            "attempts": 0,
        }
        for name in ("created", "updated", "unchanged", "restored", "deleted"):
            values[f"{name}_count"] = getattr(job, f"{name}_count") + getattr(outcome, name)
        if not job.total_is_exact:
            values["total_records"] = self._total(processed)
        if job.origin_id is None:
            values["origin_id"] = _origin_id(job)
        fenced_update(job, **values)
        self.handed, self.clock = handed, now
        if self._is_unwanted() or self.out_of_time():
            self.feed.stop()

    def _total(self, processed: int) -> int:
        total = self.job.total_records
        position = self.table.position()
        if self.job.file_size > TRUST_POSITION_ABOVE and 0.02 < position <= 1:
            total = round(processed / position)
        return max(total, processed)

    def _is_unwanted(self) -> bool:
        """Whether somebody paused or cancelled the job meanwhile."""
        status = Job.objects.filter(pk=self.job.pk).values_list("status", flat=True).first()
        return status != JobStatus.PROCESSING


def _origin_id(job: Job) -> Any:
    from apps.records.models import Origin

    actor = actor_of(job)
    return (
        Origin.objects.filter(organization_id=job.organization_id, kind=actor.kind, ref=actor.ref)
        .values_list("pk", flat=True)
        .first()
    )


def _verify(job: Job, check: Callable[[], None]) -> None:
    """Try the whole file, and roll back, before the first row is written, where the job asks for it.

    All or nothing: the first wrong row ends the job here. Otherwise only a file in which every row is wrong
    does, as one with the wrong columns is. A file that was checked by a person is not tried again.
    """
    found = None
    if job.stop_on_error:
        found = rehearse(job, stop_on_error=True, check=check)
    elif job.checked_at is None and (job.validate_before_import or _asks_before_deleting(job)):
        found = rehearse(job, check=check)
        if found.wrong and found.wrong == found.rows - found.skipped:
            first = found.last_problems[0].message if found.last_problems else ""
            raise RunFailed(
                f"Every row of the file is wrong, so nothing was imported. The first problem: {first}"
            )
    if found is not None:
        with transaction.atomic():
            files.keep(found.vanishing)
            fenced_update(job, report=found.report(), checked_at=timezone.now())
    if _asks_before_deleting(job) and (question := job.report.get("deletion_question")):
        raise RunFailed(f"{question} Nothing was imported. Confirm the deletions and retry the job.")
    fenced_update(job, checkpoint={**job.checkpoint, "verified": True})


def _asks_before_deleting(job: Job) -> bool:
    return job.mode == Mode.REPLACE and not job.deletions_confirmed


def _rehearse_only(job: Job, check: Callable[[], None]) -> None:
    """A job that is a dry run: the counts of what would happen, and nothing else."""
    found = rehearse(job, check=check)
    with transaction.atomic():
        fenced_update(
            job,
            report=found.report(),
            checked_at=timezone.now(),
            processed_records=found.rows,
            successful_records=found.rows - found.wrong - found.skipped,
            failed_records=found.wrong,
            skipped_records=found.counts["unchanged"] + found.skipped,
            current_record=found.rows,
            error_count=found.errors,
            warning_count=found.warnings,
            duplicate_count=found.duplicates,
            processing_seconds=found.seconds,
            total_records=found.rows,
            total_is_exact=True,
            **{f"{name}_count": count for name, count in found.counts.items()},
        )
        keep_last_problems(job, found)
        files.keep(found.vanishing)
    live.clear(job)


def keep_last_problems(job: Job, found: rehearsals.Rehearsal) -> None:
    """Replace what is kept of the job's problems by what a rehearsal found: the last thousand as rows, the
    wrong rows themselves, and the causes."""
    clear_problems(job)
    findings.store(job, found.found)
    JobError.objects.bulk_create(
        [
            JobError(
                job=job, row=p.row, line=p.line, column=p.column, field=p.field, value=p.value, code=p.code,
                message=p.message, severity=p.severity,
            )
            for p in sorted(found.last_problems, key=lambda problem: problem.row)
        ],
        batch_size=500,
    )  # fmt: skip


def clear_problems(job: Job) -> None:
    """Forget what was wrong: before a run that begins at the first row."""
    JobError.objects.filter(job=job).delete()
    Rejection.objects.filter(job=job).delete()
    Cause.objects.filter(job=job).delete()
    files.remove(job, "rejected", "errors")
