"""How long what came in is kept."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.kernel import ids
from apps.webhooks.inbound_statuses import DONE
from apps.webhooks.models import InboundAttempt, InboundCount, InboundRejection, InboundWebhook

KEPT_DAYS = 90
COUNT_DAYS = 400
REJECTION_DAYS = 30
BATCH = 1000


def forget_old(*, days: int = KEPT_DAYS, batch: int = BATCH) -> int:
    """Delete finished webhooks older than `days`, in small transactions; returns how many.

    As long as a webhook is kept, the same event is known when it comes again.
    """
    now = timezone.now()
    floor = ids.floor_of(now - timedelta(days=days))
    total = 0
    while True:
        old = list(
            InboundWebhook.objects.filter(pk__lt=floor, status__in=DONE)
            .order_by("id")
            .values_list("pk", flat=True)[:batch]
        )
        with transaction.atomic():
            InboundAttempt.objects.filter(webhook_id__in=old).delete()
            InboundWebhook.objects.filter(pk__in=old).delete()
        total += len(old)
        if len(old) < batch:
            break
    InboundCount.objects.filter(hour__lt=now - timedelta(days=COUNT_DAYS)).delete()
    InboundRejection.objects.filter(at__lt=now - timedelta(days=REJECTION_DAYS)).delete()
    return total
