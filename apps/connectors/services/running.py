"""Running a sync: under a lease, page by page, until it is done, cancelled, or has to wait."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.connectors.engine.connection import Connection
from apps.connectors.engine.errors import EngineError, Kind, RetryPolicy
from apps.connectors.engine.manifest import ManifestError
from apps.connectors.engine.reader import Mode, read
from apps.connectors.models import SyncJob, SyncStream
from apps.connectors.services import connections, endings, health, streams
from apps.connectors.services.calls import Caller
from apps.connectors.services.limits import OverLimit
from apps.connectors.services.pages import PageWriter
from apps.connectors.statuses import LIVE, SYNC, IntegrationStatus, SyncStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, owner_name, release
from apps.kernel.states import move
from apps.records import selectors as records

logger = logging.getLogger(__name__)

LEASE = 60.0
# Shorter than the time limit of tasks: a long sync is continued by another task.
BUDGET = 600.0
# Waits up to this long are worth a bell of their own; longer ones are found by the tick.
BELL = 900.0
_ENDED = (SyncStatus.COMPLETED, SyncStatus.PARTIAL, SyncStatus.FAILED, SyncStatus.CANCELLED)


def run(*, job_id: UUID | str, budget: float = BUDGET) -> bool:
    """Work on a sync that is due, if nobody else does. Returns whether this call had it.

    Whatever goes wrong is written to the job; a lost lease ends the call without a trace.
    """
    due = (
        SyncJob.objects.select_related("organization", "integration__organization")
        .filter(pk=job_id, status__in=LIVE, due_at__lte=timezone.now())
        .order_by("pk")
    )
    claimed = claim(due, owner=owner_name(), seconds=LEASE)
    if not claimed:
        return False
    job = claimed[0]
    try:
        with Heartbeat(job, LEASE) as heartbeat:
            _Run(job, heartbeat, time.monotonic() + budget).go()
    except LeaseLost:
        logger.info("%s was taken over by another worker.", job.number)
    finally:
        release(job)
    return True


class _Wait(Exception):
    """The job cannot go on now; it is due again later."""

    def __init__(self, delay: float, message: str = "", kind: str = "", *, failed: bool = False) -> None:
        self.delay, self.message, self.kind, self.failed = delay, message, kind, failed


class _Cancelled(Exception):
    """Somebody asked for it to stop."""


class _CredentialsRefused(Exception):
    """No other stream can do better."""


class _Run:
    def __init__(self, job: SyncJob, heartbeat: Heartbeat, deadline: float) -> None:
        self.job, self.heartbeat, self.deadline = job, heartbeat, deadline
        self.integration = job.integration

    def go(self) -> None:
        try:
            self._check_wanted()
            self._begin()
            connection = connections.resolve(self.integration)
            self.policy = RetryPolicy(attempts=int(connection.config.get("retry_attempts") or 6))
            for number, run in enumerate(self.job.streams.filter(status__in=LIVE).order_by("position")):
                if number:
                    self._pause_between_steps()
                self._stream(run, connection)
        except _Wait as wait:
            self._wait(wait)
            return
        except _Cancelled as reason:
            self._end_streams(SyncStatus.CANCELLED, str(reason), "")
        except _CredentialsRefused:
            self._end_streams(SyncStatus.FAILED, "Not tried, as the credentials were refused.", Kind.AUTH)
        except (EngineError, ManifestError) as error:
            self._end_streams(SyncStatus.FAILED, str(error), getattr(error, "kind", Kind.FATAL))
        except LeaseLost:
            raise
        except Exception:
            # A fault of ours or of the database: tried again some times, from the checkpoint.
            logger.exception("%s stopped unexpectedly.", self.job.number)
            self._unexpected()
            return
        self._finish()

    # One stream.

    def _stream(self, run: SyncStream, connection: Connection) -> None:
        try:
            writer = self._writer(run, connection)
            if not run.checkpoint.get("sweep"):
                self._read(run, connection, writer)
            if run.checkpoint.get("sweep"):
                self._sweep(writer)
        except EngineError as error:
            self._failed(run, error)
        except LeaseLost:
            raise
        except HubError as error:
            if error.transient:
                raise
            self._end(run, SyncStatus.FAILED, error.detail, Kind.FATAL)

    def _writer(self, run: SyncStream, connection: Connection) -> PageWriter:
        row = (
            self.integration.streams.select_related("dataset", "mapping").filter(name=run.name).first()
            if run.stream_id
            else None
        )
        stream = connection.streams.get(run.name)
        if row is None or stream is None:
            raise EngineError(Kind.FATAL, "The stream is no longer part of the integration.")
        if run.started_at is None or run.status != SyncStatus.RUNNING:
            run.started_at = run.started_at or timezone.now()
            run.status = SyncStatus.RUNNING
            run.save(update_fields=["started_at", "status"])
        dataset = records.dataset_of(self.integration.organization, row.dataset.slug)
        return PageWriter(
            job=self.job,
            run=run,
            row=row,
            stream=stream,
            dataset=dataset,
            mapping=streams.mapping_of(row, stream),
        )

    def _read(self, run: SyncStream, connection: Connection, writer: PageWriter) -> None:
        send = Caller(self.integration, connection, f"read {run.name}"[:40], self.job)
        pages = read(writer.stream, connection, send, run.checkpoint, Mode(run.mode))
        for page in pages:
            self.heartbeat.check()
            writer.write(page)
            if not page.last:
                self._pause_between_steps()

    def _sweep(self, writer: PageWriter) -> None:
        while not writer.sweep():
            self._pause_between_steps()

    def _pause_between_steps(self) -> None:
        """Looked at before each page but the first: is it still wanted, ours, and within a task's time."""
        self.heartbeat.check()
        self._check_wanted()
        if time.monotonic() > self.deadline:
            raise _Wait(0.0)

    def _check_wanted(self) -> None:
        found = (
            SyncJob.objects.filter(pk=self.job.pk)
            .values_list("cancel_requested_at", "integration__status", "integration__removed_at")
            .get()
        )
        if found[0] is not None:
            raise _Cancelled("Cancelled.")
        if found[1] != IntegrationStatus.ACTIVE or found[2] is not None:
            raise _Cancelled(f"{self.integration} is no longer active.")

    def _failed(self, run: SyncStream, error: EngineError) -> None:
        """A call failed: wait and try again, or give the stream up."""
        if isinstance(error, OverLimit):
            raise _Wait(error.retry_after or 60.0, error.message, error.kind)
        if error.retryable and self.job.attempts + 1 < self.policy.attempts:
            delay = self.policy.delay(self.job.attempts + 1, error.retry_after)
            raise _Wait(delay, error.message, error.kind, failed=True)
        message = error.message
        if error.retryable:
            message = f"{message} Given up after {self.job.attempts + 1} tries."
        self._end(run, SyncStatus.FAILED, message, error.kind)
        fenced_update(self.job, attempts=0)
        if error.kind == Kind.AUTH:
            raise _CredentialsRefused

    # The job.

    def _begin(self) -> None:
        if self.job.status == SyncStatus.RUNNING:
            return
        first = self.job.started_at is None
        with transaction.atomic():
            fenced_update(self.job, started_at=self.job.started_at or timezone.now())
            move(self.job, SyncStatus.RUNNING, SYNC)
            if first:
                endings.announce(self.job)

    def _wait(self, wait: _Wait) -> None:
        """Hand the job back, to go on from its checkpoint when it is due."""
        due = timezone.now() + timedelta(seconds=wait.delay)
        with transaction.atomic():
            fenced_update(
                self.job,
                due_at=due,
                attempts=self.job.attempts + (1 if wait.failed else 0),
                error_kind=wait.kind,
                error_message=wait.message[:500],
            )
            if self.job.status == SyncStatus.RUNNING:
                move(self.job, SyncStatus.PENDING, SYNC)
            release(self.job)
            if wait.delay <= BELL:
                enqueue(
                    "connectors.run_sync", self.job.pk, countdown=wait.delay + 0.1 if wait.delay else None
                )

    def _unexpected(self) -> None:
        attempts = self.job.attempts + 1
        message = "Something went wrong on our side; it was logged."
        if attempts >= RetryPolicy().attempts:
            self._end_streams(SyncStatus.FAILED, message, Kind.FATAL)
            self._finish()
        else:
            self._wait(_Wait(RetryPolicy().delay(attempts, None), message, Kind.TRANSIENT, failed=True))

    def _end(self, run: SyncStream, status: str, message: str, kind: str) -> None:
        with transaction.atomic():
            fenced_update(self.job, error_kind=kind)
            run.status, run.completed_at = status, timezone.now()
            run.error_message, run.error_kind = message[:500], kind
            run.save(update_fields=["status", "completed_at", "error_message", "error_kind"])

    def _end_streams(self, status: str, message: str, kind: str) -> None:
        """End every stream that has not ended."""
        for run in self.job.streams.filter(status__in=LIVE):
            self._end(run, status, message, kind)

    def _finish(self) -> None:
        runs = list(self.job.streams.all())
        status = endings.verdict(runs)
        message = endings.summary(runs)
        if status == SyncStatus.COMPLETED and message:
            status = SyncStatus.PARTIAL
        kind = next((run.error_kind for run in runs if run.error_kind), "")
        with transaction.atomic():
            values: dict[str, Any] = {
                "completed_at": timezone.now(),
                "error_message": message,
                "error_kind": kind,
            }
            if self.job.started_at is None:
                values["started_at"] = values["completed_at"]
            fenced_update(self.job, **values)
            if self.job.status == SyncStatus.PENDING and status != SyncStatus.CANCELLED:
                move(self.job, SyncStatus.RUNNING, SYNC)
            move(self.job, status, SYNC)
            endings.settle(self.job)
            first = next((run.error_message for run in runs if run.error_message), message)
            self._tell_health(status, first, kind)
            endings.announce(self.job)
            release(self.job)

    def _tell_health(self, status: str, message: str, kind: str) -> None:
        if status in (SyncStatus.COMPLETED, SyncStatus.PARTIAL):
            health.record(self.integration, ok=True)
        elif status == SyncStatus.FAILED and kind in (Kind.AUTH, Kind.TRANSIENT, Kind.RATE):
            health.record(self.integration, ok=False, reason=message, final=kind == Kind.AUTH)
