"""Runs of schedules: started by the clock, carried out by workers, closed when their last job is over.

An export's run makes its job in the transaction in which it begins. An import's run takes one file after the
other, the oldest first: file, job and the note that the file was taken are one transaction, so that whoever
is killed has taken a file or has not.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from apps.jobs.models import Job, JobSchedule, ScheduleRun
from apps.jobs.schedule_statuses import (
    OPEN_RUNS,
    RUN_TRANSITIONS,
    RunStatus,
    ScheduleStatus,
    ScheduleType,
)
from apps.jobs.services import exports, run_closing, schedules, taking
from apps.jobs.services.run_closing import TASK
from apps.jobs.statuses import FINISHED
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError, RaceLost
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, free, owner_name, release
from apps.kernel.states import move
from apps.kernel.timetables import caught_up
from apps.tenants.principals import Actor

logger = logging.getLogger(__name__)

BATCH = 200
LEASE = 120.0
RETRIES = (60, 300, 900, 3600)
"""Seconds after which a run tries its source again; then it has failed."""


def start_due(now: datetime | None = None) -> int:
    """Start every schedule whose time has come; returns how many. Doing it twice, or in two places, is safe.

    What was missed while nothing ran is caught up once.
    """
    now = now or timezone.now()
    started = 0
    for schedule in JobSchedule.objects.due(now).select_related("organization")[:BATCH]:
        try:
            started += _start(schedule, now)
        except Exception:
            logger.exception("%s could not be started", schedule)
    return started


def _start(schedule: JobSchedule, now: datetime) -> bool:
    """One conditional UPDATE moves the schedule on; the run is written in its transaction."""
    due = schedule.next_run_at
    assert due is not None
    following = caught_up(schedule.timetable, due, now)
    once = schedule.schedule_type == ScheduleType.ONCE
    also = {"status": ScheduleStatus.FINISHED, "status_reason": "It has run."} if once else {}
    with transaction.atomic():
        mine = JobSchedule.objects.filter(pk=schedule.pk, status=ScheduleStatus.ACTIVE, next_run_at=due)
        if not mine.update(next_run_at=following, last_run_at=now, updated_at=now, **also):
            return False
        run = ScheduleRun(schedule=schedule, scheduled_for=due)
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            if not schedule.runs.filter(status__in=OPEN_RUNS).exists():
                return False  # this very time was started before
            run.status, run.ended_at = RunStatus.SKIPPED, now
            run.reason = "The run before it was not over."
            run.save(force_insert=True)
            JobSchedule.objects.filter(pk=schedule.pk).update(last_run_status=RunStatus.SKIPPED)
            return False
        enqueue(TASK, str(run.pk), queue="jobs")
    return True


def wake() -> int:
    """Ring for runs that are due and nobody works on, also those whose jobs ended unheard."""
    now = timezone.now()
    due = ScheduleRun.objects.filter(free(now), status=RunStatus.WAITING, due_at__lte=now)
    keys = list(due.order_by("due_at").values_list("pk", flat=True)[:BATCH])
    left = ScheduleRun.objects.filter(
        status=RunStatus.RUNNING, started_at__lt=now - timedelta(minutes=1)
    ).exclude(jobs__in=Job.objects.exclude(status__in=FINISHED).filter(run__isnull=False))
    for run in left.select_related("schedule")[:BATCH]:
        run_closing.go_on(run)
        keys.append(run.pk)
    for key in keys:
        enqueue(TASK, str(key), queue="jobs")
    return len(keys)


def take(*, run_id: UUID | str) -> bool:
    """Work on a run that is due; false if there is nothing to do or somebody else is at it."""
    due = ScheduleRun.objects.filter(pk=run_id, status=RunStatus.WAITING, due_at__lte=timezone.now())
    found = due.select_related("schedule__organization", "schedule__dataset", "schedule__source")
    claimed = claim(found, owner=owner_name(), seconds=LEASE)
    if not claimed:
        return False
    run = claimed[0]
    with Heartbeat(run, LEASE) as heartbeat:
        try:
            if run.schedule.is_import:
                taking.take_next(run, actor_of(run), check=heartbeat.check)
            else:
                _export(run)
        except (LeaseLost, RaceLost) as lost:
            logger.info("%s was left: %s", run, lost.detail)
        except HubError as error:
            _failed(run, error)
        except Exception:
            logger.exception("%s failed unexpectedly", run)
            _end_failed(run, "An unexpected error ended the run; its details are in the server's log.")
    release(run)
    return True


def actor_of(run: ScheduleRun) -> Actor:
    """The schedule as the one who orders its jobs."""
    schedule = run.schedule
    return Actor("system", schedule.number, f"Schedule {schedule.number} {schedule.name}"[:200])


@transaction.atomic
def _export(run: ScheduleRun) -> None:
    schedule = run.schedule
    template = schedule.export_template
    options = schedule.export_options if template is None else template.options
    fenced_update(run, started_at=timezone.now())
    move(run, RunStatus.RUNNING, RUN_TRANSITIONS)
    job = exports.create(
        organization=schedule.organization,
        dataset=schedule.dataset,
        actor=actor_of(run),
        notifications=schedule.notifications,
        destinations=schedules.described(schedule),
        **{**options, "name": schedule.name},
    )
    taking.adopt(job, run)


def _failed(run: ScheduleRun, error: HubError) -> None:
    """A transient error is tried again, some times; any other ends the run."""
    if not error.transient or run.attempts >= len(RETRIES):
        _end_failed(run, error.detail)
        return
    wait = RETRIES[run.attempts]
    try:
        fenced_update(
            run,
            attempts=F("attempts") + 1,
            due_at=timezone.now() + timedelta(seconds=wait),
            reason=f"Tried again in {wait // 60} min: {error.detail}"[:500],
        )
    except LeaseLost as lost:
        logger.info("%s was left: %s", run, lost.detail)


def _end_failed(run: ScheduleRun, reason: str) -> None:
    try:
        run_closing.close(run, RunStatus.FAILED, reason)
    except RaceLost as lost:
        logger.info("%s was left: %s", run, lost.detail)
