"""Jobs in every state: done with wrong rows, done, waiting after its check, refused, undone, exported."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.core.files.base import ContentFile

from apps.jobs.models import Job
from apps.jobs.services import control, exports, imports, uploads, work
from apps.jobs.services.imports import Settings
from apps.jobs.statuses import ImportMode, JobStatus
from integration_hub.demo import files
from integration_hub.demo.story import ADMIN, STAFF, Person, Story

PATIENCE = 300  # seconds that another worker may have a job


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody sent, and what is done with it."""

    name: str
    filename: str
    dataset: str
    content: bytes
    by: Person
    settings: Settings | None = None
    only_check: bool = False
    undo: bool = False


def uploads_of_the_demo() -> tuple[Upload, ...]:
    return (
        Upload("Price list", "price-list-2026.csv", "products", files.price_list(), STAFF),
        Upload("Station managers", "Station managers.xlsx", "contacts", files.managers(), STAFF),
        Upload(
            "Summer prices",
            "summer prices FINAL.csv",
            "products",
            files.summer_prices(),
            STAFF,
            Settings(mode=ImportMode.UPDATE),
            undo=True,
        ),
        Upload(
            "Handbooks",
            "handbooks.csv",
            "documents",
            files.manuals(),
            ADMIN,
            Settings(skip_errors=False, stop_on_error=True),
        ),
        Upload("Damage reports Q3", "damages Q3.csv", "cases", files.damages(), STAFF, only_check=True),
    )


def bring_in(story: Story) -> None:
    """Import what was not imported yet, and go on with what was interrupted."""
    for upload in uploads_of_the_demo():
        job = _job(story, upload.name)
        if job is None:
            job = uploads.receive(
                organization=story.organization,
                dataset=story.dataset(upload.dataset),
                file=ContentFile(upload.content, name=upload.filename),
                actor=story.actor(upload.by),
                user=story.user(upload.by),
                name=upload.name,
                project=story.projects["fleet-care"],
            )
        _go_on(story, job, upload)


def _go_on(story: Story, job: Job, upload: Upload) -> None:
    """From wherever the job is to where it is to be."""
    actor = story.actor(upload.by)
    before = (job.status, job.checked_at, job.undone_at)
    if job.status == JobStatus.PENDING and job.configured_at is None:
        imports.configure(
            job=job, actor=actor, mapping=imports.propose(job=job).spec, settings=upload.settings
        )
    if job.status == JobStatus.PENDING and upload.only_check:
        if job.checked_at is None:
            imports.check(job=job, actor=actor)
    elif job.status == JobStatus.PENDING:
        imports.start(job=job, actor=actor)
    finish(job)
    if upload.undo and job.status == JobStatus.COMPLETED and job.undone_at is None:
        control.undo(job=job, actor=story.actor(ADMIN))
    if before != (job.status, job.checked_at, job.undone_at):
        story.say(f"{job.number} {upload.name}: {_fate(job)}")


def _fate(job: Job) -> str:
    if job.undone_at is not None:
        return f"{job.successful_records} rows imported, and taken back."
    if job.status == JobStatus.PENDING:
        return "checked; it waits for somebody to start it."
    if job.status == JobStatus.FAILED:
        return f"failed: {job.status_reason}"
    return f"{job.successful_records} rows imported, {job.failed_records} left out with the reasons."


def send_out(story: Story) -> None:
    """An export of what is paid."""
    name = "Paid rentals for the books"
    if _job(story, name) is None:
        job = exports.create(
            organization=story.organization,
            dataset=story.dataset("orders"),
            actor=story.actor(ADMIN),
            user=story.user(ADMIN),
            format="xlsx",
            filters={"status": "paid"},
            columns=("number", "client", "ordered_at", "total", "tax", "payment_method"),
            labels=True,
            name=name,
        )
        finish(job)
        story.say(f"{job.number} {name}: {job.successful_records:,} rows exported.")


def _job(story: Story, name: str) -> Job | None:
    found: Job | None = (
        Job.objects.select_related("organization", "dataset__organization", "origin")
        .filter(organization=story.organization, name=name)
        .first()
    )
    return found


def finish(job: Job) -> None:
    """Work on a job until it rests, or wait while another worker does."""
    until = time.monotonic() + PATIENCE
    while job.is_working and time.monotonic() < until:
        if not work.take(job_id=job.pk):
            time.sleep(0.5)
        job.refresh_from_db()
