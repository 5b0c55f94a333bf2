"""What happens with webhooks at this moment: the queue, what is on its way, what just arrived.

Read with the same few queries however many endpoints there are, each bounded by the last minute or a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Min, Q
from django.db.models.functions import TruncSecond
from django.utils import timezone

from apps.events.selectors import first_id
from apps.tenants.models import Organization
from apps.webhooks.inbound_statuses import InboundStatus
from apps.webhooks.models import Delivery, DeliveryAttempt, InboundWebhook, Replay, WebhookEndpoint
from apps.webhooks.selectors import SUCCEEDED
from apps.webhooks.statuses import UNFINISHED, WAITING, DeliveryStatus, EndpointStatus, HealthStatus

SECONDS = 60
SHOWN = 12
SHOWN_ENDPOINTS = 50


@dataclass
class EndpointNow:
    """One endpoint: what waits for it, and how its last minute went."""

    endpoint: WebhookEndpoint
    in_flight: int = 0
    due: int = 0
    later: int = 0
    oldest: datetime | None = None
    succeeded: int = 0
    failed: int = 0
    total_ms: float = 0

    @property
    def is_held(self) -> bool:
        return self.endpoint.status == EndpointStatus.PAUSED

    @property
    def waiting(self) -> int:
        return self.due + self.later

    @property
    def per_second(self) -> float:
        return (self.succeeded + self.failed) / SECONDS

    @property
    def average_ms(self) -> float | None:
        return self.total_ms / self.succeeded if self.succeeded else None

    @property
    def trouble(self) -> int:
        """What is shown first: paused and failing, then what is merely busy."""
        if self.endpoint.status in (EndpointStatus.PAUSED, EndpointStatus.FAILED):
            return 3
        if self.endpoint.health_status == HealthStatus.FAILING:
            return 2
        return 1 if self.failed or self.endpoint.health_status == HealthStatus.DEGRADED else 0


@dataclass
class Now:
    """An organization's webhooks at one moment."""

    at: datetime
    endpoints: list[EndpointNow]
    succeeded: list[int] = field(default_factory=lambda: [0] * SECONDS)
    failed: list[int] = field(default_factory=lambda: [0] * SECONDS)
    received: list[int] = field(default_factory=lambda: [0] * SECONDS)
    sending: list[DeliveryAttempt] = field(default_factory=list)
    finished: list[DeliveryAttempt] = field(default_factory=list)
    inbound: list[InboundWebhook] = field(default_factory=list)
    inbound_waiting: int = 0
    inbound_oldest: datetime | None = None
    replays: list[Replay] = field(default_factory=list)

    @property
    def seconds(self) -> list[datetime]:
        """The moments of the three lists, oldest first."""
        last = self.at.replace(microsecond=0)
        return [last - timedelta(seconds=SECONDS - 1 - n) for n in range(SECONDS)]

    @property
    def sent_per_second(self) -> float:
        return (sum(self.succeeded) + sum(self.failed)) / SECONDS

    @property
    def received_per_second(self) -> float:
        return sum(self.received) / SECONDS

    @property
    def in_flight(self) -> int:
        return sum(one.in_flight for one in self.endpoints)

    @property
    def due(self) -> int:
        return sum(one.due for one in self.endpoints if not one.is_held)

    @property
    def later(self) -> int:
        return sum(one.later for one in self.endpoints if not one.is_held)

    @property
    def held(self) -> int:
        return sum(one.waiting for one in self.endpoints if one.is_held)

    @property
    def queue_age(self) -> timedelta:
        """Since when the oldest due delivery waits to be sent."""
        times = [one.oldest for one in self.endpoints if one.due and not one.is_held and one.oldest]
        return max(timedelta(), self.at - min(times)) if times else timedelta()

    @property
    def shown_endpoints(self) -> list[EndpointNow]:
        """Those in trouble first, then the busiest."""
        ranked = sorted(
            self.endpoints,
            key=lambda one: (-one.trouble, -(one.in_flight + one.due), -one.per_second, one.endpoint.number),
        )
        return ranked[:SHOWN_ENDPOINTS]


