"""Where the files of jobs lie: in the default storage, under their organization and job.

Names are random or fixed by us; what a person called a file is shown, and never becomes a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.core.files import File
from django.core.files.storage import default_storage

from apps.jobs.models import Job
from apps.kernel.errors import NotFound, TransientError


def folder(job: Job) -> str:
    return f"{folder_of_all(job.organization_id)}/{job.pk.hex}"


def folder_of_all(organization_id: UUID) -> str:
    """Where the folders of an organization's jobs are."""
    return f"organizations/{organization_id.hex}/jobs"


def random_name(extension: str) -> str:
    return secrets.token_hex(16) + extension


def save(job: Job, name: str, file: BinaryIO) -> str:
    """Store a file from its beginning; returns its path. A file of the same name is replaced."""
    path = f"{folder(job)}/{name}"
    file.seek(0)
    with _reachable():
        if default_storage.exists(path):
            default_storage.delete(path)
        return default_storage.save(path, File(file))


def open_file(path: str) -> File[Any]:
    """A stored file, open for reading. Raises NotFound if it is gone, TransientError if unreachable."""
    with _reachable():
        return default_storage.open(path, "rb")


def exists(path: str) -> bool:
    """Whether a file is stored there."""
    with _reachable():
        return default_storage.exists(path)


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """As `open_file`, closed in the end."""
    with open_file(path) as file:
        yield cast(BinaryIO, file.file)


def delete(path: str) -> None:
    """Remove a stored file, if it is there."""
    if path:
        with _reachable():
            default_storage.delete(path)


def stored_in(where: str) -> tuple[list[str], list[str]]:
    """The folders and the files in a folder, by name; none where it does not exist."""
    with _reachable():
        try:
            folders, names = default_storage.listdir(where)
        except FileNotFoundError:
            return [], []
    return [name for name in folders if name], [name for name in names if name]


def stored_of(job: Job) -> list[str]:
    """The paths of all files that are stored for a job, whoever knows of them."""
    return [f"{folder(job)}/{name}" for name in stored_in(folder(job))[1]]


def stored_at(path: str) -> datetime:
    """When a file was stored. Raises NotFound if it is gone."""
    with _reachable():
        return default_storage.get_modified_time(path)


def delete_folder(where: str) -> None:
    """Remove a folder if nothing is in it; a bucket has none."""
    with contextlib.suppress(OSError), _reachable():
        default_storage.delete(where)


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFound("The file is no longer stored: its time has run out. Upload it again.") from None
    except OSError as error:
        raise TransientError(f"The file storage cannot be reached ({type(error).__name__}).") from error
    except Exception as error:
        # botocore's errors, without loading it where files lie in a folder.
        if not type(error).__module__.startswith(("botocore.", "boto3.", "s3transfer.")):
            raise
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", "")) or type(error).__name__
        if code in ("404", "NoSuchKey"):
            raise NotFound("The file is no longer stored: its time has run out. Upload it again.") from None
        raise TransientError(
            f"The file storage refuses the hub ({code[:60]}): check STORAGE_URL and its keys."
        ) from None


def digest_of(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 and length of a file, read from its beginning."""
    file.seek(0)
    hasher, size = hashlib.sha256(), 0
    while chunk := file.read(1_048_576):
        hasher.update(chunk)
        size += len(chunk)
    file.seek(0)
    return hasher.hexdigest(), size
