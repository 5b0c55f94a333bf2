"""What Prometheus is told about webhooks; read from rows when it asks, and from nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Min, Q
from django.utils import timezone

from apps.events.models import Event
from apps.kernel.metrics import Family, Sample
from apps.webhooks.models import AttemptTally, Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services import tallying
from apps.webhooks.statuses import WAITING, DeliveryStatus, EndpointStatus


def collect() -> Iterator[Family]:
    """Queue, work in hand, attempts by endpoint and result, and how long they took."""
    endpoints: dict[UUID, dict[str, Any]] = {
        row["id"]: dict(row)
        for row in WebhookEndpoint.objects.values(
            "id", "number", "organization__slug", "status", "consecutive_failures", "removed_at"
        )
    }
    yield from _queue(endpoints)
    yield from _attempts(endpoints)
    yield Family(
        "hub_webhook_endpoint_consecutive_failures",
        "gauge",
        "Failures in a row of each endpoint.",
        [
            Sample(row["consecutive_failures"], _named(row))
            for row in endpoints.values()
            if row["removed_at"] is None
        ],
    )
    states: dict[str, int] = dict.fromkeys(EndpointStatus.values, 0)
    for row in endpoints.values():
        if row["removed_at"] is None:
            states[row["status"]] += 1
    yield Family(
        "hub_webhook_endpoints",
        "gauge",
        "Endpoints by status.",
        [Sample(number, {"status": name}) for name, number in states.items()],
    )


def _queue(endpoints: dict[UUID, dict[str, Any]]) -> Iterator[Family]:
    now = timezone.now()
    # In the words of the partial index `delivery_due`.
    rows = (
        Delivery.objects.filter(status__in=WAITING, next_attempt_at__isnull=False)
        .order_by()
        .values("endpoint_id")
        .annotate(
            due=Count("id", filter=Q(next_attempt_at__lte=now)),
            waiting=Count("id"),
            oldest=Min("next_attempt_at"),
        )
    )
    due = later = held = 0
    oldest = now
    for row in rows:
        endpoint = endpoints.get(row["endpoint_id"])
        if endpoint is not None and endpoint["status"] == EndpointStatus.PAUSED:
            held += row["waiting"]
            continue
        due += row["due"]
        later += row["waiting"] - row["due"]
        oldest = min(oldest, row["oldest"])
    yield Family(
        "hub_webhook_queue_age_seconds",
        "gauge",
        "Seconds since the oldest due delivery became due; 0 if none is.",
        [Sample((now - oldest).total_seconds())],
    )
    yield Family("hub_webhook_deliveries_due", "gauge", "Deliveries that are due now.", [Sample(due)])
    yield Family(
        "hub_webhook_deliveries_later", "gauge", "Deliveries whose next try lies ahead.", [Sample(later)]
    )
    yield Family(
        "hub_webhook_deliveries_held", "gauge", "Deliveries held by paused endpoints.", [Sample(held)]
    )
    yield Family(
        "hub_webhook_deliveries_in_flight",
        "gauge",
        "Deliveries that workers hold.",
        [Sample(Delivery.objects.filter(status=DeliveryStatus.DELIVERING).count())],
    )
    yield Family(
        "hub_events_waiting",
        "gauge",
        "Events that were not handed to their subscribers yet.",
        [Sample(Event.objects.filter(fanned_out_at=None).count())],
    )


def _attempts(endpoints: dict[UUID, dict[str, Any]]) -> Iterator[Family]:
    by_result: dict[tuple[UUID, str], int] = defaultdict(int)
    buckets = [0] * len(tallying.BOUNDS_MS)
    total = total_ms = 0
    for tally in _tallies():
        by_result[tally.endpoint_id, tally.result] += tally.count
        if tally.result != "lost":
            total += tally.count
            total_ms += tally.total_ms
            buckets = [a + b for a, b in zip(buckets, tally.buckets, strict=True)]
    yield Family(
        "hub_webhook_attempts_total",
        "counter",
        "HTTP tries by endpoint and result: delivered, 3xx, 4xx, 5xx, error, or lost with their worker.",
        [
            Sample(number, {**_named(endpoints[key]), "result": result})
            for (key, result), number in sorted(by_result.items())
            if key in endpoints
        ],
    )
    samples = [
        Sample(number, {"le": f"{bound / 1000:g}"}, "_bucket")
        for bound, number in zip(tallying.BOUNDS_MS, buckets, strict=True)
    ]
    samples += [Sample(total, {"le": "+Inf"}, "_bucket"), Sample(total_ms / 1000, {}, "_sum")]
    yield Family(
        "hub_webhook_attempt_duration_seconds",
        "histogram",
        "How long HTTP tries took.",
        [*samples, Sample(total, {}, "_count")],
    )


def _tallies() -> list[AttemptTally]:
    """Everything up to the mark, and what has ended since."""
    with transaction.atomic():
        before = tallying.mark()
        known = list(AttemptTally.objects.all())
        if tallying.mark() != before:  # it moved between the two reads
            before, known = tallying.mark(), list(AttemptTally.objects.all())
    since = DeliveryAttempt.objects.filter(pk__gte=before, finished_at__isnull=False)
    return [*known, *tallying.counted(since)]


def _named(row: dict[str, Any]) -> dict[str, str]:
    return {"organization": row["organization__slug"], "endpoint": row["number"]}
