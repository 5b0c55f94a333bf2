"""Leases on rows: who works on it, until when, and a fencing token that outlives the worker's illusions.

A worker that was paused for longer than its lease finds that the token has moved on: its writes through
`fenced_update` change nothing and raise LeaseLost.
"""

from __future__ import annotations

import copy
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.kernel.crypto.fields import sealed
from apps.kernel.errors import RaceLost

logger = logging.getLogger(__name__)


class LeaseLost(RaceLost):
    """The lease ran out and another worker has the row, or it was released."""

    code = "lease_lost"
    title = "Another worker has taken this over"


class Leased(models.Model):
    """A row that one worker at a time may work on."""

    lease_owner = models.CharField(max_length=64, blank=True, default="", editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    lease_token = models.BigIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


L = TypeVar("L", bound=Leased)


def owner_name() -> str:
    """A name for a lease's owner that no other worker has: host, process, thread, random."""
    host = socket.gethostname()[:22]
    return f"{host}:{os.getpid()}:{threading.get_native_id()}:{secrets.token_hex(4)}"[:64]


def free(at: datetime | None = None) -> Q:
    """The condition that nobody holds a live lease."""
    return Q(lease_until=None) | Q(lease_until__lt=timezone.now() if at is None else at)


def claim(queryset: QuerySet[L], *, owner: str, seconds: float, limit: int = 1) -> list[L]:
    """Lease up to `limit` free rows of `queryset`, in its order, and return them.

    PostgreSQL: rows that others are claiming at this moment are skipped, nobody waits. The clock is the
    database's there, so that workers whose clocks differ agree. SQLite: one immediate transaction.
    """
    if limit < 1:
        return []
    using = router.db_for_write(queryset.model)
    vendor = connections[using].vendor
    with transaction.atomic(using=using):
        if vendor == "postgresql":
            ready = queryset.using(using).annotate(_lease_clock=Now())
            candidates = ready.filter(Q(lease_until=None) | Q(lease_until__lt=Now()))
            rows = list(candidates.select_for_update(skip_locked=True, of=("self",))[:limit])
            clock = rows[0]._lease_clock if rows else timezone.now()  # type: ignore[attr-defined]
        else:
            clock = timezone.now()
            rows = list(queryset.using(using).filter(free(clock))[:limit])
        if not rows:
            return []
        until = clock + timedelta(seconds=seconds)
        mine = _rows(queryset.model, using).filter(pk__in=[row.pk for row in rows])
        if vendor != "postgresql":
            mine = mine.filter(free(clock))
        changed = mine.update(lease_owner=owner, lease_until=until, lease_token=F("lease_token") + 1)
        if changed != len(rows):  # only where transactions do not lock at once
            taken = set(
                mine.model._base_manager.using(using)
                .filter(pk__in=[row.pk for row in rows], lease_owner=owner, lease_until=until)
                .values_list("pk", flat=True)
            )
            rows = [row for row in rows if row.pk in taken]
    for row in rows:
        row.lease_owner, row.lease_until, row.lease_token = owner, until, row.lease_token + 1
    return rows


def renew(row: Leased, seconds: float) -> bool:
    """Prolong a lease to `seconds` from now. False if it is lost."""
    using = row._state.db or router.db_for_write(type(row))
    until: Any = timezone.now() + timedelta(seconds=seconds)
    value = Now() + timedelta(seconds=seconds) if connections[using].vendor == "postgresql" else until
    if not _held(row).update(lease_until=value):
        return False
    row.lease_until = until
    return True


def release(row: Leased) -> bool:
    """Give a lease back. False if it was lost already, which needs no action."""
    if not _held(row).update(lease_owner="", lease_until=None):
        return False
    row.lease_owner, row.lease_until = "", None
    return True


def holds(row: Leased) -> bool:
    """Whether the database still knows this lease, and it has not run out."""
    using = row._state.db or router.db_for_write(type(row))
    now: Any = Now() if connections[using].vendor == "postgresql" else timezone.now()
    return bool(row.lease_owner) and _held(row).filter(lease_until__gte=now).exists()


def fenced_update(row: L, **values: Any) -> None:
    """Update a leased row, only if the lease's token is still ours. Raises LeaseLost, with nothing changed.

    A lease that ran out but that nobody took over is still ours. Encrypted fields may be among the values.
    """
    stored = dict(values)
    if any(field.name == "updated_at" for field in row._meta.concrete_fields):
        stored.setdefault("updated_at", timezone.now())
    if not row.lease_owner or not _held(row).update(**sealed(row, **stored)):
        raise LeaseLost(f"{row} is no longer leased to this worker; nothing was changed.")
    for name, value in {**stored, **values}.items():
        setattr(row, name, value)


def fenced_update_many(rows: Sequence[L], **values: Any) -> None:
    """The same values for several leased rows, in one statement for all that were leased equally often.

    Raises LeaseLost if any lease is lost: inside a transaction, so that nothing is changed then. Not for
    encrypted fields.
    """
    by_lease: dict[tuple[str, int], list[L]] = {}
    for row in rows:
        by_lease.setdefault((row.lease_owner, row.lease_token), []).append(row)
    for (owner, token), group in by_lease.items():
        using = group[0]._state.db or router.db_for_write(type(group[0]))
        held = _rows(type(group[0]), using).filter(
            pk__in=[row.pk for row in group], lease_owner=owner, lease_token=token
        )
        if not owner or held.update(**values) != len(group):
            raise LeaseLost("Of these rows, one is no longer leased to this worker; nothing was changed.")
    for row in rows:
        for name, value in values.items():
            setattr(row, name, value)


class Heartbeat:
    """Renews a lease in a thread for as long as the work in its `with` block takes.

    `lost` becomes true when the lease is gone; `check()` raises LeaseLost then, for the work to call between
    its steps. A database that cannot be reached is tried again until the lease has run out.
    """

    def __init__(self, row: Leased, seconds: float) -> None:
        # A copy of our own, since the work changes the row meanwhile.
        self._row = copy.copy(row)
        self._name = str(row)
        self._seconds = seconds
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-heartbeat", daemon=True)

    @property
    def lost(self) -> bool:
        return self._lost.is_set()

    def check(self) -> None:
        """Raise LeaseLost if the lease is gone."""
        if self.lost:
            raise LeaseLost(f"{self._name} is no longer leased to this worker.")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        alive_until = time.monotonic() + self._seconds
        try:
            while not self._stop.wait(self._seconds / 3):
                started = time.monotonic()
                try:
                    if not renew(self._row, self._seconds):
                        self._lost.set()
                        return
                    alive_until = started + self._seconds
                except DatabaseError as exc:
                    logger.warning("The lease of %s was not renewed: %s", self._name, type(exc).__name__)
                    connections.close_all()
                    if time.monotonic() >= alive_until:
                        self._lost.set()
                        return
        finally:
            connections.close_all()


def _rows(model: type[L], using: str) -> QuerySet[L]:
    return model._base_manager.using(using)


def _held(row: L) -> QuerySet[L]:
    using = row._state.db or router.db_for_write(type(row))
    return _rows(type(row), using).filter(pk=row.pk, lease_owner=row.lease_owner, lease_token=row.lease_token)
