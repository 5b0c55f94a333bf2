"""What a sweep does besides sending: take over from killed workers, and give up on endpoints that never
came back.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM
from apps.webhooks import health
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services import claims, fifo, pausing
from apps.webhooks.statuses import ENDPOINT_TRANSITIONS, Cause, DeliveryStatus, EndpointStatus

logger = logging.getLogger(__name__)

INTERRUPTED = "interrupted"
# A delivery whose worker died this often is not innocent.
MAX_INTERRUPTIONS = 20


def recover(*, limit: int = 1000) -> int:
    """Take back deliveries whose worker's lease ran out, and send them again at once; returns how many.

    Nobody knows whether their last request arrived: receivers see the same `webhook-id` twice at worst.
    """
    now = timezone.now()
    with transaction.atomic():
        lost = Delivery.objects.filter(status=DeliveryStatus.DELIVERING, lease_until__lt=now).order_by("id")
        if connection.features.has_select_for_update_skip_locked:
            lost = lost.select_for_update(skip_locked=True, of=("self",))
        rows = list(lost.only("id", "cause", "endpoint_id", "ordering_key")[:limit])
        if not rows:
            return 0
        everything = [row.pk for row in rows]
        DeliveryAttempt.objects.filter(delivery_id__in=everything, finished_at=None).update(
            finished_at=now,
            error_code=INTERRUPTED,
            error="The worker ended before the answer was recorded; the request may have arrived.",
        )
        hopeless = _interrupted_too_often(everything) | {row.pk for row in rows if row.cause == Cause.TEST}
        again = [key for key in everything if key not in hopeless]
        back = {"lease_owner": "", "lease_until": None, "updated_at": now}
        Delivery.objects.filter(pk__in=again).update(
            status=DeliveryStatus.RETRYING, next_attempt_at=now, last_error="The worker ended.", **back
        )
        Delivery.objects.filter(pk__in=hopeless).update(
            status=DeliveryStatus.FAILED,
            next_attempt_at=None,
            last_error="Workers ended while sending it.",
            **back,
        )
        fifo.release(
            {(row.endpoint_id, row.ordering_key) for row in rows if row.pk in hopeless and row.ordering_key},
            now,
        )
    logger.warning("%s deliveries were taken over from workers that ended.", len(rows))
    return len(rows)


def _interrupted_too_often(delivery_ids: list[UUID]) -> set[UUID]:
    often = (
        DeliveryAttempt.objects.filter(delivery_id__in=delivery_ids, error_code=INTERRUPTED)
        .order_by()
        .values("delivery_id")
        .annotate(times=Count("id"))
        .filter(times__gte=MAX_INTERRUPTIONS)
    )
    return {row["delivery_id"] for row in often}


def give_up() -> int:
    """Mark endpoints as failed that paused themselves 30 days ago and never came back; what they held is
    cancelled.
    """
    cutoff = timezone.now() - health.GIVE_UP_AFTER
    stale = WebhookEndpoint.objects.kept().filter(next_probe_at__isnull=False, paused_at__lt=cutoff)
    count = 0
    for endpoint in stale.select_related("organization").filter(status=EndpointStatus.PAUSED)[:100]:
        with transaction.atomic():
            claims.hold()
            move(endpoint, EndpointStatus.FAILED, ENDPOINT_TRANSITIONS, next_probe_at=None)
            cancelled = pausing.cancel_waiting(endpoint)
            entries.record(
                organization=endpoint.organization,
                actor=SYSTEM,
                action="webhook.failed",
                target=endpoint,
                changes={"status": ["paused", "failed"], "cancelled_deliveries": [0, cancelled]},
            )
        count += 1
    return count
