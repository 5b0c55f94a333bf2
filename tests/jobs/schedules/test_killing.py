"""Whoever carries out a schedule's time is killed, at each step of it: it runs exactly once all the same."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.jobs.models import Job, JobDelivery, JobSchedule, ScheduleRun
from apps.jobs.services import exports, run_closing, schedule_runs, taking
from tests.jobs.schedules.conftest import put, work_off
from tests.jobs.test_killing import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def carry_out() -> None:
    """What the scheduler and a worker do for all that is due."""
    schedule_runs.start_due()
    for run in ScheduleRun.objects.filter(status="waiting"):
        schedule_runs.take(run_id=run.pk)


def killed_at(module: Any, name: str, flag: Path, monkeypatch: Any) -> None:
    """A process that carries out what is due, killed when it calls this."""
    real = getattr(module, name)

    def hang(*arguments: Any, **named: Any) -> Any:
        flag.touch()
        wait_until(lambda: False, 60)
        return real(*arguments, **named)

    monkeypatch.setattr(module, name, hang)
    connections.close_all()
    pid = os.fork()
    if not pid:
        try:
            carry_out()
        finally:
            os._exit(1)
    try:
        assert wait_until(flag.exists)
    finally:
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("module", "name", "moved", "runs"),
    [
        # The schedule is claimed, its run not yet committed.
        (schedule_runs, "enqueue", False, 0),
        # Committed; no worker has it yet.
        (schedule_runs, "claim", True, 1),
        # A worker has the run; the job is not made.
        (exports, "create", True, 1),
        # The job is made, its transaction not committed.
        (taking, "adopt", True, 1),
    ],
)
def test_an_export_runs_once(
    scheduled: Any, tmp_path: Path, monkeypatch: Any, module: Any, name: str, moved: bool, runs: int
) -> None:
    schedule = scheduled()
    due = timezone.now() - timedelta(minutes=1)
    JobSchedule.objects.filter(pk=schedule.pk).update(next_run_at=due)

    killed_at(module, name, tmp_path / "reached", monkeypatch)

    schedule.refresh_from_db()
    assert (schedule.next_run_at != due) is moved
    assert (ScheduleRun.objects.count(), Job.objects.count()) == (runs, 0)
    all_runs_once(schedule, due)


def test_an_import_takes_each_file_once(
    scheduled: Any, sftp: Any, sftp_place: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    put(sftp.folder / "in", "one.csv", "external_id,name\nC1,One\n")
    schedule = scheduled("import", source=sftp_place, source_path="in")
    due = timezone.now() - timedelta(minutes=1)
    JobSchedule.objects.filter(pk=schedule.pk).update(next_run_at=due)

    killed_at(taking, "_note", tmp_path / "reached", monkeypatch)

    assert (ScheduleRun.objects.count(), Job.objects.count(), schedule.fetched.count()) == (1, 0, 0)
    all_runs_once(schedule, due)
    assert schedule.fetched.count() == 1


def all_runs_once(schedule: JobSchedule, due: Any) -> None:
    """What goes on after the kill, though several act."""
    ScheduleRun.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now())
    for _ in range(2):
        carry_out()
        schedule_runs.wake()
    run = work_off(ScheduleRun.objects.get())
    carry_out()
    assert (run.scheduled_for, run.status, run.reason) == (due, "completed", "")
    job = Job.objects.get()
    assert (job.status, job.run_id, job.is_scheduled) == ("completed", run.pk, True)
    assert JobDelivery.objects.count() == 0
    schedule.refresh_from_db()
    assert (schedule.last_run_status, schedule.consecutive_failures) == (run_closing.RunStatus.COMPLETED, 0)
