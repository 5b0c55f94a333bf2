"""Files of jobs in a bucket instead of a folder: `STORAGE_URL=s3://…`, on a real HTTP peer."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from apps.health import probes
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import downloads, exports, imports, storage, sweeps, tidying, uploads, work
from apps.kernel.errors import NotFound, TransientError
from apps.kernel.ids import uuid7
from apps.records.models import Record
from integration_hub.config_values import Storage
from integration_hub.storage_settings import file_storage
from tests.jobs.conftest import ADA, checked, configured, run
from tests.peers.s3_peer import KEY, SECRET, s3_peer

pytestmark = pytest.mark.django_db


@pytest.fixture
def bucket(settings):
    with s3_peer("hub-files") as peer:
        keep_in(settings, peer)
        yield peer


def keep_in(settings, peer, **values):
    given = {
        "kind": "s3", "bucket": peer.bucket, "prefix": "hub", "endpoint_url": peer.url, "region": "us-east-1",
        "access_key": KEY, "secret_key": SECRET, **values,
    }  # fmt: skip
    settings.STORAGES = {**settings.STORAGES, "default": file_storage(Storage(**given))}


def rows(count):
    lines = [f"C{n},Client {n},{'nonsense' if n % 10 == 0 else f'c{n}@example.com'}" for n in range(count)]
    return "\n".join(["external_id,name,email", *lines]) + "\n"


def test_an_import_from_upload_to_its_rejected_rows(bucket, upload):
    job = upload(rows(3_000))

    assert bucket.stored() == [f"hub/{job.file_path}"]
    assert hashlib.sha256(bucket.get(f"hub/{job.file_path}")).hexdigest() == job.sha256
    uploads.reread(job=job, delimiter=",")
    job = checked(configured(job, batch_size=500))
    assert (job.report["created"], job.report["wrong"]) == (2_700, 300)
    job = run(job)
    assert (job.status, job.created_count, job.failed_records) == ("completed", 2_700, 300)
    assert Record.objects.count() == 2_700

    rejected = downloads.file_of(job, "rejected")
    with downloads.open_artifact(rejected) as file:
        assert file.read().decode("utf-8-sig").count("\n") == 301
    JobArtifact.objects.update(expires_at=timezone.now())
    assert sweeps.discard_expired() == 3
    assert bucket.stored() == []
    with pytest.raises(NotFound, match="no longer stored"):
        downloads.open_artifact(rejected).read()


def test_an_interrupted_import_goes_on_in_the_file(bucket, upload):
    job = configured(upload(rows(2_000)), batch_size=500, validate_before_import=False)
    imports.start(job=job, actor=ADA)
    assert work.take(job_id=job.pk, budget=0)
    job.refresh_from_db()
    assert (job.status, job.processed_records % 500) == ("processing", 0)
    assert 0 < job.processed_records < 2_000
    while Job.objects.get(pk=job.pk).status == "processing":
        assert work.take(job_id=job.pk)
    assert Record.objects.count() == 1_800


def test_an_export_is_opened_by_its_signed_link(bucket, organization, clients, upload):
    run(configured(upload(rows(20))))
    job = exports.create(organization=organization, dataset=clients, actor=ADA)
    work.take(job_id=job.pk)

    token = downloads.link_token(downloads.output_of(job))
    answer = Client().get(f"/api/v1/export/{job.number}/download", {"token": token})

    assert answer.status_code == 200
    assert b"".join(answer.streaming_content).count(b"Client ") == 18
    assert not answer.has_header("Location")


def test_a_wrong_bucket_is_one_sentence(bucket, settings, upload, clients, organization):
    keep_in(settings, bucket, bucket="not-there")
    with pytest.raises(TransientError, match=r"refuses the hub \(NoSuchBucket\): check STORAGE_URL"):
        upload(rows(1))
    finding = probes.files()
    assert (finding.verdict, finding.detail) == (
        "fail",
        "The bucket “not-there” cannot be used (NoSuchBucket): check STORAGE_URL and its keys.",
    )
    keep_in(settings, bucket)
    assert probes.files().detail == "The bucket “hub-files” can be read."


def test_a_bucket_that_is_down_is_told_so(bucket, settings, upload):
    keep_in(settings, bucket, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        upload(rows(1))
    assert probes.files().verdict == "fail"
    assert SECRET not in repr(default_storage)


def test_what_no_row_names_leaves_the_bucket(bucket, upload, monkeypatch):
    job = upload(rows(3))
    default_storage.save(f"{storage.folder(job)}/stray.csv", ContentFile(b"x"))
    never_made = job.file_path.replace(job.pk.hex, uuid7().hex)
    default_storage.save(never_made, ContentFile(b"x"))
    assert (tidying.tidy(), tidying.forsaken(), len(bucket.stored())) == (0, 0, 3)

    monkeypatch.setattr(tidying, "REST", -timedelta(minutes=1))  # all of it has rested
    assert (tidying.tidy(), tidying.forsaken()) == (1, 1)
    assert bucket.stored() == [f"hub/{job.file_path}"]
