"""Start, pause, resume, cancel, retry, undo: what a person may do with a job.

Each is one conditional UPDATE through the table of transitions, with its audit entry, and a doorbell.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.models import Job
from apps.jobs.services import fetching, live, run_closing, runs
from apps.jobs.statuses import JOB_TRANSITIONS, JobStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import RaceLost
from apps.kernel.states import move
from apps.records.models import Origin
from apps.records.services import undoing
from apps.records.services.history import UndoResult
from apps.tenants.principals import Actor


def set_off(job: Job, **also: Any) -> None:
    """Hand a job to the workers: its status makes it due, the bell only hurries them."""
    also = {"attempts": 0, "next_run_at": None, "files_tidied_at": None, **also}
    move(job, JobStatus.PROCESSING, JOB_TRANSITIONS, **also)
    enqueue("jobs.run", str(job.pk), queue="jobs")


def _audit(job: Job, actor: Actor, action: str, before: str, **changes: Any) -> None:
    entries.record(
        organization=job.organization,
        actor=actor,
        action=f"job.{action}",
        target=job,
        changes={"status": [before, job.status], **changes},
    )


@transaction.atomic
def pause(*, job: Job, actor: Actor) -> Job:
    """Stop after the batch at hand; `resume` goes on there. Raises RaceLost if it is not running.

    An export begins anew when it goes on: its file shows the records at one moment.
    """
    before = job.status
    move(job, JobStatus.PAUSED, JOB_TRANSITIONS)
    _audit(job, actor, "paused", before)
    return job


@transaction.atomic
def resume(*, job: Job, actor: Actor) -> Job:
    """Go on where it was paused. Raises RaceLost if it is not paused."""
    if job.status != JobStatus.PAUSED:
        raise RaceLost(f"{job.number} is {job.get_status_display().lower()}, not paused.")
    set_off(job)
    _audit(job, actor, "resumed", JobStatus.PAUSED)
    return job


def cancel(*, job: Job, actor: Actor, reason: str = "") -> Job:
    """Stop for good after the batch at hand. What was written stays until it is undone. Raises RaceLost."""
    live.cancel(job)  # a check in one long transaction hears of it before the status can be changed
    with transaction.atomic():
        before = job.status
        move(
            job,
            JobStatus.CANCELLED,
            JOB_TRANSITIONS,
            completed_at=timezone.now(),
            status_reason=reason[:500],
            next_run_at=None,
            export_password=None,
        )
        _audit(job, actor, "cancelled", before, reason=[None, reason] if reason else [None, None])
        run_closing.job_ended(job)
    live.clear(job)
    return job


@transaction.atomic
def retry(*, job: Job, actor: Actor, confirm_deletions: bool = False) -> Job:
    """Take up a failed or cancelled job where it ended; after an undo from the first row, as a new run.

    `confirm_deletions` agrees to what a “replace all” stopped for. A job that stopped after so many errors
    goes on until there are as many again.
    """
    before = job.status
    if before not in (JobStatus.FAILED, JobStatus.CANCELLED):
        raise RaceLost(
            f"{job.number} is {job.get_status_display().lower()}; only failed or cancelled jobs are retried."
        )
    if job.is_import and not job.file_path:
        fetching.again(job)
        _audit(job, actor, "retried", before)
        return job
    if job.is_import and job.configured_at is None:
        raise NotReady(f"The columns of {job.number} are not matched yet.")
    if job.export_settings.get("has_password") and not job.export_password:
        raise NotReady(f"The password of {job.number} was forgotten when it ended. Order the export anew.")
    also: dict[str, Any] = {
        "completed_at": None,
        "status_reason": "",
        "checkpoint": {**job.checkpoint, "forgiven": job.failed_records},
    }
    if confirm_deletions:
        also["deletions_confirmed"] = True
    if job.origin is not None and undoing.at_work(job.origin) is not None:
        raise NotReady(f"What {job.number} wrote is being taken back. Wait until that has ended.")
    if job.undone_at is not None or not job.processed_records:
        runs.clear_problems(job)
        also |= runs.ZERO_COUNTERS | {"started_at": None}
    if job.undone_at is not None:
        also |= {"undone_at": None, "origin_id": None, "generation": job.generation + 1}
    live.clear(job)
    set_off(job, **also)
    job.artifacts.filter(kind="source").update(expires_at=None)
    confirmed: dict[str, Any] = {"deletions_confirmed": [False, True]} if confirm_deletions else {}
    _audit(job, actor, "retried", before, **confirmed)
    return job


def undoable_until(job: Job) -> datetime | None:
    """When undo is no longer offered; None while the import has not ended."""
    if job.completed_at is None:
        return None
    return job.completed_at + timedelta(days=settings.HUB_IMPORT_UNDO_DAYS)


def undo(*, job: Job, actor: Actor, dry_run: bool = False) -> UndoResult:
    """Take back everything that the job wrote, except where somebody changed a record later (listed).

    With `dry_run` the result only foretells. Much is taken back in the background: the result then tells how
    far that is, as it does when asked again. Raises NotReady while it runs, if there is nothing to undo, or
    after the days for which undo is offered.
    """
    if not job.is_import:
        raise NotReady("An export changes nothing that could be undone.")
    if job.is_working or job.lease_owner:
        raise NotReady(f"{job.number} is still at work. Pause or cancel it first.")
    if job.origin is None or job.undone_at is not None:
        raise NotReady(
            f"{job.number} has been undone already."
            if job.undone_at
            else f"{job.number} has written nothing."
        )
    until = undoable_until(job)
    if until is not None and until < timezone.now():
        days = settings.HUB_IMPORT_UNDO_DAYS
        raise NotReady(
            f"{job.number} could be undone for {days} {'day' if days == 1 else 'days'}, until "
            f"{until:%Y-%m-%d %H:%M} UTC."
        )
    result = undoing.undo(origin=job.origin, actor=actor, dry_run=dry_run)
    if dry_run:
        return result
    if result.in_background:
        with transaction.atomic():
            _leave(job)
        return result
    with transaction.atomic():
        _leave(job)
        note_undone(job, actor, result)
    return result


def _leave(job: Job) -> None:
    """A paused job does not go on with what is taken back."""
    if job.status == JobStatus.PAUSED:
        move(job, JobStatus.CANCELLED, JOB_TRANSITIONS, completed_at=timezone.now())


def note_undone(job: Job, actor: Actor, result: UndoResult) -> None:
    """What was taken back, on the job, in the caller's transaction."""
    now = timezone.now()
    changed = {"undone_at": now} if not result.refused else {}
    summary = {
        **job.summary,
        "undo": {"reverted": result.reverted, "refused": result.refused, "at": now.isoformat()},
    }
    Job.objects.filter(pk=job.pk).update(summary=summary, updated_at=now, **changed)
    job.summary = summary
    job.undone_at = changed.get("undone_at")
    _audit(job, actor, "undone", job.status, reverted=[None, result.reverted], refused=[None, result.refused])


def origin_undone(origin: Origin, actor: Actor, result: UndoResult) -> None:
    """The background has taken back what a job wrote."""
    job = Job.objects.select_related("organization").filter(origin=origin).first()
    if job is not None:
        note_undone(job, actor, result)
