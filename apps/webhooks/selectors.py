"""Reads about endpoints, deliveries and how well they go.

Statistics are counted from the rows, never kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, Max, Q, QuerySet
from django.db.models.functions import TruncHour
from django.utils import timezone

from apps.events.models import Event
from apps.events.selectors import first_id
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization
from apps.webhooks.models import Delivery, DeliveryAttempt, Replay, WebhookEndpoint
from apps.webhooks.statuses import UNFINISHED, WAITING, Cause, DeliveryStatus

WINDOW = timedelta(days=30)
DAY = timedelta(hours=24)
RECENT = 10

_FINISHED = Q(finished_at__isnull=False, is_test=False)
SUCCEEDED = Q(status_code__gte=200, status_code__lt=300, error_code="")


def endpoints_of(
    organization: Organization, *, status: str = "", event: str = "", search: str = ""
) -> QuerySet[WebhookEndpoint]:
    """The endpoints of an organization, newest first, without the removed ones."""
    rows = WebhookEndpoint.objects.kept().filter(organization=organization).select_related("project")
    if status:
        rows = rows.filter(status=status)
    if event:
        rows = rows.filter(pk__in=WebhookEndpoint.objects.for_event(organization, event).values("pk"))
    if search:
        rows = rows.filter(
            Q(name__icontains=search) | Q(number__istartswith=search) | Q(url_shown__icontains=search)
        )
    return rows.order_by("-id")


def endpoint_of(organization: Organization, ref: str) -> WebhookEndpoint:
    """The endpoint with this number or public id. Raises NotFound."""
    rows = WebhookEndpoint.objects.kept().filter(organization=organization)
    pk = WebhookEndpoint.parse_public_id(ref)
    endpoint = (
        rows.select_related("organization", "project").filter(Q(pk=pk) if pk else Q(number=ref)).first()
    )
    if endpoint is None:
        raise NotFound(f"There is no webhook endpoint {ref[:60]!r} in this organization.")
    return endpoint


def deliveries_of(
    organization: Organization,
    *,
    endpoint: WebhookEndpoint | None = None,
    event: Event | None = None,
    statuses: Iterable[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Delivery]:
    """The deliveries of an organization or of one of its endpoints, newest first."""
    rows = Delivery.objects.filter(organization=organization).select_related("endpoint")
    if endpoint is not None:
        rows = rows.filter(endpoint=endpoint)
    if event is not None:
        rows = rows.filter(event=event)
    rows = in_status(rows, statuses)
    if since is not None:
        rows = rows.filter(id__gte=first_id(since))
    if until is not None:
        rows = rows.filter(id__lt=first_id(until))
    return rows.order_by("-id")


def in_status(rows: QuerySet[Delivery], statuses: Iterable[str]) -> QuerySet[Delivery]:
    """Those of `rows` in these states; all of them without any."""
    wanted = list(statuses)
    if not wanted:
        return rows
    if DeliveryStatus.DELIVERED not in wanted:
        # In the words of the partial indexes: SQLite concludes nothing by itself.
        rows = rows.exclude(status=DeliveryStatus.DELIVERED)
    return rows.filter(status__in=wanted) if len(wanted) > 1 else rows.filter(status=wanted[0])


def delivery_of(organization: Organization, ref: str) -> Delivery:
    """The delivery with this public id. Raises NotFound."""
    pk = Delivery.parse_public_id(ref)
    delivery = (
        Delivery.objects.select_related("endpoint", "organization", "payload")
        .filter(organization=organization, pk=pk)
        .first()
        if pk
        else None
    )
    if delivery is None:
        raise NotFound(f"There is no delivery {ref[:60]!r} in this organization.")
    return delivery


def attempts_of(delivery: Delivery) -> QuerySet[DeliveryAttempt]:
    """The tries at a delivery, the first one first."""
    return DeliveryAttempt.objects.filter(delivery=delivery).order_by("number")


@dataclass
class Hour:
    """One hour of an endpoint's attempts."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    average_ms: float | None = None


@dataclass
class Activity:
    """An endpoint's attempts of the last day, and what waits."""

    hours: list[Hour] = field(default_factory=list)
    waiting: int = 0

    @property
    def succeeded(self) -> int:
        return sum(hour.succeeded for hour in self.hours)

    @property
    def failed(self) -> int:
        return sum(hour.failed for hour in self.hours)

    @property
    def success_rate(self) -> float | None:
        """Per cent; None without attempts."""
        return _percent(self.succeeded, self.succeeded + self.failed)

    @property
    def average_ms(self) -> float | None:
        """Milliseconds that the successful attempts took."""
        timed = [(hour.average_ms, hour.succeeded) for hour in self.hours if hour.average_ms is not None]
        total = sum(n for _, n in timed)
        return sum(ms * n for ms, n in timed) / total if total else None


