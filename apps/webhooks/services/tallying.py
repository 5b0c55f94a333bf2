"""Counting attempts for good, each once: a mark moves along the attempts' time-ordered ids.

What lies before the mark is in the tallies, what lies behind it is counted when somebody asks. Sending pays
nothing for it, and forgetting old attempts takes nothing away.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Count, Q, QuerySet, Sum, Value, When
from django.utils import timezone

from apps.events.selectors import first_id
from apps.kernel import ids
from apps.webhooks.models import AttemptTally, DeliveryAttempt, TallyMark

BOUNDS_MS = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 15000, 30000)
# An attempt takes at most two minutes; one that is not finished by then was lost with its worker.
SETTLED = timedelta(minutes=5)
SLICE = timedelta(hours=1)
SLICES = 200  # of one run, so that it ends

_RESULT = Case(
    When(finished_at=None, then=Value("lost")),
    When(Q(error_code="", status_code__gte=200, status_code__lt=300), then=Value("delivered")),
    When(Q(status_code__gte=300, status_code__lt=400), then=Value("3xx")),
    When(Q(status_code__gte=400, status_code__lt=500), then=Value("4xx")),
    When(Q(status_code__gte=500, status_code__lt=600), then=Value("5xx")),
    default=Value("error"),
)


def counted(rows: QuerySet[DeliveryAttempt]) -> Iterator[AttemptTally]:
    """Unsaved tallies of some attempts, one for each endpoint and result; tests are left out."""
    sums: dict[str, Any] = {
        f"upto{n}": Count("id", filter=Q(duration_ms__lte=bound)) for n, bound in enumerate(BOUNDS_MS)
    }
    groups: Any = (
        rows.filter(is_test=False)
        .order_by()
        .annotate(result=_RESULT)
        .values("endpoint_id", "result")
        .annotate(many=Count("id"), total_ms=Sum("duration_ms"), **sums)
    )
    for row in groups:
        yield AttemptTally(
            endpoint_id=row["endpoint_id"],
            result=row["result"],
            count=row["many"],
            total_ms=row["total_ms"] or 0,
            buckets=[row[f"upto{n}"] for n in range(len(BOUNDS_MS))],
        )


def fold() -> int:
    """Move the mark up to what is settled; returns how many attempts were counted. Safe to run at once with
    others: each stretch is counted by whoever moves the mark over it.
    """
    end = first_id(timezone.now() - SETTLED)
    total = 0
    for _ in range(SLICES):
        with transaction.atomic():
            start = _mark()
            if start >= end:
                break
            upto = end_of_stretch(start, end)
            if not TallyMark.objects.filter(pk=1, upto=start).update(upto=upto):
                break  # somebody else is at it
            total += _add(DeliveryAttempt.objects.filter(pk__gte=start, pk__lt=upto))
    return total


def mark() -> UUID:
    """The first attempt that is not counted yet has this id or a later one."""
    row = TallyMark.objects.filter(pk=1).first()
    return UUID(int=0) if row is None else row.upto


def _mark() -> UUID:
    row, _ = TallyMark.objects.get_or_create(pk=1, defaults={"upto": UUID(int=0)})
    return row.upto


def end_of_stretch(start: UUID, end: UUID) -> UUID:
    """Where the hour ends that begins at the first attempt from `start` on; at most `end`."""
    first = DeliveryAttempt.objects.filter(pk__gte=start, pk__lt=end).order_by("id").first()
    if first is None:
        return end
    return min(end, ids.floor_of(first.started_at + SLICE))


def _add(rows: QuerySet[DeliveryAttempt]) -> int:
    total = 0
    for fresh in counted(rows):
        total += fresh.count
        known = AttemptTally.objects.filter(endpoint_id=fresh.endpoint_id, result=fresh.result).first()
        if known is None:
            fresh.save()
            continue
        known.count += fresh.count
        known.total_ms += fresh.total_ms
        known.buckets = [a + b for a, b in zip(known.buckets, fresh.buckets, strict=True)]
        known.save(update_fields=["count", "total_ms", "buckets"])
    return total
