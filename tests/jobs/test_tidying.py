"""Nothing stays in the file storage that no row names, whatever ended in between."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import control, exports, storage, sweeps, tidying, uploads, work
from tests.jobs.conftest import ADA, configured, run, work_on

WRONG = "external_id,name,email\nC1,One,one@example.com\nC2,Two,nonsense\n"
HOUR = timedelta(hours=1, minutes=1)

pytestmark = pytest.mark.django_db


def named(job: Job) -> list[str]:
    return sorted(JobArtifact.objects.filter(job=job).values_list("file_path", flat=True))


def an_hour_passes(job: Job) -> None:
    """For the job and for every file that is stored for it."""
    before = timezone.now() - HOUR
    Job.objects.filter(pk=job.pk).update(updated_at=before)
    for path in storage.stored_of(job):
        os.utime(default_storage.path(path), (before.timestamp(), before.timestamp()))


def test_a_second_run_takes_the_files_of_the_first_out_of_the_storage(
    upload: Any, django_capture_on_commit_callbacks: Any
) -> None:
    job = run(configured(upload(WRONG)))
    first = named(job)
    assert len(first) == 3
    control.undo(job=job, actor=ADA)
    Job.objects.filter(pk=job.pk).update(status="failed")
    job.refresh_from_db()
    control.retry(job=job, actor=ADA)
    with django_capture_on_commit_callbacks(execute=True):
        job = work_on(job)

    assert job.generation == 2
    assert sorted(storage.stored_of(job)) == named(job)
    assert len({*named(job)} - {*first}) == 2


def test_an_export_that_is_cancelled_at_the_last_moment_leaves_no_file(
    organization: Any, clients: Any, monkeypatch: Any
) -> None:
    job = exports.create(organization=organization, dataset=clients, actor=ADA)
    complete = work.complete

    def too_late(at_work: Job, made: list[JobArtifact]) -> None:
        control.cancel(job=Job.objects.get(pk=at_work.pk), actor=ADA)
        complete(at_work, made)

    monkeypatch.setattr(work, "complete", too_late)
    job = work_on(job)
    assert (job.status, named(job)) == ("cancelled", [])
    assert len(storage.stored_of(job)) == 1

    assert tidying.tidy() == 0  # it might be about to be named
    an_hour_passes(job)
    assert tidying.tidy() == 1
    assert storage.stored_of(job) == []
    assert not default_storage.exists(storage.folder(job))
    assert tidying.tidy() == 0


def test_what_rows_name_and_what_is_being_written_stays(upload: Any, organization: Any, clients: Any) -> None:
    job = run(configured(upload(WRONG)))
    an_hour_passes(job)
    fresh = f"{storage.folder(job)}/just-now.csv"
    with default_storage.open(fresh, "wb") as file:
        file.write(b"x")
    exporting = exports.create(organization=organization, dataset=clients, actor=ADA)
    an_hour_passes(exporting)

    assert tidying.tidy() == 0
    assert sorted(storage.stored_of(job)) == sorted([*named(job), fresh])
    assert {*Job.objects.filter(files_tidied_at=None)} == {job, exporting}
    an_hour_passes(job)
    assert tidying.tidy() == 1
    assert sorted(storage.stored_of(job)) == named(job)
    assert Job.objects.get(files_tidied_at=None) == exporting


def test_a_file_whose_time_is_over_goes_though_the_process_dies_between_row_and_file(
    upload: Any, monkeypatch: Any
) -> None:
    job = run(configured(upload(WRONG)))
    an_hour_passes(job)
    assert (tidying.tidy(), JobArtifact.objects.count()) == (0, 3)
    JobArtifact.objects.update(expires_at=timezone.now())

    def dies(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "delete", dies)
    with pytest.raises(KeyboardInterrupt):
        sweeps.discard_expired()
    monkeypatch.undo()
    assert (JobArtifact.objects.count(), len(storage.stored_of(job))) == (2, 3)
    assert sweeps.discard_expired() == 2
    assert tidying.tidy() == 1
    assert not default_storage.exists(storage.folder(job))


def test_an_upload_whose_process_dies_leaves_no_file(upload: Any, monkeypatch: Any) -> None:
    kept = upload(WRONG)

    def dies(*arguments: Any) -> None:
        os._exit(9)

    monkeypatch.setattr(uploads, "_create", dies)
    pid = os.fork()
    if not pid:
        upload(WRONG)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    everywhere = storage.folder_of_all(kept.organization_id)
    assert len(storage.stored_in(everywhere)[0]) == 2

    assert tidying.forsaken() == 0  # an hour has not passed
    monkeypatch.setattr(tidying, "REST", -timedelta(seconds=1))
    assert tidying.forsaken() == 1
    assert storage.stored_in(everywhere)[0] == [kept.pk.hex]
    assert storage.stored_of(kept) == named(kept)
