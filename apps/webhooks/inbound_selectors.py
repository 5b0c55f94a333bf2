"""Reads about inbound webhooks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.utils import timezone

from apps.tenants.models import Organization
from apps.webhooks.models import (
    InboundAttempt,
    InboundCount,
    InboundReceiver,
    InboundRejection,
    InboundWebhook,
)
from apps.webhooks.services.inbound.counting import COLUMNS

SHOWN_ATTEMPTS = 50


def webhooks_of(
    organization: Organization, *, number: str | None = None, bodies: bool = False
) -> QuerySet[InboundWebhook]:
    """The organization's webhooks, of one integration or all; bodies only where they are shown."""
    rows = InboundWebhook.objects.filter(organization=organization).select_related("receiver")
    if number is not None:
        rows = rows.filter(receiver__organization=organization, receiver__number=number)
    return rows if bodies else rows.defer("body", "headers", "response")


def attempts_of(webhook: InboundWebhook) -> list[InboundAttempt]:
    """The last tries, oldest first."""
    return list(reversed(webhook.attempts.order_by("-id")[:SHOWN_ATTEMPTS]))


def last_received_at(receiver: InboundReceiver) -> datetime | None:
    """When the last verified webhook came."""
    rows = InboundWebhook.objects.filter(receiver=receiver).order_by("-id")
    return rows.values_list("received_at", flat=True).first()


def rejections_of(receiver: InboundReceiver) -> list[InboundRejection]:
    """The sample of what was refused, newest first."""
    return list(receiver.rejections.order_by("-at"))


def sums_of(receiver: InboundReceiver, *, hours: int = 24) -> dict[str, int]:
    """What came in the last hours: received, duplicates, rejected, too large."""
    since = timezone.now() - timedelta(hours=hours)
    sums = receiver.counts.filter(hour__gte=since).aggregate(**{name: Sum(name) for name in COLUMNS})
    return {name: int(value or 0) for name, value in sums.items()}


def hours_of(receivers: Any, *, hours: int = 24) -> list[dict[str, Any]]:
    """Received and rejected by hour, every hour one entry, oldest first, of one receiver or several."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    start = now - timedelta(hours=hours - 1)
    rows = (
        InboundCount.objects.filter(receiver__in=receivers, hour__gte=start)
        .order_by()
        .values("hour")
        .annotate(received=Sum("received"), rejected=Sum("rejected"))
    )
    known = {row["hour"]: row for row in rows}
    empty = {"received": 0, "rejected": 0}
    return [
        {**empty, **known.get(start + timedelta(hours=n), {}), "hour": start + timedelta(hours=n)}
        for n in range(hours)
    ]
