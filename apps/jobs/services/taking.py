"""One file of a schedule's source: found, fetched, imported, and remembered so that it is taken once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.core.files.base import File
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.jobs.errors import NotReady
from apps.jobs.models import FetchedFile, Job, JobSchedule, ScheduleRun
from apps.jobs.places import RemoteFile
from apps.jobs.schedule_statuses import (
    RUN_TRANSITIONS,
    AfterImport,
    Disposal,
    FetchedStatus,
    LocationKind,
    RunStatus,
)
from apps.jobs.services import fetching, imports, run_closing, uploads
from apps.jobs.services.fetching import Brought
from apps.kernel.errors import HubError
from apps.kernel.leases import fenced_update
from apps.kernel.states import move
from apps.tenants.principals import Actor

MAX_FILES = 1_000
"""Files that one run takes; what is left over is the next one's."""
_TOGETHER = 500


def take_next(run: ScheduleRun, actor: Actor, *, check: Callable[[], None]) -> None:
    """Take the oldest file that was not taken yet and start its import; close the run if there is none.

    Files that cannot be imported are noted with the reason and passed over. Raises HubError.
    """
    schedule = run.schedule
    source = schedule.source
    if source is None:
        raise NotReady("The place that the files come from was deleted.")
    if run.started_at is None:
        fenced_update(run, started_at=timezone.now())
    if source.kind == LocationKind.HTTPS and run.files.exists():
        run_closing.finish(run)
        return
    found = fetching.listed(source, schedule.source_path, schedule.pattern)
    fresh = _not_taken(schedule, found)
    taken = run.files.count()
    fenced_update(run, files_found=taken + len(fresh))
    for remote in fresh[: max(0, MAX_FILES - taken)]:
        check()
        with fetching.brought(source, remote) as brought:
            check()
            if _import(run, brought, actor):
                return
    run_closing.finish(run)


def _not_taken(schedule: JobSchedule, found: Sequence[RemoteFile]) -> list[RemoteFile]:
    known: set[tuple[str, str]] = set()
    for start in range(0, len(found), _TOGETHER):
        paths = [file.path for file in found[start : start + _TOGETHER]]
        rows = FetchedFile.objects.filter(schedule=schedule, path__in=paths)
        known.update(rows.values_list("path", "version"))
    return [file for file in found if (file.path, file.version) not in known]


def _import(run: ScheduleRun, brought: Brought, actor: Actor) -> bool:
    """Start the import of a file; false if there is nothing to import, which is noted."""
    schedule = run.schedule
    before = FetchedFile.objects.filter(schedule=schedule, path=brought.remote.path)
    last = before.exclude(status=FetchedStatus.REFUSED).order_by("-id").first()
    if last is not None and last.sha256 == brought.sha256:
        # A web address is read each time, whether it changed or not: nothing to remember.
        if schedule.source is not None and schedule.source.kind != LocationKind.HTTPS:
            _note(run, brought, FetchedStatus.DUPLICATE, "Its content is the same as the last time.")
        return False

    def made(job: Job) -> None:
        _note(run, brought, FetchedStatus.IMPORTED, job=job)
        _start(run, job, actor)

    file: File[Any] = File(brought.content, name=brought.name)
    try:
        uploads.receive(
            organization=schedule.organization,
            dataset=schedule.dataset,
            file=file,
            actor=actor,
            name=f"{schedule.name}: {brought.name}",
            made=made,
        )
    except HubError as error:
        if error.transient or error.code in ("race_lost", "lease_lost"):
            raise
        _note(run, brought, FetchedStatus.REFUSED, error.detail)
        return False
    return True


def adopt(job: Job, run: ScheduleRun, **also: Any) -> None:
    """Note on a job that this run has made it."""
    values = {"run": run, "is_scheduled": True, "scheduled_at": run.scheduled_for, **also}
    Job.objects.filter(pk=job.pk).update(**values)
    for name, value in values.items():
        setattr(job, name, value)


def _start(run: ScheduleRun, job: Job, actor: Actor) -> None:
    """Configure the job as the schedule says and start it, in the transaction that makes it."""
    schedule = run.schedule
    adopt(job, run, notifications=dict(schedule.notifications), mapping=schedule.mapping)
    if schedule.file_options:
        uploads.reread(job=job, **schedule.file_options)
    proposal = imports.propose(job=job)
    if schedule.mapping is not None and proposal.how != "saved":
        raise NotReady(f"The mapping “{schedule.mapping}” does not fit the columns of this file.")
    settings = imports.Settings(**schedule.import_settings)
    imports.configure(job=job, actor=actor, mapping=proposal.spec, settings=settings)
    imports.start(job=job, actor=actor)
    move(run, RunStatus.RUNNING, RUN_TRANSITIONS, attempts=0, reason="")


@transaction.atomic
def _note(
    run: ScheduleRun, brought: Brought, status: FetchedStatus, reason: str = "", job: Job | None = None
) -> None:
    remote, schedule = brought.remote, run.schedule
    version = remote.version
    if schedule.source is not None and schedule.source.kind == LocationKind.HTTPS:
        version = f"{version[:240]} in {run.pk.hex}"  # what it was earlier, it may become again
    disposal = Disposal.NONE
    if schedule.after_import != AfterImport.KEEP and status != FetchedStatus.REFUSED:
        disposal = Disposal.WAITING if job is not None else Disposal.DUE
    fenced_update(run, files_taken=F("files_taken") + 1)
    FetchedFile.objects.create(
        schedule=schedule,
        run=run,
        job=job,
        path=remote.path,
        version=version,
        size=remote.size,
        sha256=brought.sha256,
        status=status,
        reason=reason[:500],
        disposal=disposal,
    )
