from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.jobs.models import FileLocation, Job, JobDelivery, JobSchedule, ScheduleRun
from apps.jobs.services import deliveries, locations, schedule_runs, schedules, work
from apps.jobs.statuses import FINISHED
from apps.records.models import Dataset
from apps.tenants.models import Organization
from tests.jobs.conftest import ADA, clients, organization
from tests.peers.s3_peer import KEY, SECRET, S3Peer, s3_peer
from tests.peers.sftp_peer import PASSWORD, USER, SFTPPeer

__all__ = ["clients", "organization"]

CSV = "external_id,name\n{n},Client {n}\n"


@pytest.fixture(autouse=True)
def _peers_may_be_called(settings: Any) -> None:
    settings.HUB_OUTBOUND_ALLOW, settings.HUB_ALLOW_HTTP = ["127.0.0.0/8"], True


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[SFTPPeer]:
    folder = tmp_path / "sftp"
    (folder / "in").mkdir(parents=True)
    with SFTPPeer(folder) as peer:
        yield peer


@pytest.fixture
def s3() -> Iterator[S3Peer]:
    with s3_peer() as peer:
        yield peer


@pytest.fixture
def sftp_place(organization: Organization, sftp: SFTPPeer) -> FileLocation:
    return locations.create(
        organization=organization, actor=ADA, name="Partner", kind="sftp", host="127.0.0.1", port=sftp.port,
        host_key=sftp.host_key, username=USER, secret=PASSWORD,
    )  # fmt: skip


@pytest.fixture
def s3_place(organization: Organization, s3: S3Peer) -> FileLocation:
    return locations.create(
        organization=organization, actor=ADA, name="Bucket", kind="s3", endpoint_url=s3.url, bucket=s3.bucket,
        username=KEY, secret=SECRET,
    )  # fmt: skip


@pytest.fixture
def scheduled(organization: Organization, clients: Dataset) -> Callable[..., JobSchedule]:
    def make(job_type: str = "export", **values: Any) -> JobSchedule:
        given = {"name": "Nightly", "schedule_type": "interval", "interval_minutes": 60, **values}
        return schedules.create(
            organization=organization, actor=ADA, job_type=job_type, dataset=clients, **given
        )

    return make


def put(folder: Path, name: str, text: str, age: int = 0) -> None:
    """A file that was written `age` seconds before a fixed time."""
    (folder / name).write_text(text)
    moment = 1_780_000_000 - age
    os.utime(folder / name, (moment, moment))


def work_off(run: ScheduleRun) -> ScheduleRun:
    """Be all workers until nothing is due any more."""
    for _ in range(50):
        did = schedule_runs.take(run_id=run.pk)
        for job in Job.objects.filter(run=run).exclude(status__in=FINISHED):
            did |= work.take(job_id=job.pk)
        for delivery in JobDelivery.objects.filter(status="waiting"):
            did |= deliveries.attempt(delivery_id=delivery.pk)
        if not did:
            break
    run.refresh_from_db()
    return run


def run_now(schedule: JobSchedule) -> ScheduleRun:
    return work_off(schedules.run_now(schedule=schedule, actor=ADA))
