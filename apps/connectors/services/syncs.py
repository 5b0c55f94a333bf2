"""Asking for syncs: start, cancel, retry. The work itself is in `running`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.connectors.engine.errors import EngineError
from apps.connectors.engine.manifest import ManifestError, Stream
from apps.connectors.errors import NotActive, SyncRunning
from apps.connectors.models import Integration, IntegrationStream, SyncJob, SyncStream
from apps.connectors.services import connections
from apps.connectors.services.endings import announce
from apps.connectors.statuses import (
    LIVE,
    SYNC,
    Direction,
    IntegrationStatus,
    SyncMode,
    SyncStatus,
    SyncTrigger,
    SyncType,
)
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.leases import free
from apps.kernel.states import move
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

TASK = "connectors.run_sync"


def start(
    *,
    integration: Integration,
    actor: Actor,
    streams: Sequence[str] | None = None,
    mode: str | None = None,
    direction: str | None = None,
    trigger: str = SyncTrigger.MANUAL,
    retry_of: SyncJob | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> SyncJob:
    """Ask for a sync of these streams (all enabled ones), and ring for a worker.

    `mode` overrides the streams' own. Raises NotActive; SyncRunning, naming the sync that is not finished;
    InvalidInput for unknown streams or a direction that the integration does not take.
    """
    _refuse_inactive(integration)
    direction = _direction(integration, direction)
    if mode is not None and mode not in SyncMode.values:
        raise _invalid("/mode", f"The mode is one of: {', '.join(SyncMode.values)}.")
    known = _definitions(integration)
    chosen = _chosen(integration, known, streams)
    modes = {row.name: _mode(row, known[row.name], mode) for row in chosen}
    kind = next(iter(set(modes.values()))) if len(set(modes.values())) == 1 else SyncType.PULL
    resumed = _unfinished(retry_of) if retry_of is not None else {}
    try:
        with transaction.atomic():
            job = SyncJob.objects.create(
                organization=integration.organization,
                integration=integration,
                number=numbers.assign(organization=integration.organization, prefix="SYN"),
                type=kind,
                direction=direction,
                trigger=trigger,
                requested_by=actor.label[:200] or actor.kind,
                retry_of=retry_of,
                metadata=dict(metadata or {}),
            )
            SyncStream.objects.bulk_create(
                _stream(job, row, position, modes[row.name], resumed.get(row.name))
                for position, row in enumerate(chosen)
            )
            if trigger != SyncTrigger.SCHEDULED:
                entries.record(
                    organization=job.organization,
                    actor=actor,
                    action="sync.requested",
                    target=job,
                    changes={"integration": ["", integration.number], "streams": ["", list(modes)]},
                )
            enqueue(TASK, job.pk)
    except IntegrityError as error:
        running = SyncJob.objects.filter(integration=integration, status__in=LIVE).first()
        if running is None:
            raise
        status = running.get_status_display().lower()
        raise SyncRunning(
            f"The sync {running.number} of {integration} is {status}. Wait for it, or cancel it first."
        ) from error
    return job


def _invalid(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(pointer, "invalid", detail)])


def _refuse_inactive(integration: Integration) -> None:
    integration.refresh_from_db(fields=["status", "removed_at", "sync_enabled", "sync_direction"])
    if integration.removed_at is not None:
        raise NotActive(f"{integration} was removed.")
    if integration.status != IntegrationStatus.ACTIVE:
        status = integration.get_status_display().lower()
        raise NotActive(f"{integration} is {status}. Test and activate it before it can sync.")
    if not integration.sync_enabled:
        raise NotActive(f"Syncing is turned off for {integration}.")


def _direction(integration: Integration, asked: str | None) -> str:
    own = integration.sync_direction
    if own == Direction.NONE:
        raise _invalid("/direction", f"{integration} is set to sync in no direction.")
    if asked is None or asked == own:
        return own
    if asked not in (Direction.INBOUND, Direction.OUTBOUND, Direction.BIDIRECTIONAL):
        raise _invalid("/direction", "The direction is inbound, outbound or bidirectional.")
    if own != Direction.BIDIRECTIONAL:
        raise _invalid("/direction", f"{integration} is set to the direction “{own}” only.")
    return asked


def _definitions(integration: Integration) -> dict[str, Stream]:
    try:
        return connections.resolve(integration).streams
    except (EngineError, ManifestError) as error:
        raise InvalidInput(str(error)) from None


def _chosen(
    integration: Integration, known: dict[str, Stream], names: Sequence[str] | None
) -> list[IntegrationStream]:
    rows = {row.name: row for row in integration.streams.select_related("dataset") if row.name in known}
    if names is None:
        chosen = [row for row in rows.values() if row.enabled]
        if not chosen:
            raise _invalid("/streams", f"{integration} has no stream that is turned on and has a dataset.")
        return chosen
    for name in names:
        if name not in rows:
            raise _invalid(
                "/streams",
                f"{integration} has no stream “{str(name)[:60]}”. It has: {', '.join(rows) or 'none'}.",
            )
    if not names:
        raise _invalid("/streams", "Name at least one stream, or leave the list out.")
    return [rows[name] for name in dict.fromkeys(names)]


def _mode(row: IntegrationStream, stream: Stream, asked: str | None) -> str:
    if stream.incremental is None:
        return SyncMode.FULL
    return asked or row.mode


def _stream(
    job: SyncJob, row: IntegrationStream, position: int, mode: str, resumed: SyncStream | None
) -> SyncStream:
    found = SyncStream(
        job=job,
        stream=row,
        name=row.name,
        dataset=row.dataset.slug,
        position=position,
        mode=mode,
        revision=row.revision,
        cursor_before=row.cursor or "",
        checkpoint={"cursor": row.cursor} if row.cursor else {},
        expected=_expected(row, mode),
    )
    # What a failed run has committed need not be read again, unless the stream was set back meanwhile.
    same = resumed is not None and (resumed.mode, resumed.revision, resumed.cursor_before) == (
        found.mode,
        found.revision,
        found.cursor_before,
    )
    if resumed is not None and same:
        found.checkpoint = resumed.checkpoint
        found.started_at = resumed.started_at
    return found


def _expected(row: IntegrationStream, mode: str) -> int | None:
    last = row.runs.filter(mode=mode, status=SyncStatus.COMPLETED).order_by("-id").first()
    return last.processed if last else None


def _unfinished(job: SyncJob) -> dict[str, SyncStream]:
    return {
        s.name: s for s in job.streams.all() if s.status not in (SyncStatus.COMPLETED, SyncStatus.PARTIAL)
    }


def retry(*, job: SyncJob, actor: Actor, trigger: str = SyncTrigger.MANUAL) -> SyncJob:
    """A new sync of the streams that did not end well, from where they stopped.

    Raises Conflict if the job is not finished, or has nothing to repeat.
    """
    if job.is_live:
        raise SyncRunning(
            f"{job.number} is {job.get_status_display().lower()}: there is nothing to retry yet."
        )
    names = list(_unfinished(job))
    if not names:
        raise Conflict(
            f"All streams of {job.number} were read. Retry its rows in the list of errors instead."
        )
    return start(integration=job.integration, actor=actor, streams=names, trigger=trigger, retry_of=job)


@transaction.atomic
def cancel(*, job: SyncJob, actor: Actor) -> SyncJob:
    """Cancel a sync: at once if no worker has it, else after the page that is being written.

    Raises Conflict if it is finished.
    """
    now = timezone.now()
    rows = SyncJob.objects.filter(pk=job.pk, status__in=LIVE)
    if not rows.update(cancel_requested_at=now, due_at=now, updated_at=now):
        job.refresh_from_db()
        raise Conflict(f"{job.number} is {job.get_status_display().lower()} already.")
    entries.record(organization=job.organization, actor=actor, action="sync.cancelled", target=job)
    if rows.filter(free(now)).exists():
        move(job, SyncStatus.CANCELLED, SYNC, completed_at=now, cancel_requested_at=now)
        job.streams.filter(status__in=LIVE).update(status=SyncStatus.CANCELLED, completed_at=now)
        job.refresh_from_db()
        announce(job)
    else:
        enqueue(TASK, job.pk)
        job.refresh_from_db()
    return job
