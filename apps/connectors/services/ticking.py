"""What the clock does: starts due syncs, wakes those that wait or were left behind, checks connections."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.connectors.errors import NotActive, SyncRunning
from apps.connectors.models import CallCount, Integration, IntegrationLog, SyncJob
from apps.connectors.services import schedules, syncs
from apps.connectors.services.health import CHECK_EVERY
from apps.connectors.statuses import LIVE, SyncTrigger
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError
from apps.kernel.leases import claim, free, owner_name, release
from apps.tenants.principals import SYSTEM

logger = logging.getLogger(__name__)

BATCH = 100
LEASE = 60.0
LOG_DAYS = 30
COUNT_DAYS = 400


def tick() -> None:
    """Everything that is due. Running it twice, or in two places at once, does nothing twice."""
    start_due()
    wake()
    check_due()


def start_due() -> int:
    """Start the scheduled syncs that are due; returns how many."""
    started = 0
    due = Integration.objects.needing_sync().select_related("organization")
    rows = claim(due, owner=owner_name(), seconds=LEASE, limit=BATCH)
    for integration in rows:
        try:
            _start(integration)
            started += 1
        except (SyncRunning, NotActive):
            _postpone(integration)
        except HubError as error:
            logger.warning("%s cannot sync: %s", integration.number, error.detail)
            _postpone(integration)
        finally:
            release(integration)
    return started


def _start(integration: Integration) -> None:
    with transaction.atomic():
        _postpone(integration)
        syncs.start(integration=integration, actor=SYSTEM, trigger=SyncTrigger.SCHEDULED)


def _postpone(integration: Integration) -> None:
    """The next time after this one; it is computed anew when the sync has ended."""
    following = schedules.next_run(integration, timezone.now())
    Integration.objects.filter(pk=integration.pk).update(next_sync_at=following)


def wake() -> int:
    """Ring for every sync that is due and that nobody works on, also after a worker's death."""
    now = timezone.now()
    due = SyncJob.objects.filter(free(now), status__in=LIVE, due_at__lte=now).order_by("due_at")
    keys = list(due.values_list("pk", flat=True)[: BATCH * 5])
    for key in keys:
        enqueue(syncs.TASK, key)
    return len(keys)


def check_due() -> int:
    """Ring for each health check that is due."""
    now = timezone.now()
    keys = list(Integration.objects.needing_check(now).values_list("pk", flat=True)[:BATCH])
    # Moved on first: a check that dies is made at the next turn, not at every tick.
    Integration.objects.filter(pk__in=keys).update(next_check_at=now + CHECK_EVERY)
    for key in keys:
        enqueue("connectors.check_health", key)
    return len(keys)


def sweep_logs(*, days: int = LOG_DAYS, batch: int = 5000) -> int:
    """Delete old calls from the log, and old counts; returns how many lines of the log went."""
    now = timezone.now()
    CallCount.objects.filter(hour__lt=now - timedelta(days=COUNT_DAYS)).delete()
    deleted = 0
    while True:
        old = IntegrationLog.objects.filter(created_at__lt=now - timedelta(days=days))
        keys = list(old.order_by("pk").values_list("pk", flat=True)[:batch])
        if not keys:
            return deleted
        IntegrationLog.objects.filter(pk__in=keys).delete()
        deleted += len(keys)
