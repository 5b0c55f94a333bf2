"""A worker that is killed, at any moment, loses no row and applies none twice."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import connections
from django.utils import timezone

from apps.jobs.models import Job, JobError, Rejection
from apps.jobs.services import corrections, imports, uploads, work
from apps.jobs.services.corrections import Edit
from apps.records.models import Change, Record
from apps.records.selectors import dataset_of
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, configured

ROWS = 4_000
COUNTERS = (
    "status",
    "total_records",
    "processed_records",
    "successful_records",
    "failed_records",
    "skipped_records",
    "created_count",
    "updated_count",
    "unchanged_count",
    "deleted_count",
    "error_count",
    "current_record",
)
# Rows that are right but skipped, and two wrong cells.
CORRECTIONS = [
    *(Edit(n, "skip") for n in range(1, ROWS, 97) if n % 40),
    Edit(40, column="email", value="mended@example.com"),
    Edit(80, column="email", value="mended@example.org"),
]


def content() -> bytes:
    """Every 40th row has a wrong address, every 97th lacks a cell, every 50th names a record that exists."""
    lines = ["external_id,name,email,status"]
    for n in range(1, ROWS + 1):
        key = f"OLD{n}" if n % 50 == 0 else f"C{n}"
        email = "nonsense" if n % 40 == 0 else f"c{n}@example.com"
        lines.append(f"{key},Client {n},{email}" + ("" if n % 97 == 0 else ",active"))
    return "\n".join(lines).encode()


def existing() -> bytes:
    lines = ["external_id,name,status"]
    lines += [f"OLD{n},Before {n},lead" for n in range(50, ROWS + 1, 50)]
    lines += [f"GONE{n},Goes {n},lead" for n in range(300)]
    return "\n".join(lines).encode()


def prepared(name: str, **settings: Any) -> Job:
    """An organization with some clients, and an import that is ready to start."""
    organization = organizations.create(name=name)
    clients = dataset_of(organization, "clients")

    def uploaded(data: bytes) -> Job:
        file = ContentFile(data, name="clients.csv")
        return uploads.receive(organization=organization, dataset=clients, file=file, actor=ADA)

    before = configured(uploaded(existing()), validate_before_import=False)
    imports.start(job=before, actor=ADA)
    assert work.take(job_id=before.pk)
    return configured(uploaded(content()), validate_before_import=False, **settings)


def worker(job: Job) -> int:
    """A worker process, forked, that takes the job; returns its process id."""
    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work.take(job_id=job.pk)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait_until(done: Callable[[], bool], seconds: float = 60) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.002)
    return False


def run_with_kills(job: Job, kills: int) -> int:
    """Let worker after worker take the job and kill each after some progress; the last one may finish.

    Returns how many were killed in the middle of it.
    """
    killed = 0
    imports.start(job=job, actor=ADA)
    for n in range(kills):
        pid = worker(job)
        start = Job.objects.values_list("processed_records", flat=True).get(pk=job.pk)
        step = (n * 137) % 500

        def far_enough(start: int = start, step: int = step) -> bool:
            now = Job.objects.values("processed_records", "status").get(pk=job.pk)
            return bool(now["processed_records"] > start + step or now["status"] != "processing")

        assert wait_until(far_enough)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed += os.WIFSIGNALED(status)
        # The lease of the dead runs out.
        Job.objects.filter(pk=job.pk, status="processing").update(lease_until=timezone.now())
        if Job.objects.get(pk=job.pk).status != "processing":
            break
    if Job.objects.get(pk=job.pk).status == "processing":
        assert work.take(job_id=job.pk)
    return killed


def outcome(job: Job) -> dict[str, Any]:
    """Everything that an import leaves, without what differs between any two runs."""
    job = Job.objects.get(pk=job.pk)
    records = Record.objects.filter(organization=job.organization).order_by("key")
    return {
        "counters": {name: getattr(job, name) for name in COUNTERS},
        "records": [(r.key, r.data, r.version, r.deleted_at is None) for r in records],
        "changes": sorted(
            Change.objects.filter(origin=job.origin_id).values_list("record__key", "operation", "version")
        ),
        "errors": list(
            JobError.objects.filter(job=job).values_list("row", "line", "column", "value", "code")
        ),
        "files": sorted(job.artifacts.values_list("kind", "rows")),
        "left": Rejection.objects.filter(job=job).count(),
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["upsert", "replace"])
@pytest.mark.parametrize("edits", [[], CORRECTIONS], ids=["as sent", "corrected"])
def test_killed_workers_lose_nothing_and_repeat_nothing(mode: str, edits: list[Edit]) -> None:
    quiet = prepared("Quiet", mode=mode, batch_size=100)
    corrections.edit(job=quiet, actor=ADA, edits=edits)
    imports.start(job=quiet, actor=ADA)
    assert work.take(job_id=quiet.pk)
    expected = outcome(quiet)
    # One row lacks a cell and has a wrong address; two of the corrected ones are wrong no more.
    assert expected["counters"]["failed_records"] == 100 + 41 - 1 - (2 if edits else 0)
    assert expected["counters"]["skipped_records"] == (41 if edits else 0)
    assert expected["counters"]["processed_records"] == ROWS
    assert len(expected["changes"]) == len({key for key, *_ in expected["changes"]})

    job = prepared("Stormy", mode=mode, batch_size=100)
    corrections.edit(job=job, actor=ADA, edits=edits)
    killed = run_with_kills(job, kills=6)

    assert killed >= 3
    assert outcome(job) == expected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("repeats", ["first", "last", "error"])
def test_rows_that_repeat_rows_of_a_killed_worker_are_known_by_the_next(repeats: str) -> None:
    def ready(name: str) -> Job:
        job = prepared(name)
        lines = ["external_id,name"] + [f"N{n % 350},New {n}" for n in range(1_000)]
        data = ContentFile("\n".join(lines).encode(), name="new.csv")
        made = uploads.receive(organization=job.organization, dataset=job.dataset, file=data, actor=ADA)
        rules = [{"check": "not ends_with(name, '7')", "message": "No sevens."}]
        return configured(
            made, batch_size=25, validate_before_import=False, repeats=repeats, custom_rules=rules
        )

    quiet = ready("Quiet")
    imports.start(job=quiet, actor=ADA)
    assert work.take(job_id=quiet.pk)
    expected = outcome(quiet)
    # 100 rows end in 7; of the other 900, 315 keys are new, and every further row repeats one.
    assert expected["counters"]["failed_records"] == (685 if repeats == "error" else 100)
    assert Job.objects.get(pk=quiet.pk).duplicate_count == 585

    job = ready("Stormy")
    killed = run_with_kills(job, kills=3)

    assert killed >= 1
    assert outcome(job) == expected


@pytest.mark.django_db(transaction=True)
def test_a_replacement_that_is_killed_while_it_deletes_deletes_what_is_left() -> None:
    """The rows are all good, so that the records which none names go in the end."""

    def file() -> bytes:
        return ("external_id,name\n" + "".join(f"N{n},New {n}\n" for n in range(500))).encode()

    def ready(name: str) -> Job:
        job = prepared(name, mode="replace", batch_size=20)
        data = ContentFile(file(), name="new.csv")
        made = uploads.receive(organization=job.organization, dataset=job.dataset, file=data, actor=ADA)
        return configured(made, mode="replace", batch_size=20, validate_before_import=False)

    quiet = ready("Quiet")
    imports.start(job=quiet, actor=ADA, confirm_deletions=True)
    assert work.take(job_id=quiet.pk)
    expected = outcome(quiet)
    assert expected["counters"]["deleted_count"] == 300 + ROWS // 50

    job = ready("Stormy")
    imports.start(job=job, actor=ADA, confirm_deletions=True)
    pid = worker(job)
    assert wait_until(lambda: Job.objects.get(pk=job.pk).deleted_count > 40)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())
    assert work.take(job_id=job.pk)

    assert outcome(job) == expected
