"""Order within an ordering key: only the first open delivery of a key has a time; the others wait for it.

Whoever adds to a key and whoever finishes its first delivery hold the endpoint's row, so that neither misses
the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef

from apps.webhooks.models import Delivery, WebhookEndpoint
from apps.webhooks.statuses import OPEN, WAITING


class FifoQueue:
    """Who may go at once in the ordering keys of some endpoints: the first of each key."""

    def __init__(self, endpoint_ids: set[UUID]) -> None:
        self._taken: set[tuple[UUID, str]] = set()
        if not endpoint_ids:
            return
        lock_endpoints(endpoint_ids)
        waiting = Delivery.objects.filter(endpoint_id__in=endpoint_ids, status__in=OPEN).exclude(
            ordering_key=""
        )
        self._taken.update(waiting.order_by().values_list("endpoint_id", "ordering_key").distinct())

    def due_at(self, endpoint_id: UUID, key: str, now: datetime) -> datetime | None:
        """When a new delivery is due: now, or never if it waits for another of its key."""
        if not key:
            return now
        if (endpoint_id, key) in self._taken:
            return None
        self._taken.add((endpoint_id, key))
        return now


def lock_endpoints(endpoint_ids: Iterable[UUID]) -> None:
    """Lock the rows of endpoints, in one order everywhere. SQLite's transactions are alone anyway."""
    wanted = set(endpoint_ids)
    if wanted and connection.features.has_select_for_update:
        rows = WebhookEndpoint.objects.filter(pk__in=wanted).order_by("pk")
        list(rows.select_for_update(no_key=True).values_list("pk"))


def release(keys: Iterable[tuple[UUID, str]], now: datetime) -> None:
    """Let the first open delivery of each key go."""
    for endpoint_id, key in sorted(keys):
        mine = Delivery.objects.filter(endpoint_id=endpoint_id, ordering_key=key, status__in=OPEN)
        first = mine.order_by("id").values_list("pk", flat=True).first()
        if first is not None:
            Delivery.objects.filter(pk=first, status__in=WAITING, next_attempt_at=None).update(
                next_attempt_at=now
            )


def release_forgotten(now: datetime) -> int:
    """Let go the first of every key in which nothing is due or under way, and say how many.

    There is none unless rows were changed past these services; a sweep looks all the same.
    """
    before = Delivery.objects.filter(
        endpoint_id=OuterRef("endpoint_id"),
        ordering_key=OuterRef("ordering_key"),
        status__in=OPEN,
        id__lt=OuterRef("id"),
    ).exclude(ordering_key="")
    # In the words of the partial index; one under way keeps its time, so an empty one is waiting.
    stuck = Delivery.objects.filter(status__in=OPEN, next_attempt_at=None).exclude(ordering_key="")
    found = list(stuck.filter(~Exists(before)).values_list("pk", flat=True)[:1000])
    if not found:
        return 0
    return Delivery.objects.filter(pk__in=found, status__in=WAITING, next_attempt_at=None).update(
        next_attempt_at=now
    )
