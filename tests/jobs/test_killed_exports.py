"""An export whose worker is killed: nothing half is kept, and the next worker writes the whole."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest
from django.utils import timezone

from apps.jobs.models import Job
from apps.jobs.services import downloads, exports, exports_run, work
from apps.records.selectors import dataset_of
from apps.records.services.upsert import upsert
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA
from tests.jobs.test_killing import wait_until, worker

ROWS = 9_000


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_leaves_no_file_and_the_next_writes_the_whole(monkeypatch) -> None:
    clients = dataset_of(organizations.create(name="Northwind"), "clients")
    rows = [{"external_id": f"C{n:05}", "name": f"Company {n}"} for n in range(ROWS)]
    assert upsert(dataset=clients, rows=rows, actor=ADA).created == ROWS
    monkeypatch.setattr(exports_run, "TOLD_EVERY", 0)
    # A worker that waits where it is, so that it dies in the middle.
    flag = Path(tempfile.mkdtemp()) / "go"
    real = exports_run._Run._look_up

    def slow(run: exports_run._Run, count: int) -> None:
        real(run, count)
        assert wait_until(flag.exists)

    monkeypatch.setattr(exports_run._Run, "_look_up", slow)
    job = exports.create(
        organization=clients.organization, dataset=clients, actor=ADA, columns=["external_id"],
        ordering="external_id", compression="zip", password="correct horse",
    )  # fmt: skip
    pid = worker(job)
    assert wait_until(lambda: Job.objects.get(pk=job.pk).processed_records > 0)
    os.kill(pid, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    job.refresh_from_db()
    assert (job.status, job.artifacts.count(), job.export_password) == ("processing", 0, "correct horse")

    flag.touch()
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())  # the lease of the dead runs out
    assert work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.processed_records, job.export_password) == ("completed", ROWS, None)
    assert downloads.output_of(job).rows == ROWS
