"""What later changes stand in the way of an undo is listed, before and after it is asked for."""

from __future__ import annotations

import csv
import io

import pytest
from django.urls import reverse

from apps.jobs.admin import jobs as pages
from apps.jobs.models import Job
from apps.jobs.services import control
from apps.records import selectors
from apps.records.models import Origin
from apps.records.services import history, records, standing
from apps.tenants.principals import Actor
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, configured, run
from tests.jobs.test_admin import signed_in, text_of

ROWS = 60
BOB = Actor("user", "2", "Bob")


@pytest.fixture
def job(upload) -> Job:
    lines = "".join(f"C{n:02d},Client {n}\n" for n in range(ROWS))
    return run(configured(upload("external_id,name\n" + lines)))


def changed(job: Job, count: int) -> None:
    for n in range(count):
        record = selectors.live(job.dataset).get(key=f"C{n:02d}")
        records.update(record=record, values={"name": f"Bob's {n}"}, actor=BOB)


def conflicts(job: Job) -> str:
    return reverse("admin:jobs_job_conflicts", args=[job.number])


def test_conflicts_are_listed_with_pages_and_downloads(job, organization) -> None:
    changed(job, 55)
    staff = signed_in(organization)
    page = text_of(staff.get(reverse("admin:jobs_job_undo", args=[job.number])))
    assert "5 changes will be taken back. 55 cannot be" in page
    assert "Others changed these later" in page
    assert page.count("<td>Bob</td>") == 10
    assert "See all of them" in page

    first, second = text_of(staff.get(conflicts(job))), text_of(staff.get(conflicts(job), {"p": 2}))
    assert "page 1 of 2" in first
    assert (first.count("<td>Bob</td>"), second.count("<td>Bob</td>")) == (50, 5)
    record = selectors.live(job.dataset).get(key="C00")
    assert reverse("admin:data_record", args=["clients", record.public_id]) in first + second

    for kind in ("csv", "xlsx"):
        file = staff.get(conflicts(job), {"download": kind})
        content = b"".join(file.streaming_content)
        if kind == "csv":
            rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
            assert len(rows) == 55
            assert {row["changed_later_by"] for row in rows} == {"Bob"}
            assert rows[-1]["record"] == "C00"
        else:
            assert content[:2] == b"PK"

    staff.post(reverse("admin:jobs_job_undo", args=[job.number]), {"_confirmed": "1"})
    assert selectors.live(job.dataset).count() == 55
    page = text_of(staff.get(reverse("admin:jobs_job_change", args=[job.number])))
    assert conflicts(job) in page
    assert "55 changes of" in text_of(staff.get(conflicts(job)))


def test_what_is_listed_is_what_an_undo_refuses(job) -> None:
    changed(job, 3)
    assert job.origin is not None
    foretold = control.undo(job=job, actor=ADA, dry_run=True)
    listed = {change.record_id for change in standing.in_the_way(job.origin)}
    assert {conflict.record_id for conflict in foretold.conflicts} == listed
    assert (foretold.refused, len(listed)) == (3, 3)
    # What was taken back stands in nobody's way.
    history.undo(origin=Origin.objects.get(kind=BOB.kind, ref=BOB.ref), actor=ADA)
    assert control.undo(job=job, actor=ADA, dry_run=True).refused == 0
    assert not standing.in_the_way(job.origin).exists()


def test_large_undos_are_foretold_by_counting(job, organization, monkeypatch) -> None:
    monkeypatch.setattr(pages, "PREVIEW_UNDO_UP_TO", 10)
    changed(job, 2)
    page = text_of(signed_in(organization).get(reverse("admin:jobs_job_undo", args=[job.number])))
    assert "58 changes will be taken back. 2 cannot be" in page


def test_without_conflicts_nothing_is_listed_and_strangers_see_nothing(job, organization) -> None:
    staff = signed_in(organization)
    assert "Others changed" not in text_of(staff.get(reverse("admin:jobs_job_undo", args=[job.number])))
    assert "Nothing stands in the way" in text_of(staff.get(conflicts(job)))
    stranger = signed_in(organizations.create(name="Contoso"), email="other@example.com")
    assert stranger.get(conflicts(job)).status_code == 404
