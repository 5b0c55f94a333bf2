"""Rows that could not be taken over: one open error for each, resolved by itself when the row comes right."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.connectors.engine.errors import EngineError
from apps.connectors.engine.manifest import ManifestError, Stream
from apps.connectors.engine.paths import compiled
from apps.connectors.models import Integration, SyncError, SyncJob
from apps.connectors.services import connections, removals, streams
from apps.connectors.statuses import SYNC_ERROR, SyncErrorStatus, SyncStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, HubError
from apps.kernel.states import move
from apps.records.mapping import RowProblem
from apps.records.services.upsert import BatchOutcome, LinkSource, upsert
from apps.tenants.principals import Actor

# What the source row may take in the database, as JSON.
MAX_ROW = 64 * 1024
SYSTEM_LABEL = "a later sync"


def note(job: SyncJob, stream: Stream, rows: list[dict[str, Any]], outcome: BatchOutcome) -> None:
    """Open, repeat or resolve the errors of a page's rows, in the page's transaction."""
    find = compiled(stream.remote_id)
    by_row: dict[int, list[RowProblem]] = defaultdict(list)
    for problem in outcome.problems:
        by_row[problem.row].append(problem)
    ids = [_remote(find(row)) for row in rows]
    failed = {ids[number - 1]: number for number in by_row if 0 < number <= len(rows)}
    known = _open(job.integration, stream.name, ids)
    right = [known[remote].pk for remote in known.keys() - failed.keys()]
    if right:
        SyncError.objects.filter(pk__in=right).update(
            status=SyncErrorStatus.RESOLVED, resolved_at=timezone.now(), resolved_by=SYSTEM_LABEL
        )
    if not by_row:
        return
    fresh, again = [], []
    for number, problems in by_row.items():
        remote = ids[number - 1]
        error = known.get(remote) if remote else None
        if error is None:
            error = SyncError(
                organization_id=job.organization_id, integration_id=job.integration_id, stream=stream.name,
                remote_id=remote,
            )  # fmt: skip
            fresh.append(error)
        else:
            error.attempts += 1
            again.append(error)
        _fill(error, job, rows[number - 1], problems)
    SyncError.objects.bulk_create(fresh, batch_size=500)
    SyncError.objects.bulk_update(again, _FIELDS, batch_size=500)
    removals.seen(
        source=job.integration.number,
        stream=stream.name,
        dataset=_dataset(job.integration, stream.name),
        ids=[remote for remote in failed if remote],
    )


_FIELDS = ("job", "attempts", "code", "field", "message", "problems", "row", "retryable", "last_seen_at")


def _remote(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list, bool)) else str(value)[:190]


def _open(integration: Integration, stream: str, ids: Sequence[str]) -> dict[str, SyncError]:
    errors = SyncError.objects.filter(
        integration=integration, stream=stream, status=SyncErrorStatus.OPEN
    ).exclude(remote_id="")
    if not errors.exists():
        return {}
    wanted = [remote for remote in ids if remote]
    found: dict[str, SyncError] = {}
    for start in range(0, len(wanted), 500):
        part = errors.filter(remote_id__in=wanted[start : start + 500])
        found.update((error.remote_id, error) for error in part)
    return found


def _fill(error: SyncError, job: SyncJob, row: dict[str, Any], problems: list[RowProblem]) -> None:
    first = problems[0]
    error.job, error.code, error.field = job, first.code[:60], first.field[:60]
    error.message = " ".join(problem.message for problem in problems)[:500]
    error.problems = [
        {
            "field": p.field,
            "column": p.column,
            "value": str(p.value)[:200],
            "code": p.code,
            "message": p.message,
        }
        for p in problems[:50]
    ]
    small = len(json.dumps(row, default=str)) <= MAX_ROW
    error.row = row if small else {}
    error.retryable = small and bool(error.remote_id)
    error.last_seen_at = timezone.now()


def _dataset(integration: Integration, stream: str) -> Any:
    return integration.streams.select_related("dataset__organization").get(name=stream).dataset


def ignore(*, error: SyncError, actor: Actor) -> None:
    """Put an error aside: it is not counted as open. Raises RaceLost if it is resolved by now."""
    with transaction.atomic():
        move(
            error,
            SyncErrorStatus.IGNORED,
            SYNC_ERROR,
            resolved_by=actor.label[:200],
            resolved_at=timezone.now(),
        )
        entries.record(
            organization=error.organization, actor=actor, action="sync_error.ignored", target=error
        )


def retry(*, error: SyncError, actor: Actor) -> bool:
    """Write the kept row again, with the mapping as it is now. True if it went well: the error is resolved.

    Raises Conflict if the row was not kept, or the stream is gone.
    """
    if not error.retryable or not error.row:
        raise Conflict(
            "The row was too large to be kept, or has no identifier: sync the stream again instead."
        )
    if error.status == SyncErrorStatus.RESOLVED:
        raise Conflict("The error is resolved already.")
    integration = error.integration
    row = (
        integration.streams.select_related("dataset__organization", "mapping")
        .filter(name=error.stream)
        .first()
    )
    try:
        stream = connections.resolve(integration).streams.get(error.stream)
        mapping = streams.mapping_of(row, stream) if row and stream else None
    except (EngineError, ManifestError, HubError) as problem:
        raise Conflict(str(problem)) from None
    if row is None or stream is None:
        raise Conflict(f"{integration} has no stream “{error.stream}” any more.")
    link = LinkSource(integration.number, stream.name, stream.remote_id, stream.remote_version)
    outcomes: list[BatchOutcome] = []
    with transaction.atomic():
        upsert(
            dataset=row.dataset,
            rows=[error.row],
            actor=actor,
            mapping=mapping,
            link=link,
            on_batch=outcomes.append,
        )
        problems = outcomes[0].problems
        if problems:
            error.attempts += 1
            _fill(error, error.job, error.row, problems)
            error.save(update_fields=[*_FIELDS])
            return False
        move(
            error,
            SyncErrorStatus.RESOLVED,
            SYNC_ERROR,
            resolved_by=actor.label[:200],
            resolved_at=timezone.now(),
        )
        entries.record(
            organization=error.organization, actor=actor, action="sync_error.retried", target=error
        )
    return True


def retry_later(*, job: SyncJob, actor: Actor) -> bool:
    """Ring for a worker to try the open rows of a sync again. False if streams come first or none is."""
    if job.is_live or job.streams.exclude(status=SyncStatus.COMPLETED).exists():
        return False
    if not job.errors.filter(status=SyncErrorStatus.OPEN, retryable=True).exists():
        return False
    with transaction.atomic():
        entries.record(organization=job.organization, actor=actor, action="sync.rows_retried", target=job)
        enqueue("connectors.retry_rows", job.pk)
    return True


def retry_all(*, job: SyncJob) -> int:
    """Try the open rows of a sync again, one by one; returns how many went well."""
    actor = Actor("sync", job.number, f"{job.integration} ({job.number})")
    good = 0
    open_rows = job.errors.filter(status=SyncErrorStatus.OPEN, retryable=True)
    for key in list(open_rows.values_list("pk", flat=True)):
        error = (
            open_rows.select_related("integration__organization", "job__integration").filter(pk=key).first()
        )
        if error is not None:
            good += retry(error=error, actor=actor)
    return good
