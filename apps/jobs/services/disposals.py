"""What becomes of a fetched file at its place, once it is imported: moved away or deleted, where asked."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import timedelta

from django.utils import timezone

from apps.jobs.models import FetchedFile, JobSchedule
from apps.jobs.places import Place, join, open_place
from apps.jobs.schedule_statuses import AfterImport, Disposal
from apps.jobs.services.locations import target_of
from apps.kernel.errors import HubError

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 6
BATCH = 50


def dispose_due() -> int:
    """Move or delete what is due; returns how many. Doing it twice does no harm."""
    now = timezone.now()
    due = FetchedFile.objects.filter(disposal=Disposal.DUE, disposal_due_at__lte=now)
    groups: dict[JobSchedule, list[FetchedFile]] = defaultdict(list)
    for file in due.select_related("schedule__source__organization").order_by("disposal_due_at")[:BATCH]:
        groups[file.schedule].append(file)
    return sum(_dispose(schedule, files) for schedule, files in groups.items())


def _dispose(schedule: JobSchedule, files: list[FetchedFile]) -> int:
    # Moved on first: whoever dies over one does not hold up the others.
    keys = [file.pk for file in files]
    FetchedFile.objects.filter(pk__in=keys).update(disposal_due_at=timezone.now() + timedelta(minutes=10))
    source = schedule.source
    if source is None or schedule.after_import == AfterImport.KEEP:
        return FetchedFile.objects.filter(pk__in=keys).update(disposal=Disposal.NONE)
    done = 0
    try:
        with open_place(target_of(source)) as place:
            for file in files:
                try:
                    _one(schedule, place, file)
                    done += FetchedFile.objects.filter(pk=file.pk).update(
                        disposal=Disposal.DONE, disposal_error=""
                    )
                except HubError as error:
                    _not_now(file, error)
    except HubError as error:
        for file in files:
            _not_now(file, error)
    return done


def _one(schedule: JobSchedule, place: Place, file: FetchedFile) -> None:
    """Only the file that was imported goes: one that was replaced meanwhile stays and is taken."""
    folder = file.path.rpartition("/")[0]
    now = {found.path: found.version for found in place.files(folder)}
    if now.get(file.path) != file.version:
        return
    if schedule.after_import == AfterImport.MOVE:
        place.move(file.path, join(schedule.move_to, file.path.rpartition("/")[2]))
    else:
        place.delete(file.path)


def _not_now(file: FetchedFile, error: HubError) -> None:
    attempts = file.disposal_attempts + 1
    over = attempts >= MAX_ATTEMPTS or not error.transient
    logger.warning("%s stays at its place: %s", file, error.detail)
    FetchedFile.objects.filter(pk=file.pk, disposal=Disposal.DUE).update(
        disposal=Disposal.FAILED if over else Disposal.DUE,
        disposal_attempts=attempts,
        disposal_error=error.detail[:300],
        disposal_due_at=timezone.now() + timedelta(minutes=2**attempts),
    )
