"""Pause, resume, cancel, retry; workers that meet; bells that nobody heard."""

from __future__ import annotations

import contextlib
import datetime
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.jobs.errors import NotReady
from apps.jobs.models import Job, JobArtifact, JobError, Rejection
from apps.jobs.services import control, imports, storage, sweeps, work
from apps.kernel.errors import NotFound, RaceLost
from apps.kernel.leases import claim
from apps.records import selectors
from apps.records.models import Change
from apps.records.services import datasets
from tests.jobs.conftest import ADA, checked, configured, run, work_on
from tests.jobs.dumps import dump

TEN = "external_id,name\n" + "".join(f"C{n},Client {n}\n" for n in range(1, 11))


def keys(dataset: Any) -> list[str]:
    return sorted(selectors.live(dataset).values_list("key", flat=True))


@contextlib.contextmanager
def when_batch_is_settled(number: int, deed: Callable[[], Any]) -> Iterator[None]:
    """Have something happen just when the batch of this number writes its checkpoint, in its transaction."""
    seen = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if sql.startswith('UPDATE "jobs_job"') and '"checkpoint" =' in sql and '"processed_records" =' in sql:
            seen.append(sql)
            if len(seen) == number:
                deed()
        return result

    with connection.execute_wrapper(watch):
        yield


def test_a_paused_import_goes_on_where_it_was(upload, clients) -> None:
    job = configured(upload(TEN), batch_size=2, validate_before_import=False)
    imports.start(job=job, actor=ADA)
    with when_batch_is_settled(2, lambda: control.pause(job=Job.objects.get(pk=job.pk), actor=ADA)):
        job = work_on(job)
    assert job.status == "paused"
    assert job.lease_owner == ""
    done = job.processed_records
    assert 4 <= done < 10
    assert len(keys(clients)) == done
    assert not work.take(job_id=job.pk)

    control.resume(job=job, actor=ADA)
    job = work_on(job)

    assert (job.status, job.processed_records, job.created_count) == ("completed", 10, 10)
    assert len(keys(clients)) == 10
    assert Change.objects.count() == 10


def test_a_cancelled_import_stops_and_can_be_taken_back(upload, clients) -> None:
    job = configured(upload(TEN), batch_size=2, validate_before_import=False)
    imports.start(job=job, actor=ADA)
    with when_batch_is_settled(1, lambda: control.cancel(job=Job.objects.get(pk=job.pk), actor=ADA)):
        job = work_on(job)
    assert job.status == "cancelled"
    written = job.created_count
    assert 2 <= written < 10

    assert control.undo(job=job, actor=ADA).reverted == written
    assert keys(clients) == []
    job.refresh_from_db()
    control.retry(job=job, actor=ADA)
    job = work_on(job)

    assert (job.status, job.processed_records, job.created_count, job.restored_count) == (
        "completed",
        10,
        10 - written,
        written,
    )
    assert job.run_ref == f"{job.number}/2"
    assert control.undo(job=job, actor=ADA).reverted == 10
    assert keys(clients) == []


def test_a_job_that_runs_out_of_time_goes_on_at_the_next_bell(upload, clients) -> None:
    job = configured(upload(TEN), batch_size=1, validate_before_import=False)
    imports.start(job=job, actor=ADA)
    rounds = 0
    while Job.objects.get(pk=job.pk).status == "processing":
        assert work.take(job_id=job.pk, budget=0)
        rounds += 1
    job.refresh_from_db()
    assert rounds > 2
    assert (job.status, job.processed_records, job.created_count) == ("completed", 10, 10)


def test_two_workers_never_have_one_job(upload) -> None:
    job = configured(upload(TEN))
    imports.start(job=job, actor=ADA)
    claim(Job.objects.due().filter(pk=job.pk), owner="another", seconds=60)
    assert not work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.processed_records, job.lease_owner) == ("processing", 0, "another")


