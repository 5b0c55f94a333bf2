"""The end of a run: what became of it, what that means for its schedule, and who hears of it."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.audit.services import entries
from apps.events.services import outbox
from apps.jobs import events
from apps.jobs.models import FetchedFile, Job, JobSchedule, ScheduleRun
from apps.jobs.schedule_statuses import (
    RUN_TRANSITIONS,
    Disposal,
    FetchedStatus,
    RunStatus,
    ScheduleStatus,
)
from apps.jobs.services import deliveries
from apps.jobs.statuses import JobStatus
from apps.kernel.background import enqueue
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM

TASK = "jobs.run_schedule"


def job_ended(job: Job) -> None:
    """A job of a run is over: the run goes on, in the transaction that ends the job."""
    if job.run_id is None:
        return
    run = ScheduleRun.objects.select_related("schedule").filter(pk=job.run_id).first()
    if run is None:
        return
    if job.status == JobStatus.COMPLETED:
        FetchedFile.objects.filter(job=job, disposal=Disposal.WAITING).update(
            disposal=Disposal.DUE, disposal_due_at=timezone.now()
        )
    if run.status == RunStatus.RUNNING:
        go_on(run)


def go_on(run: ScheduleRun) -> None:
    """An import looks for its next file; an export is over."""
    if not run.schedule.is_import:
        finish(run)
        return
    now = timezone.now()
    changed = ScheduleRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(
        status=RunStatus.WAITING, due_at=now
    )
    if changed:
        enqueue(TASK, str(run.pk), queue="jobs")


def finish(run: ScheduleRun) -> None:
    """Close a run by what became of its jobs and files."""
    wrong = [
        f"{job.number} {job.get_status_display().lower()}: {job.status_reason}".rstrip(": ")
        for job in run.jobs.filter(status__in=(JobStatus.FAILED, JobStatus.CANCELLED)).order_by("id")[:20]
    ]
    refused = run.files.filter(status=FetchedStatus.REFUSED).order_by("id")[:20]
    wrong += [f"“{file.path}” was not imported: {file.reason}" for file in refused]
    if wrong:
        close(run, RunStatus.FAILED, " ".join(wrong))
    elif run.schedule.is_import and not run.files.exists():
        close(run, RunStatus.COMPLETED, "There was no new file.")
    else:
        close(run, RunStatus.COMPLETED, "")


@transaction.atomic
def close(run: ScheduleRun, status: RunStatus, reason: str) -> None:
    """End a run. Raises RaceLost if it is over already."""
    now = timezone.now()
    move(run, status, RUN_TRANSITIONS, ended_at=now, reason=reason[:500])
    rows = JobSchedule.objects.filter(pk=run.schedule_id)
    if status != RunStatus.FAILED:
        rows.update(last_run_status=status, consecutive_failures=0)
        return
    rows.update(last_run_status=status, consecutive_failures=F("consecutive_failures") + 1)
    schedule = rows.select_related("organization", "dataset").get()
    paused = _pause_if_hopeless(schedule)
    outbox.publish(
        organization=schedule.organization,
        type="schedule.failed",
        data=events.data_of_run(schedule, run, paused=paused),
        subject=schedule.number,
    )
    # A failed job has told those who asked already; a run without one tells here.
    if paused or not run.jobs.filter(status=JobStatus.FAILED).exists():
        deliveries.owe_run_notice(run, schedule)


def _pause_if_hopeless(schedule: JobSchedule) -> bool:
    """Whether it has failed so often in a row that it is paused now."""
    if not schedule.max_failures or schedule.consecutive_failures < schedule.max_failures:
        return False
    failures = schedule.consecutive_failures
    often = "It failed" if failures == 1 else f"It failed {failures} times in a row"
    reason = f"{often}. Mend the cause, then resume it."
    changed = JobSchedule.objects.filter(pk=schedule.pk, status=ScheduleStatus.ACTIVE).update(
        status=ScheduleStatus.PAUSED, status_reason=reason, next_run_at=None, updated_at=timezone.now()
    )
    if changed:
        schedule.status, schedule.status_reason = ScheduleStatus.PAUSED, reason
        entries.record(
            organization=schedule.organization,
            actor=SYSTEM,
            action="job_schedule.paused",
            target=schedule,
            changes={"status": [ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED], "reason": [None, reason]},
        )
    return bool(changed)
