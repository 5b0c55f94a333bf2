"""Sending what is due: claim, send concurrently, record, and again, for as long as there is work.

One loop runs per worker; any number of workers may run theirs at once. The database is used by the thread
that calls `drain`; the requests run in the sender's event loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, transaction
from django.utils import timezone

from apps.kernel import pace
from apps.kernel.leases import owner_name
from apps.webhooks.services import claims, results
from apps.webhooks.services.claims import Claimed
from apps.webhooks.services.requests import Settings, SettingsCache, build
from apps.webhooks.services.sender import MAX_CONNECTIONS, Outcome, Sender

logger = logging.getLogger(__name__)

IN_FLIGHT = MAX_CONNECTIONS  # deliveries that one worker has under way: none waits for a connection
BATCH = 400  # outcomes recorded at once: each batch is a commit, which waits for the disk
POLL_SECONDS = 0.03  # how soon new work is seen while the loop is awake
GATHER_SECONDS = 0.01  # how long outcomes are gathered before they are recorded together
LINGER_SECONDS = 1.0  # how long the loop stays awake without work
RENEW_SECONDS = claims.LEASE_SECONDS / 3
_TRIES = 5


@dataclass
class Drained:
    """What a run of the loop did."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0  # outcomes whose lease another worker had taken over


def drain(
    *,
    seconds: float = 30.0,
    linger: float = LINGER_SECONDS,
    stop: Callable[[], bool] = lambda: False,
    hand_over: Callable[[], None] = lambda: None,
    in_flight: int = IN_FLIGHT,
) -> Drained:
    """Deliver what is due, and what becomes due meanwhile.

    Returns when nothing was due for `linger` seconds, or, after `seconds` or when `stop()` says so, as soon
    as what is under way has ended. `hand_over` is called before that wait: a receiver that hangs must not
    keep the next loop from serving the others.
    """
    # The sender's thread and this one must not wait for each other's turns: each answer is a turn.
    with pace.calm(), Sender() as sender:
        loop = _Loop(sender=sender, owner=owner_name(), most=in_flight)
        deadline = time.monotonic() + seconds
        quiet_since = time.monotonic()
        ending = False
        while True:
            if not ending and (time.monotonic() >= deadline or stop()):
                ending = True
                hand_over()
            if ending and not loop.flying:
                return loop.done
            claimed = 0 if ending else loop.claim()
            recorded = loop.collect(wait=0.0 if claimed else POLL_SECONDS)
            loop.renew()
            # What was recorded may have let the next of an ordering key go.
            if claimed or recorded or loop.flying or loop.held_back:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= linger:
                return loop.done


def send_now(jobs: Sequence[Claimed], *, owner: str) -> None:
    """Send what `owner` has claimed, in this thread, and record it."""
    with Sender() as sender:
        loop = _Loop(sender=sender, owner=owner, most=len(jobs))
        loop.start(jobs)
        while loop.flying:
            loop.collect(wait=0.5)
            loop.renew()


@dataclass
class _Loop:
    """The state of one run: what is under way, and when its leases were renewed."""

    sender: Sender
    owner: str
    most: int
    # By attempt: a delivery whose lease ran out may be claimed again while its first request still hangs.
    flying: dict[UUID, Claimed] = field(default_factory=dict)
    cache: SettingsCache = field(default_factory=SettingsCache)
    used: dict[UUID, Settings] = field(default_factory=dict)
    done: Drained = field(default_factory=Drained)
    held_back: bool = False
    failures: int = 0
    renewed_at: float = field(default_factory=time.monotonic)

    def claim(self) -> int:
        """Claim as much as there is room for, once that is worth a statement; returns how much."""
        room = self.most - len(self.flying)
        if room < self.most // 4:
            return 0
        try:
            got = claims.claim(owner=self.owner, room=room)
        except (OperationalError, InterfaceError):
            # What is under way must not be lost for a database that is away for a moment.
            self.failures += 1
            if self.failures > _TRIES or transaction.get_connection().in_atomic_block:
                raise
            logger.warning("Deliveries could not be claimed; trying again.", exc_info=True)
            close_old_connections()
            time.sleep(0.2 * self.failures)
            return 0
        self.failures = 0
        self.held_back = got.held_back
        if got.jobs:
            self.start(got.jobs)
        return len(got.jobs)

    def start(self, jobs: Sequence[Claimed]) -> None:
        """Sign and send. What cannot be sent at all ends at once, as a failed attempt."""
        self.used.update(self.cache.get(jobs))
        work = []
        for job in jobs:
            self.flying[job.attempt_id] = job
            settings = self.used.get(job.endpoint_id)
            if settings is None or job.body is None:
                self.sender.finish(_unsendable(job, "The message was removed from the hub."))
                continue
            try:
                work.append((job, build(settings, job), settings.networks))
            except Exception as error:
                logger.exception("The request of a delivery could not be built.")
                self.sender.finish(_unsendable(job, f"The request cannot be built ({type(error).__name__})."))
        self.sender.submit(work)

    def collect(self, *, wait: float) -> int:
        """Record what has come back, a little gathered for one transaction; returns how many."""
        outcomes = self.sender.collect(wait=wait, most=BATCH)
        if outcomes and len(outcomes) < min(BATCH, len(self.flying)):
            time.sleep(GATHER_SECONDS)
            outcomes += self.sender.collect(wait=0.0, most=BATCH - len(outcomes))
        if not outcomes:
            return 0
        kept = self._record(outcomes)
        self.done.sent += len(outcomes)
        self.done.delivered += sum(outcome.succeeded for outcome in outcomes)
        self.done.lost += len(outcomes) - kept
        for outcome in outcomes:
            self.flying.pop(outcome.job.attempt_id, None)
        return len(outcomes)

    def _record(self, outcomes: Sequence[Outcome]) -> int:
        """Record, again if the database fails for a moment; in the end the leases run out and it is sent
        again.
        """
        for attempt in range(1, _TRIES + 1):
            try:
                return results.record(outcomes, self.used, owner=self.owner)
            except (OperationalError, InterfaceError):
                if attempt == _TRIES or transaction.get_connection().in_atomic_block:
                    raise
                logger.warning("Results of deliveries could not be recorded; trying again.", exc_info=True)
                close_old_connections()
                time.sleep(0.2 * 2**attempt)
        return 0

    def renew(self) -> None:
        """Keep the leases of what is under way."""
        if not self.flying or time.monotonic() - self.renewed_at < RENEW_SECONDS:
            return
        try:
            claims.renew(owner=self.owner, ids_=[job.id for job in self.flying.values()])
        except DatabaseError:
            logger.warning("Leases of deliveries could not be renewed.", exc_info=True)
            close_old_connections()
        self.renewed_at = time.monotonic()


def _unsendable(job: Claimed, why: str) -> Outcome:
    return Outcome(
        job=job, finished_at=timezone.now(), duration_ms=0, error_code="unsendable", error=why, permanent=True
    )