def test_a_worker_that_lost_its_lease_writes_nothing_more(upload, clients) -> None:
    """It was stopped for longer than its lease, and another took over: its next batch is rolled back."""
    job = configured(upload(TEN), batch_size=2, validate_before_import=False)
    imports.start(job=job, actor=ADA)

    def take_over() -> None:
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - datetime.timedelta(seconds=1))
        claim(Job.objects.due().filter(pk=job.pk), owner="another", seconds=60)

    with when_batch_is_settled(2, take_over):
        job = work_on(job)
    assert (job.status, job.processed_records, job.lease_owner) == ("processing", 4, "another")
    assert keys(clients) == ["C1", "C2", "C3", "C4"]


def test_a_failed_import_goes_on_after_its_cause_is_gone(upload, clients) -> None:
    job = configured(upload(TEN), batch_size=2, validate_before_import=False)
    imports.start(job=job, actor=ADA)
    with storage.opened(job.file_path) as file:
        data = file.read()
    storage.delete(job.file_path)
    job = work_on(job)
    assert (job.status, job.status_reason) == (
        "failed",
        "The file is no longer stored: its time has run out. Upload it again.",
    )
    storage.save(job, job.filename, io.BytesIO(data))
    control.retry(job=job, actor=ADA)
    job = work_on(job)
    assert (job.status, job.created_count, job.status_reason) == ("completed", 10, "")


def test_a_job_that_kills_its_workers_is_given_up(upload) -> None:
    job = configured(upload(TEN))
    imports.start(job=job, actor=ADA)
    Job.objects.filter(pk=job.pk).update(attempts=work.MAX_ATTEMPTS)
    job = work_on(job)
    assert job.status == "failed"
    assert "interrupted 5 times" in job.status_reason


@pytest.mark.parametrize("deed", [control.pause, control.resume, control.retry])
def test_deeds_that_make_no_sense_are_refused(upload, deed) -> None:
    job = configured(upload(TEN))
    with pytest.raises(RaceLost):
        deed(job=job, actor=ADA)
    assert Job.objects.get(pk=job.pk).status == "pending"


def test_a_running_job_is_not_undone(upload) -> None:
    job = configured(upload(TEN))
    imports.start(job=job, actor=ADA)
    with pytest.raises(NotReady):
        control.undo(job=job, actor=ADA)


def test_every_deed_leaves_an_audit_entry(upload) -> None:
    job = run(configured(upload(TEN)))
    control.undo(job=job, actor=ADA)
    entries = AuditEntry.objects.filter(object_ref=job.number).order_by("sequence")
    assert [entry.action for entry in entries] == [
        "job.created",
        "job.configured",
        "job.started",
        "job.undone",
    ]
    assert {entry.actor_label for entry in entries} == {"Ada Lovelace"}


def test_the_sweep_rings_for_jobs_whose_bell_was_lost(upload) -> None:
    job = configured(upload(TEN))
    imports.start(job=job, actor=ADA)
    assert sweeps.sweep() == 1
    assert sweeps.sweep() == 0  # rung a moment ago
    claim(Job.objects.due().filter(pk=job.pk), owner="another", seconds=60)
    cache.clear()
    assert sweeps.sweep() == 0  # somebody is at it


def test_scheduled_imports_start_when_their_time_has_come(upload) -> None:
    now = timezone.now()
    late, early = configured(upload(TEN)), configured(upload(TEN))
    Job.objects.filter(pk=late.pk).update(is_scheduled=True, next_run_at=now - datetime.timedelta(minutes=1))
    Job.objects.filter(pk=early.pk).update(is_scheduled=True, next_run_at=now + datetime.timedelta(minutes=9))
    assert sweeps.sweep() == 1
    assert Job.objects.get(pk=late.pk).status == "processing"
    assert Job.objects.get(pk=early.pk).status == "pending"


