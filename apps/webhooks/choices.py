"""Which past messages are meant by a replay: read page by page, oldest first, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from apps.events.models import Event
from apps.events.selectors import first_id
from apps.webhooks.models import BatchItem, Delivery, Payload, WebhookEndpoint
from apps.webhooks.statuses import WAITING, Cause, Chosen, DeliveryStatus, EndpointStatus

PAGE = 500
COUNTED_EVENTS = 20_000
"""Events that are looked at to count what was missed while somebody waits for the number."""
OPEN_TO_IT = (EndpointStatus.ACTIVE, EndpointStatus.PAUSED, EndpointStatus.TESTING)

_ENDED = (DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)
_STATUSES: dict[str, tuple[str, ...]] = {
    Chosen.FAILED: _ENDED,
    Chosen.MISSING: (),
    Chosen.ALL: (*_ENDED, DeliveryStatus.DELIVERED),
}
# One that is under way at this moment is left alone.
SELECTABLE = (*WAITING, *_ENDED, DeliveryStatus.DELIVERED)


@dataclass
class Counted:
    """How many failed deliveries are retried, arrived ones sent again, missing ones created, waiting ones
    sent at once. `is_exact` is false where counting ended before its end.
    """

    failed: int = 0
    delivered: int = 0
    missing: int = 0
    waiting: int = 0
    is_exact: bool = True

    @property
    def total(self) -> int:
        return self.failed + self.delivered + self.missing + self.waiting


@dataclass(frozen=True)
class Choice:
    """What is meant. Without an endpoint: of all those of the organization that may be sent to."""

    organization_id: UUID
    endpoint: WebhookEndpoint | None
    what: str
    until: datetime
    since: datetime | None = None
    statuses: Sequence[str] = ()
    event_types: Sequence[str] = ()
    delivery_ids: Sequence[UUID] = field(default=())

    @property
    def wanted_statuses(self) -> Sequence[str]:
        return _STATUSES.get(self.what) if self.what in _STATUSES else (self.statuses or SELECTABLE)  # type: ignore[return-value]

    @property
    def wants_missing(self) -> bool:
        return self.what in (Chosen.MISSING, Chosen.ALL)

    @property
    def start(self) -> UUID:
        return UUID(int=0) if self.since is None else first_id(self.since)

    @property
    def end(self) -> UUID:
        return first_id(self.until)

    # --- deliveries that there are

    def deliveries(self) -> QuerySet[Delivery]:
        """The past deliveries that are meant and whose message the hub still has."""
        rows = Delivery.objects.filter(
            organization_id=self.organization_id, id__gte=self.start, id__lt=self.end
        )
        if self.endpoint is not None:
            rows = rows.filter(endpoint=self.endpoint)
        else:
            rows = rows.filter(endpoint__removed_at=None, endpoint__status__in=OPEN_TO_IT)
        if self.delivery_ids:
            rows = rows.filter(pk__in=self.delivery_ids)
        else:  # a replay of a replay would double what is sent
            rows = rows.exclude(status=DeliveryStatus.DELIVERED, cause=Cause.REPLAY)
        if DeliveryStatus.DELIVERED not in self.wanted_statuses:
            # In the words of the partial indexes: SQLite concludes nothing by itself.
            rows = rows.exclude(status=DeliveryStatus.DELIVERED)
        message = Payload.objects.filter(pk=OuterRef("payload_id"))
        rows = rows.filter(status__in=self.wanted_statuses).exclude(cause=Cause.TEST)
        rows = rows.filter(Q(payload_id=None) | Exists(message))  # else it was forgotten
        # One without a time waits for the delivery before it in its ordering key.
        rows = rows.exclude(status__in=WAITING, next_attempt_at=None)
        return rows.filter(self._of_types()) if self._is_typed else rows

    @property
    def _is_typed(self) -> bool:
        return bool(self.event_types) and "*" not in self.event_types

    def _of_types(self) -> Q:
        typed = _types("event_type", self.event_types)
        parts = BatchItem.objects.filter(typed, delivery=OuterRef("pk"))
        return typed | Q(Exists(parts), items__gt=0)

    def page(self, after: UUID | None) -> list[Mapping[str, Any]]:
        """The next past deliveries, after one of them."""
        if not self.wanted_statuses:
            return []
        rows = self.deliveries() if after is None else self.deliveries().filter(id__gt=after)
        return list(
            rows.order_by("id").values(
                "id", "status", "endpoint_id", "event_id", "payload_id", "event_type", "ordering_key",
                "cause", "items",
            )[:PAGE]
        )  # fmt: skip

    # --- events that never became one

    def events(self) -> QuerySet[Event]:
        """The events that may have been missed; which ones were is judged by `missed`."""
        rows = Event.objects.filter(
            organization_id=self.organization_id, id__gte=self.start, id__lt=self.end
        ).exclude(fanned_out_at=None)
        return rows.filter(_types("type", self.event_types)) if self._is_typed else rows

    def event_page(self, after: UUID | None) -> list[Event]:
        if not self.wants_missing or self.endpoint is None:
            return []
        rows = self.events() if after is None else self.events().filter(id__gt=after)
        return list(rows.order_by("id")[:PAGE])

    def missed(self, heard: Sequence[Event]) -> list[Event]:
        """Those of the events that the endpoint listens for that were never owed to it."""
        ids = [event.pk for event in heard]
        mine = Delivery.objects.filter(endpoint=self.endpoint, event_id__in=ids)
        owed = set(mine.values_list("event_id", flat=True))
        parts = BatchItem.objects.filter(delivery__endpoint=self.endpoint, event_id__in=ids)
        owed |= set(parts.values_list("event_id", flat=True))
        return [event for event in heard if event.pk not in owed]

    # --- numbers

    def counted_deliveries(self) -> Counted:
        """The past deliveries, in one query."""
        if not self.wanted_statuses:
            return Counted()
        rows = self.deliveries().order_by().values_list("status").annotate(Count("id"))
        by_status: dict[str, int] = dict(rows)
        return Counted(
            failed=sum(by_status.get(status, 0) for status in _ENDED),
            delivered=by_status.get(DeliveryStatus.DELIVERED, 0),
            waiting=sum(by_status.get(status, 0) for status in WAITING),
        )


def _types(column: str, patterns: Iterable[str]) -> Q:
    """The condition of `matches` in SQL."""
    found = Q(pk__in=[])
    for pattern in patterns:
        found |= (
            Q(**{f"{column}__startswith": pattern[:-1]}) if pattern.endswith(".*") else Q(**{column: pattern})
        )
    return found
