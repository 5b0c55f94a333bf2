"""The watchdog: a provider that used to call and calls no more is worth a warning.

Without a limit of its own, a receiver is judged by its past: it must have been called in at least MIN_HOURS
of the last DAYS days, and then be silent for three times its longest pause (with no pause of the last hour
counted twice), and for two hours at least.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.events import inbound
from apps.events.services import outbox
from apps.webhooks.events import INBOUND_HEARD, INBOUND_SILENT
from apps.webhooks.inbound_selectors import last_received_at
from apps.webhooks.models import InboundReceiver

DAYS = 14
MIN_HOURS = 10
TIMES = 3
SHORTEST = timedelta(hours=2)
EVERY = timedelta(minutes=5)
BATCH = 500


def watch(*, now: datetime | None = None) -> int:
    """Look at every receiver that was not looked at lately; returns how many have changed."""
    now = now or timezone.now()
    changed = 0
    seen = InboundReceiver.objects.filter(enabled=True).exclude(silence_checked_at__gt=now - EVERY)
    for receiver in seen.select_related("organization").order_by(
        F("silence_checked_at").asc(nulls_first=True)
    )[:BATCH]:
        changed += _look(receiver, now)
    return changed


def allowed_silence(receiver: InboundReceiver, now: datetime) -> timedelta | None:
    """How long nothing may come before it is worth a warning; None if nothing can be said."""
    own = receiver.silence_after_minutes
    if own is not None:
        return timedelta(minutes=own) if own else None
    hours = list(
        receiver.counts.filter(hour__gte=now - timedelta(days=DAYS), received__gt=0)
        .order_by("hour")
        .values_list("hour", flat=True)
    )
    if len(hours) < MIN_HOURS:
        return None
    longest = max(later - earlier for earlier, later in pairwise(hours))
    return max(TIMES * longest, SHORTEST)


def _look(receiver: InboundReceiver, now: datetime) -> int:
    rows = InboundReceiver.objects.filter(pk=receiver.pk)
    last = last_received_at(receiver)
    limit = allowed_silence(receiver, now)
    silent = last is not None and limit is not None and now - last > limit
    found = inbound.by_number(receiver.organization, receiver.number)
    if found is None or found[1].state != "open":
        silent = False
    if silent == (receiver.silent_since is not None):
        rows.update(silence_checked_at=now)
        return 0
    with transaction.atomic():
        # Two watchdogs at once: the one that changes the row tells.
        mine = rows.filter(silent_since__isnull=silent).update(
            silence_checked_at=now, silent_since=last if silent else None
        )
        if mine and (silent or (last is not None and found is not None)):
            outbox.publish(
                organization=receiver.organization,
                type=INBOUND_SILENT if silent else INBOUND_HEARD,
                data={
                    "integration": receiver.number,
                    "name": receiver.title,
                    "last_received_at": last.isoformat() if last else None,
                },
                subject=receiver.number,
            )
    return int(bool(mine))
