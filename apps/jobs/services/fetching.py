"""Bringing files in from other places: looked for, read into a temporary file, handed on as uploads are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from django.db import transaction

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.models import FileLocation, Job
from apps.jobs.places import RemoteFile, checked_path, matching, open_place
from apps.jobs.places.web import fetch
from apps.jobs.schedule_statuses import LocationKind
from apps.jobs.services import live, storage, uploads
from apps.jobs.services.locations import target_of
from apps.jobs.statuses import JOB_TRANSITIONS, JobStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import FieldError, InvalidInput, RaceLost
from apps.kernel.outbound import OutboundBlocked, OutboundTooLarge, check_spelled, default_policy
from apps.kernel.states import move
from apps.records.models import Dataset
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

PATIENCE = 600.0
"""Seconds that one file may take which a person or program has ordered."""
TOLD_EVERY = 0.5
BACKGROUND = 1800.0
"""Seconds that a worker takes for one file."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A file that was read: where it lay, and its content in a temporary file."""

    remote: RemoteFile
    name: str
    content: BinaryIO
    sha256: str


def listed(location: FileLocation, path: str, pattern: str) -> list[RemoteFile]:
    """The files of a folder that fit, the oldest first; of a web address the one file that it names."""
    with open_place(target_of(location)) as place:
        found = place.files(path)
    return found if location.kind == LocationKind.HTTPS else matching(found, pattern)


def look_at(location: FileLocation, folder: str) -> list[RemoteFile]:
    """The files of a folder as a person chooses from them: the newest first.

    Of a web address nothing can be listed: Raises InvalidInput that says so.
    """
    if location.kind == LocationKind.HTTPS:
        raise _at("/place", "A web address shows no list of its files: enter the file's path.")
    try:
        folder = checked_path(folder, what="folder")
    except ValueError as error:
        raise _at("/path", str(error)) from None
    return listed(location, folder, "*")[::-1]


@contextmanager
def brought(location: FileLocation, remote: RemoteFile, *, seconds: float = BACKGROUND) -> Iterator[Brought]:
    """The file, read whole; its temporary copy goes at the end of the block."""
    with tempfile.TemporaryFile() as content:
        with open_place(target_of(location)) as place:
            try:
                read = place.download(remote, content, max_bytes=uploads.max_bytes(), seconds=seconds)
            except OutboundTooLarge:
                raise uploads.too_large() from None
        sha256, _ = storage.digest_of(content)
        version = read.version or f"sha256:{sha256}"
        yield Brought(RemoteFile(read.path, read.size, read.modified_at, version), read.name, content, sha256)


def order(
    *,
    organization: Organization,
    dataset: Dataset,
    actor: Actor,
    url: str = "",
    location: FileLocation | None = None,
    path: str = "",
    user: User | None = None,
    name: str = "",
    description: str = "",
) -> Job:
    """Order an import whose file a worker fetches: from a web address, or one file of a place.

    When the file is there the job is as after an upload. Raises InvalidInput with a pointer per field.
    """
    if dataset.organization_id != organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    if location is not None:
        path, shown = _checked_place(organization, location, path)
    else:
        url, shown = _checked_url(organization, url)
    job = uploads.begun(
        organization=organization,
        dataset=dataset,
        actor=actor,
        user=user,
        name=name.strip() or shown,
        description=description.strip(),
        status=JobStatus.FETCHING,
        source=location,
        source_path=path,
        source_url=None if location is not None else url,
    )
    with transaction.atomic():
        job.number = numbers.assign(organization=organization, prefix="JOB")
        job.save(force_insert=True)
        entries.record(
            organization=organization,
            actor=actor,
            action="job.created",
            target=job,
            changes={"dataset": [None, dataset.slug], "fetched_from": [None, shown]},
        )
        enqueue("jobs.run", str(job.pk), queue="jobs")
    return job


def again(job: Job) -> None:
    """Have the file of a job fetched once more. Raises NotReady if where it came from is forgotten."""
    if not job.source_url and job.source_id is None:
        raise NotReady(f"Where the file of {job.number} came from was deleted. Order it anew.")
    move(job, JobStatus.FETCHING, JOB_TRANSITIONS, attempts=0, status_reason="", completed_at=None)
    enqueue("jobs.run", str(job.pk), queue="jobs")


def fetch_for(job: Job, *, check: Callable[[], None]) -> None:
    """Bring the file that a job waits for. Raises HubError; RaceLost when the job is not wanted any more."""
    with tempfile.TemporaryFile() as content:
        watched = _Watched(content, job, check)
        into = cast(BinaryIO, watched)
        try:
            if job.source_url:
                name = fetch(
                    job.source_url,
                    into,
                    max_bytes=uploads.max_bytes(),
                    seconds=PATIENCE,
                    allow_http=job.organization.allow_http or None,
                ).filename
            elif job.source is not None:
                remote = RemoteFile(job.source_path, 0, None, "")
                with open_place(target_of(job.source)) as place:
                    found = place.download(remote, into, max_bytes=uploads.max_bytes(), seconds=PATIENCE)
                name = found.name
            else:
                raise NotReady(f"The place that the file of {job.number} comes from was deleted.")
        except OutboundTooLarge:
            raise uploads.too_large() from None
        watched.look()
        uploads.attach(job=job, file=content, name=name)


class _Watched:
    """A file that is written, which tells now and then how far it is, and stops when nobody wants it."""

    def __init__(self, file: BinaryIO, job: Job, check: Callable[[], None]) -> None:
        self._file, self._job, self._check = file, job, check
        self._size, self._told = 0, time.monotonic()

    def write(self, data: bytes) -> int:
        self._size += len(data)
        if time.monotonic() - self._told > TOLD_EVERY:
            self._told = time.monotonic()
            self.look()
        return self._file.write(data)

    def look(self) -> None:
        self._check()
        live.note(self._job, done=self._size, total=0)
        if not Job.objects.filter(pk=self._job.pk, status=JobStatus.FETCHING).exists():
            raise RaceLost("The file is not wanted any more.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _checked_place(organization: Organization, location: FileLocation, path: str) -> tuple[str, str]:
    """The path, and how the file is called for people."""
    if location.organization_id != organization.pk:
        raise InvalidInput("The place belongs to another organization.")
    try:
        path = checked_path(path)
    except ValueError as error:
        raise _at("/path", str(error)) from None
    if not path and location.kind != LocationKind.HTTPS:
        raise _at("/path", "Name the file.")
    return path, f"{location.name}: {path}".rstrip(": ")


def _checked_url(organization: Organization, url: str) -> tuple[str, str]:
    """The address, and what of it people may see: a query may hold a token."""
    url = url.strip()
    try:
        check_spelled(url, default_policy(), allow_http=organization.allow_http or None)
    except OutboundBlocked as error:
        raise _at("/url", error.detail, error.code) from None
    parts = urlsplit(url)
    return url, f"{parts.hostname or ''}{parts.path}"[:200]


def _at(pointer: str, detail: str, code: str = "invalid") -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(pointer, code, detail)])