def activity_of(endpoint_ids: Iterable[UUID], *, now: datetime | None = None) -> dict[UUID, Activity]:
    """The last 24 hours of some endpoints, hour by hour: two queries, however many endpoints."""
    wanted = list(endpoint_ids)
    last = (timezone.now() if now is None else now).replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=n) for n in range(23, -1, -1)]
    found = {key: {start: Hour(start) for start in starts} for key in wanted}
    rows = (
        DeliveryAttempt.objects.filter(_FINISHED, endpoint_id__in=wanted, started_at__gte=starts[0])
        .order_by()
        .annotate(hour=TruncHour("started_at"))
        .values("endpoint_id", "hour")
        .annotate(
            good=Count("id", filter=SUCCEEDED),
            failed=Count("id", filter=~SUCCEEDED),
            average=Avg("duration_ms", filter=SUCCEEDED),
        )
    )
    for row in rows:
        hour = found[row["endpoint_id"]].get(row["hour"])
        if hour is not None:
            hour.succeeded, hour.failed, hour.average_ms = row["good"], row["failed"], row["average"]
    waiting = dict(
        Delivery.objects.filter(endpoint_id__in=wanted, status__in=WAITING)
        .order_by()
        .values_list("endpoint_id")
        .annotate(Count("id"))
    )
    return {key: Activity(list(hours.values()), waiting.get(key, 0)) for key, hours in found.items()}


def activity_of_all(organization: Organization) -> Activity | None:
    """The last 24 hours of all the endpoints of an organization together; None if it has none."""
    each = activity_of(endpoints_of(organization).order_by().values_list("pk", flat=True))
    if not each:
        return None
    together = Activity([Hour(hour.start) for hour in next(iter(each.values())).hours])
    for activity in each.values():
        together.waiting += activity.waiting
        for total, hour in zip(together.hours, activity.hours, strict=True):
            total.succeeded += hour.succeeded
            total.failed += hour.failed
    return together


def recent_deliveries(endpoint: WebhookEndpoint, *, limit: int = RECENT) -> list[Delivery]:
    """The last deliveries of an endpoint, newest first."""
    return list(Delivery.objects.filter(endpoint=endpoint).order_by("-id")[:limit])


def unfinished_replays(endpoint: WebhookEndpoint) -> list[Replay]:
    """What is being sent again to an endpoint, or would be if it were not paused."""
    return list(Replay.objects.filter(endpoint=endpoint, status__in=UNFINISHED).order_by("-id")[:RECENT])


def statistics_of(endpoints: Any, *, since: datetime | None = None) -> dict[str, Any]:
    """Sums over endpoints (ids, or a queryset of them) since a time, by default the last 30 days.

    Durations in milliseconds; rates in per cent; nothing counts tests.
    """
    start = timezone.now() - WINDOW if since is None else since
    deliveries = (
        Delivery.objects.filter(endpoint_id__in=endpoints, id__gte=first_id(start))
        .exclude(cause=Cause.TEST)
        .order_by()
        .aggregate(
            total=Count("id"),
            successful=Count("id", filter=Q(status=DeliveryStatus.DELIVERED)),
            failed=Count("id", filter=Q(status=DeliveryStatus.FAILED)),
            waiting=Count("id", filter=Q(status__in=WAITING)),
        )
    )
    attempts = (
        DeliveryAttempt.objects.filter(_FINISHED, endpoint_id__in=endpoints, started_at__gte=start)
        .order_by()
        .aggregate(
            last=Max("finished_at"),
            last_success=Max("finished_at", filter=SUCCEEDED),
            last_failure=Max("finished_at", filter=~SUCCEEDED),
            average=Avg("duration_ms", filter=SUCCEEDED),
            retries=Count("id", filter=Q(number__gt=1)),
            succeeded=Count("id", filter=SUCCEEDED),
            total=Count("id"),
        )
    )
    return {
        "since": start,
        "total_deliveries": deliveries["total"],
        "successful_deliveries": deliveries["successful"],
        "failed_deliveries": deliveries["failed"],
        "waiting_deliveries": deliveries["waiting"],
        "last_delivery_at": attempts["last"],
        "last_success_at": attempts["last_success"],
        "last_failure_at": attempts["last_failure"],
        "average_response_time": None if attempts["average"] is None else round(attempts["average"]),
        "total_retries": attempts["retries"],
        "success_rate": _percent(attempts["succeeded"], attempts["total"]),
        "days_since_last_delivery": None
        if attempts["last_success"] is None
        else (timezone.now() - attempts["last_success"]) // timedelta(days=1),
    }


def success_rate(endpoint: WebhookEndpoint) -> float | None:
    """Per cent of the attempts of the last 30 days that succeeded."""
    sums = (
        DeliveryAttempt.objects.filter(_FINISHED, endpoint=endpoint, started_at__gte=timezone.now() - WINDOW)
        .order_by()
        .aggregate(succeeded=Count("id", filter=SUCCEEDED), total=Count("id"))
    )
    return _percent(sums["succeeded"], sums["total"])


def last_delivered_at(endpoint: WebhookEndpoint) -> datetime | None:
    """When the newest delivery that arrived did."""
    return (
        Delivery.objects.filter(endpoint=endpoint, status=DeliveryStatus.DELIVERED)
        .order_by("-id")
        .values_list("delivered_at", flat=True)
        .first()
    )


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
