"""Reads about the hub's health."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from apps.health.models import HealthCheck
from apps.kernel.probes import probes

STALE_AFTER = timedelta(minutes=3)


@dataclass(frozen=True, slots=True)
class Health:
    """The hub's state in one word, and each check's."""

    status: str
    checks: tuple[HealthCheck, ...]
    stale: bool


def overall() -> Health:
    """The newest findings. Raises django's OperationalError if the database does not answer.

    Findings older than three minutes count as a warning: nobody has asked since, so no worker lives.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    checks = tuple(HealthCheck.objects.all())
    newest = max((check.checked_at for check in checks if check.checked_at), default=None)
    stale = newest is None or newest < timezone.now() - STALE_AFTER
    vital = {probe.name for probe in probes if probe.vital}
    statuses = {check.status for check in checks}
    failing = {check.name for check in checks if check.status == HealthCheck.Status.FAIL}
    if failing & vital:
        status = "fail"
    elif stale or failing or "warn" in statuses:
        status = "warn"
    else:
        status = "pass"
    return Health(status, checks, stale)
