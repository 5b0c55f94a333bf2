"""Bringing files in from other places: looked for, read into a temporary file, handed on as uploads are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from django.core.files.base import File

from apps.jobs.models import FileLocation, Job
from apps.jobs.places import PlaceRefused, RemoteFile, checked_path, matching, open_place
from apps.jobs.places.web import fetch
from apps.jobs.schedule_statuses import LocationKind
from apps.jobs.services import storage, uploads
from apps.jobs.services.locations import target_of
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.outbound import OutboundError, OutboundTooLarge
from apps.records.models import Dataset
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor

WAIT = 60.0
"""Seconds that a person or program waits for a file that is fetched while they do."""
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


def receive_from_location(
    *,
    organization: Organization,
    dataset: Dataset,
    location: FileLocation,
    path: str,
    actor: Actor,
    user: User | None = None,
    name: str = "",
) -> Job:
    """Fetch one file of a place and make a pending import of it, as of an upload."""
    if location.organization_id != organization.pk:
        raise InvalidInput("The place belongs to another organization.")
    try:
        path = checked_path(path)
    except ValueError as error:
        raise _at("/path", str(error)) from None
    if not path and location.kind != LocationKind.HTTPS:
        raise _at("/path", "Name the file.")
    remote = RemoteFile(path, 0, None, "")
    with brought(location, remote, seconds=WAIT) as found:
        return _receive(organization, dataset, found.content, found.name, actor, user, name)


def receive_from_url(
    *,
    organization: Organization,
    dataset: Dataset,
    url: str,
    actor: Actor,
    user: User | None = None,
    name: str = "",
) -> Job:
    """Fetch what a web address answers with and make a pending import of it, as of an upload."""
    with tempfile.TemporaryFile() as content:
        try:
            found = fetch(
                url.strip(),
                content,
                max_bytes=uploads.max_bytes(),
                seconds=WAIT,
                allow_http=organization.allow_http or None,
            )
        except OutboundTooLarge:
            raise uploads.too_large() from None
        except (OutboundError, PlaceRefused) as error:
            # The caller named the address: what is wrong with it is wrong with the input.
            if error.transient:
                raise
            raise _at("/url", error.detail, error.code) from None
        return _receive(organization, dataset, content, found.filename, actor, user, name)


def _receive(
    organization: Organization,
    dataset: Dataset,
    content: BinaryIO,
    filename: str,
    actor: Actor,
    user: User | None,
    name: str,
) -> Job:
    file: File[Any] = File(content, name=filename)
    return uploads.receive(
        organization=organization, dataset=dataset, file=file, actor=actor, user=user, name=name
    )


def _at(pointer: str, detail: str, code: str = "invalid") -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(pointer, code, detail)])
