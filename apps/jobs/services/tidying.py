"""Files that no row names: left by a worker that was killed, or by a job that was cancelled while it wrote.

A file is stored before the row that names it is committed, so whoever ends in between leaves a file that
nobody would ever delete. Each job that is at rest has its folder looked at once; what changes its files makes
it due again (`files_tidied_at` is emptied). An upload that came to nothing has no job; its folder is found
once a day.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import storage
from apps.jobs.statuses import WORKING
from apps.kernel.errors import HubError, NotFound
from apps.kernel.ids import floor_of
from apps.kernel.leases import free
from apps.tenants.models import Organization

logger = logging.getLogger(__name__)

REST = timedelta(hours=1)
"""For so long a stored file may wait for its row, and a job must be at rest."""


def tidy(limit: int = 500) -> int:
    """Delete stored files of jobs at rest that no row names; returns how many."""
    before = timezone.now() - REST
    due = Job.objects.filter(free(), files_tidied_at=None, updated_at__lt=before).exclude(status__in=WORKING)
    count = 0
    for job in due.order_by("updated_at")[:limit]:
        try:
            count += _tidy(job)
        except HubError as error:
            logger.warning("The files of %s were not looked at: %s", job.number, error.detail)
            return count  # the storage is unreachable for the next one, too
    return count


def _tidy(job: Job) -> int:
    before = timezone.now() - REST
    known = {*JobArtifact.objects.filter(job=job).values_list("file_path", flat=True)}
    strays = [path for path in storage.stored_of(job) if path not in known]
    deleted = 0
    for path in strays:
        try:
            if storage.stored_at(path) < before:
                storage.delete(path)
                deleted += 1
        except NotFound:
            deleted += 1
    if deleted == len(strays):
        if not known:
            storage.delete_folder(storage.folder(job))
        Job.objects.filter(pk=job.pk, updated_at=job.updated_at).update(files_tidied_at=timezone.now())
    return deleted


def forsaken() -> int:
    """Delete what is stored for jobs that were never committed; returns how many files."""
    before = floor_of(timezone.now() - REST).hex
    count = 0
    for organization_id in Organization.objects.values_list("pk", flat=True):
        where = storage.folder_of_all(organization_id)
        # Their names are ids of jobs, which begin with the time.
        names = sorted(name for name in storage.stored_in(where)[0] if len(name) == 32 and name < before)
        for start in range(0, len(names), 500):
            part = names[start : start + 500]
            known = Job.objects.filter(pk__in=[UUID(hex=name) for name in part]).values_list("pk", flat=True)
            for name in sorted({*part} - {pk.hex for pk in known}):
                count += _empty(f"{where}/{name}")
    return count


def _empty(where: str) -> int:
    names = storage.stored_in(where)[1]
    for name in names:
        storage.delete(f"{where}/{name}")
    storage.delete_folder(where)
    return len(names)
