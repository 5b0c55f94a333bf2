"""How long usage is kept: the finer, the shorter."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, models
from django.utils import timezone

from apps.apikeys.models.usage import Grain, RequestLog, UsageAddresses, UsageBucket
from apps.kernel import ids

KEPT = {
    Grain.MINUTES: timedelta(days=2),
    Grain.HOUR: timedelta(days=31),
    Grain.DAY: timedelta(days=400),
}
LINES_KEPT = timedelta(days=14)
LINES_OF_ONE = 500  # of one caller; refused calls of nobody known count as one caller
_BATCH = 5_000


def thin(now: datetime | None = None) -> int:
    """Delete what is older than its kind is kept; returns how many rows went.

    Hours and days are written beside each other from the first call on, so that thinning is deleting: what
    hours told is in the days.
    """
    now = now or timezone.now()
    gone = 0
    for model in (UsageBucket, UsageAddresses):
        for grain, age in KEPT.items():
            gone += _delete(
                model._default_manager.filter(grain=grain, starts_at__lt=now - age - _span(grain))
            )
    gone += _delete(RequestLog.objects.filter(pk__lt=ids.floor_of(now - LINES_KEPT)))
    return gone + _delete_beyond(LINES_OF_ONE)


def _span(grain: int) -> timedelta:
    return timedelta(seconds=grain)


def _delete(rows: models.QuerySet[Any]) -> int:
    gone = 0
    while True:
        keys = list(rows.order_by().values_list("pk", flat=True)[:_BATCH])
        if not keys:
            return gone
        for n in range(0, len(keys), 900):
            part = rows.model._default_manager.filter(pk__in=keys[n : n + 900])
            gone += part._raw_delete(part.db)


def _delete_beyond(most: int) -> int:
    """Keep the newest lines of each caller."""
    table = connection.ops.quote_name(RequestLog._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM (SELECT id, ROW_NUMBER() OVER "  # noqa: S608
            "(PARTITION BY organization_id, subject_kind, subject_id ORDER BY id DESC) AS place "
            f"FROM {table}) AS ranked WHERE place > %s)",
            [most],
        )
        return int(cursor.rowcount)
