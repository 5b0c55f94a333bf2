"""What a worker does with a job: take its lease, do the work, leave it in a state that tells the truth."""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from apps.events.services import outbox
from apps.jobs import events
from apps.jobs.models import Job, JobArtifact, JobError
from apps.jobs.services import deliveries, exports_run, fetching, files, live, run_closing, runs, summaries
from apps.jobs.services.rehearsals import Cancelled, StoppedOnError, rehearse
from apps.jobs.statuses import JOB_TRANSITIONS, ArtifactKind, JobStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError, RaceLost
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, owner_name, release
from apps.kernel.states import move

logger = logging.getLogger(__name__)

LEASE = 60.0
"""Seconds without a sign of life after which another worker goes on."""
BUDGET = 600.0
"""Seconds at one job in one go, well below the time limit of tasks; the next bell goes on."""
FETCH_ATTEMPTS = 3
MAX_ATTEMPTS = 5
"""How often a job is taken up without getting one batch further before it is given up."""


def take(*, job_id: UUID | str, budget: float = BUDGET) -> bool:
    """Work on a job that is due; false if there is nothing to do or somebody else is at it.

    Never raises for what is wrong with the job or its file: that becomes the job's state.
    """
    due = Job.objects.due().filter(pk=job_id)
    due = due.select_related("organization", "dataset__organization", "source__organization")
    claimed = claim(due, owner=owner_name(), seconds=LEASE)
    if not claimed:
        return False
    job = claimed[0]
    again = False
    with Heartbeat(job, LEASE) as heartbeat:
        try:
            fenced_update(job, attempts=F("attempts") + 1)
            job.refresh_from_db(fields=["attempts"])
            again = _work(job, heartbeat, time.monotonic() + budget)
        except (LeaseLost, RaceLost) as lost:
            logger.info("%s was left: %s", job, lost.detail)
        except HubError as error:
            again = _failed(job, error)
        except DatabaseError as error:
            logger.warning("%s is interrupted by the database: %s", job, type(error).__name__)
        except Exception:
            logger.exception("%s failed unexpectedly", job)
            fail(job, "An unexpected error ended the job; its details are in the server's log.")
    release(job)
    if again:
        enqueue("jobs.run", str(job.pk), queue="jobs")
    return True


def _work(job: Job, heartbeat: Heartbeat, until: float) -> bool:
    """Do what the job's status asks for. True if the budget ended first."""
    if job.attempts > MAX_ATTEMPTS:
        fail(
            job, f"The job was interrupted {MAX_ATTEMPTS} times in a row at the same place and was given up."
        )
        return False
    if job.status == JobStatus.VALIDATING:
        _validate(job)
        return False
    if job.status == JobStatus.FETCHING:
        _fetch(job, heartbeat)
        return False

    def out_of_time() -> bool:
        return time.monotonic() > until

    if job.is_import:
        if not runs.run(job, out_of_time=out_of_time, check=heartbeat.check):
            return _status(job) == JobStatus.PROCESSING
        complete(job, files.write_problem_files(job))
    else:
        output = exports_run.run(job, check=heartbeat.check)
        if output is not None:
            complete(job, [output])
    return False


def _status(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


def _validate(job: Job) -> None:
    """The check: rehearse, report, and back to pending."""
    try:
        found = rehearse(job)
    except Cancelled:
        live.clear(job)
        with transaction.atomic():
            Job.objects.filter(pk=job.pk, status=JobStatus.VALIDATING).update(status=JobStatus.PENDING)
        return
    with transaction.atomic():
        fenced_update(
            job, report=found.report(), checked_at=timezone.now(), attempts=0,
            total_records=found.rows, total_is_exact=True,
        )  # fmt: skip
        runs.keep_last_problems(job, found)
        files.keep(found.vanishing)
        move(job, JobStatus.PENDING, JOB_TRANSITIONS)
    live.clear(job)


def _fetch(job: Job, heartbeat: Heartbeat) -> None:
    """Bring the file; who is down is tried a few times, since a person waits for it."""
    try:
        fetching.fetch_for(job, check=heartbeat.check)
    except HubError as error:
        if not error.transient or job.attempts < FETCH_ATTEMPTS:
            raise
        fail(job, error.detail)
    finally:
        live.clear(job)


def _failed(job: Job, error: HubError) -> bool:
    """A transient error is tried again by the sweep; any other ends the job."""
    if error.transient:
        logger.warning("%s is interrupted: %s", job, error.detail)
        return False
    if isinstance(error, StoppedOnError):
        with transaction.atomic():
            JobError.objects.filter(job=job).delete()
            JobError.objects.bulk_create(
                JobError(
                    job=job, row=p.row, line=p.line, column=p.column, field=p.field, value=p.value,
                    code=p.code, message=p.message, severity=p.severity,
                )
                for p in error.judged.problems
            )  # fmt: skip
    fail(job, error.detail)
    return False


def complete(job: Job, made: list[JobArtifact]) -> None:
    """The end was reached: files, state and event in one transaction.

    Raises RaceLost if the job was paused or cancelled at the last moment; going on finishes it then.
    """
    with transaction.atomic():
        files.keep(made)
        fenced_update(job, summary=summaries.of(job), attempts=0, export_password=None)
        move(job, JobStatus.COMPLETED, JOB_TRANSITIONS, completed_at=timezone.now(), status_reason="")
        if job.is_import:
            _let_source_expire(job)
        _tell(job)


def fail(job: Job, reason: str) -> None:
    """End the job as failed (or, from a check, as pending with the reason), unless somebody was faster."""
    try:
        if job.status == JobStatus.VALIDATING:
            report = {"failed": reason, "at": timezone.now().isoformat()}
            with transaction.atomic():
                fenced_update(job, report=report, checked_at=timezone.now(), attempts=0)
                move(job, JobStatus.PENDING, JOB_TRANSITIONS)
            return
        with transaction.atomic():
            fenced_update(job, status_reason=reason[:500], attempts=0, export_password=None)
            move(job, JobStatus.FAILED, JOB_TRANSITIONS, completed_at=timezone.now())
            fenced_update(job, summary=summaries.of(job))
            if job.is_import:
                _let_source_expire(job)
            _tell(job)
    except RaceLost as lost:
        logger.info("%s was left: %s", job, lost.detail)


def _let_source_expire(job: Job) -> None:
    JobArtifact.objects.filter(job=job, kind=ArtifactKind.SOURCE).update(
        expires_at=files.expiry(files.KEPT_DAYS)
    )


def _tell(job: Job) -> None:
    """The event, what is owed for the job's end, and its run's going on: in the transaction of that end."""
    data: dict[str, Any] = events.data_of(job)
    outbox.publish(
        organization=job.organization,
        type=f"job.{job.status}",
        data=data,
        subject=job.number,
        even_if_unheard=True,
    )
    deliveries.owe(job)
    run_closing.job_ended(job)