def test_files_go_when_their_time_is_over(upload) -> None:
    job = run(configured(upload(TEN + "C11\n")))
    assert JobArtifact.objects.filter(job=job).count() == 3
    JobArtifact.objects.filter(job=job).update(expires_at=timezone.now() - datetime.timedelta(days=1))
    assert sweeps.discard_expired() == 3
    with pytest.raises(NotFound), storage.opened(job.file_path):
        pass
    assert JobArtifact.objects.filter(job=job).count() == 0
    assert Rejection.objects.filter(job=job).count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_check_leaves_the_database_as_it_was(upload, clients) -> None:
    wrong = TEN + "C11\nC1,Renamed\n,nameless\nC12,Good\n"
    run(configured(upload("external_id,name\nC1,Old\nC3,Client 3\nGONE,Gone\n")))
    for mode in ("upsert", "create", "update", "replace"):
        job = configured(upload(wrong), mode=mode, batch_size=3)
        before = dump()
        job = checked(job)
        assert job.report["rows"] == 14
        after = dump()
        assert {table for table in before if before[table] != after[table]} == set(), mode

        stopping = configured(upload(wrong), mode=mode, stop_on_error=True, skip_errors=False, batch_size=3)
        imports.start(job=stopping, actor=ADA)
        before = dump()
        stopping = work_on(stopping)
        assert stopping.status == "failed"
        after = dump()
        changed = {table for table in before if before[table] != after[table]}
        assert changed == {"events_event"}, mode  # job.failed


def test_only_the_last_thousand_errors_are_kept_as_rows_and_all_in_the_file(upload) -> None:
    lines = "".join(f"C{n},Client {n},nonsense\n" for n in range(1, 1501)) + "C0,Zero,z@example.com\n"
    job = run(configured(upload("external_id,name,email\n" + lines), batch_size=400))
    assert (job.failed_records, job.error_count, job.created_count) == (1500, 1500, 1)
    kept = JobError.objects.filter(job=job)
    assert kept.count() == 1000
    assert (kept.first().row, kept.last().row) == (501, 1500)
    assert job.artifacts.get(kind="errors").rows == 1500
    assert job.artifacts.get(kind="rejected").rows == 1500


def test_a_file_of_nothing_but_unreadable_rows_is_settled_in_parts(upload) -> None:
    ragged = "external_id,name\n" + "".join(f"C{n}\n" for n in range(50)) + "C99,Good\n" + "C100\n" * 30
    job = run(configured(upload(ragged), batch_size=7, validate_before_import=False))
    assert (job.status, job.processed_records, job.failed_records, job.created_count) == (
        "completed",
        81,
        80,
        1,
    )
    assert job.artifacts.get(kind="rejected").rows == 80


def test_a_sensitive_value_is_masked_wherever_it_is_told(organization, upload) -> None:
    dataset = datasets.define(
        organization=organization,
        slug="accounts",
        name="Accounts",
        key_field="number",
        title_field="number",
        fields=[
            {"name": "number", "type": "text", "required": True, "unique": True},
            {"name": "pin", "type": "integer", "sensitive": True},
        ],
        actor=ADA,
    )
    good, bad = "number,pin\nA1,4711\n", "number,pin\nA1,4712\nA2,secret-pin\nA3\n"
    run(configured(upload(good, dataset=dataset)))
    job = checked(configured(upload(bad, dataset=dataset)))
    assert "secret-pin" not in str(job.report)
    assert "4711" not in str(job.report)
    assert "4712" not in str(job.report)
    job = run(job)
    for error in JobError.objects.filter(job=job):
        assert "secret-pin" not in error.message + error.value
    with storage.opened(job.artifacts.get(kind="errors").file_path) as file:
        assert b"secret-pin" not in file.read()


def test_undo_is_offered_for_some_days_only(upload, clients, settings) -> None:
    settings.HUB_IMPORT_UNDO_DAYS = 3
    job = run(configured(upload(TEN)))
    late = timezone.now() - datetime.timedelta(days=3, minutes=1)
    Job.objects.filter(pk=job.pk).update(completed_at=late)
    job.refresh_from_db()
    with pytest.raises(NotReady, match="could be undone for 3 days"):
        control.undo(job=job, actor=ADA)
    assert len(keys(clients)) == 10
    Job.objects.filter(pk=job.pk).update(completed_at=late + datetime.timedelta(minutes=5))
    job.refresh_from_db()
    assert control.undo(job=job, actor=ADA).reverted == 10
    assert keys(clients) == []