def now_of(organization: Organization, *, at: datetime | None = None) -> Now:
    """The present moment of an organization."""
    at = timezone.now() if at is None else at
    rows = WebhookEndpoint.objects.kept().filter(organization=organization)
    found = {
        row.pk: EndpointNow(row)
        for row in rows.only("id", "number", "name", "status", "health_status", "consecutive_failures")
    }
    now = Now(at, list(found.values()))
    since = now.seconds[0]
    _queue(found, at)
    _minute(now, found, since)
    tries = DeliveryAttempt.objects.filter(endpoint_id__in=list(found)).select_related("delivery", "endpoint")
    tries = tries.defer("request_headers", "response_headers", "response_body")
    long_ago = at - timedelta(minutes=5)  # what is older belongs to a worker that was killed
    now.sending = list(
        tries.filter(started_at__gte=long_ago, finished_at=None).order_by("started_at")[:SHOWN]
    )
    now.finished = list(
        tries.filter(started_at__gte=since, finished_at__isnull=False).order_by("-finished_at")[:SHOWN]
    )
    _inbound(now, organization, since)
    unfinished = Replay.objects.filter(organization=organization, status__in=UNFINISHED)
    now.replays = list(unfinished.select_related("endpoint").order_by("-id")[:SHOWN])
    return now


def _queue(found: dict[UUID, EndpointNow], at: datetime) -> None:
    # In the words of the partial indexes `delivery_due` and `delivery_leased`.
    waiting = (
        Delivery.objects.filter(
            endpoint_id__in=list(found), status__in=WAITING, next_attempt_at__isnull=False
        )
        .order_by()
        .values("endpoint_id")
        .annotate(
            due=Count("id", filter=Q(next_attempt_at__lte=at)),
            waiting=Count("id"),
            oldest=Min("next_attempt_at"),
        )
    )
    for row in waiting:
        one = found[row["endpoint_id"]]
        one.due, one.later, one.oldest = row["due"], row["waiting"] - row["due"], row["oldest"]
    under_way = Delivery.objects.filter(endpoint_id__in=list(found), status=DeliveryStatus.DELIVERING)
    for endpoint_id, number in under_way.order_by().values_list("endpoint_id").annotate(Count("id")):
        found[endpoint_id].in_flight = number


def _minute(now: Now, found: dict[UUID, EndpointNow], since: datetime) -> None:
    rows = (
        DeliveryAttempt.objects.filter(
            endpoint_id__in=list(found), started_at__gte=since, finished_at__isnull=False, is_test=False
        )
        .order_by()
        .annotate(second=TruncSecond("started_at"))
        .values("endpoint_id", "second")
        .annotate(
            good=Count("id", filter=SUCCEEDED),
            bad=Count("id", filter=~SUCCEEDED),
            average=Avg("duration_ms", filter=SUCCEEDED),
        )
    )
    index = {second: n for n, second in enumerate(now.seconds)}
    for row in rows:
        one, n = found[row["endpoint_id"]], index.get(row["second"])
        one.succeeded += row["good"]
        one.failed += row["bad"]
        one.total_ms += (row["average"] or 0) * row["good"]
        if n is not None:
            now.succeeded[n] += row["good"]
            now.failed[n] += row["bad"]


def _inbound(now: Now, organization: Organization, since: datetime) -> None:
    mine = InboundWebhook.objects.filter(organization=organization)
    now.inbound = list(
        mine.select_related("receiver").defer("body", "headers", "response").order_by("-id")[:SHOWN]
    )
    index = {second: n for n, second in enumerate(now.seconds)}
    rows = (
        mine.filter(id__gte=first_id(since), received_at__gte=since)
        .order_by()
        .annotate(second=TruncSecond("received_at"))
        .values_list("second")
        .annotate(Count("id"))
    )
    for second, number in rows:
        if second in index:
            now.received[index[second]] += number
    open_ones = mine.filter(status__in=(InboundStatus.PENDING, InboundStatus.PROCESSING))
    sums: dict[str, Any] = open_ones.order_by().aggregate(number=Count("id"), oldest=Min("received_at"))
    now.inbound_waiting, now.inbound_oldest = sums["number"], sums["oldest"]
