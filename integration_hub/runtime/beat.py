"""The scheduler: django-celery-beat's, acting only while it holds a lease, however many are started.

The others wait; when the holder stops it gives the lease back, and when it is killed the lease runs out
after LEASE seconds. Whoever takes over reads the schedule anew, with what the holder wrote of its last runs.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import schedules
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from apps.kernel import leases
from integration_hub.models import SchedulerLease
from integration_hub.schedule import ENTRIES

logger = logging.getLogger(__name__)

NAME = "beat"
LEASE = 15.0  # seconds; with WAIT the longest that nobody rings after a SIGKILL
RENEW = 5.0
WAIT = 3.0
SELDOM = 300.0  # seconds between two rings
DECLARED = "Declared by the hub; it comes back when deleted, disable it instead."


class LeasedScheduler(DatabaseScheduler):
    """Rings only while its lease lives, which costs one statement every RENEW seconds."""

    sync_every = 30  # seconds after which the last runs of frequent entries are written down, for people

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._owner = leases.owner_name()
        self._held: SchedulerLease | None = None
        self._held_until = self._renew_at = 0.0
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing at the start: the schedule is written by whoever gets the lease."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if not self._hold():
            return WAIT
        seconds: float = super().tick(*args, **kwargs)
        return min(seconds, RENEW)

    def reserve(self, entry: ModelEntry) -> ModelEntry:
        reserved = super().reserve(entry)
        # A daily ring that is not written down at once would be repeated by a successor.
        often = isinstance(entry.schedule, schedules.schedule) and entry.schedule.seconds < SELDOM
        if not often:
            self.sync()
        return reserved

    def close(self) -> None:
        super().close()
        if self._held is not None:
            leases.release(self._held)
            self._held = None

    def _hold(self) -> bool:
        """Whether this scheduler may ring now."""
        now = time.monotonic()
        if self._held is not None and now < self._renew_at:
            return True
        try:
            close_old_connections()
            return self._renew(now) if self._held is not None else self._take(now)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The scheduler's lease could not be kept: %s.", type(error).__name__)
            # Without the database the lease runs out for the others when it does for us.
            return self._held is not None and now < self._held_until

    def _renew(self, now: float) -> bool:
        assert self._held is not None
        if leases.renew(self._held, LEASE):
            self._held_until, self._renew_at = now + LEASE, now + RENEW
            return True
        logger.warning("Another scheduler has taken over; this one waits.")
        self._held = None
        return False

    def _take(self, now: float) -> bool:
        row, _ = SchedulerLease.objects.get_or_create(name=NAME)
        taken = leases.claim(SchedulerLease.objects.filter(pk=row.pk), owner=self._owner, seconds=LEASE)
        if not taken:
            return False
        self._held = taken[0]
        leases.fenced_update(self._held, taken_at=timezone.now())
        self._held_until, self._renew_at = now + LEASE, now + RENEW
        self._install()
        # What another scheduler has rung meanwhile is in the database, not in our memory.
        self._dirty.clear()
        self._initial_read = True
        self._heap = None
        logger.info("This scheduler acts from now on.")
        return True

    def _install(self) -> None:
        """Write the declared entries; remove declared ones that the code no longer has."""
        for entry in ENTRIES:
            self.Entry.from_entry(
                entry.name,
                app=self.app,
                task=entry.task,
                schedule=entry.when,
                options={"queue": entry.queue, "expire_seconds": entry.expires},
                description=DECLARED,
            )
        names = [entry.name for entry in ENTRIES]
        PeriodicTask.objects.filter(description=DECLARED).exclude(name__in=names).delete()
