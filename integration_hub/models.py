"""The roof's one table: who of the running schedulers acts."""

from __future__ import annotations

from django.db import models

from apps.kernel.leases import Leased


class SchedulerLease(Leased):
    """Held by the one scheduler that rings. Its lease is renewed every few seconds: also the heartbeat."""

    name = models.CharField(max_length=32, unique=True)
    taken_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"scheduler lease {self.name}"
