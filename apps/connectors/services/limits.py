"""Rate limits of an integration, held across all workers by counters in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.models import Integration, RateWindow
from apps.connectors.registry import connectors

PERIODS = {"minute": 60, "hour": 3600, "day": 86400}


class OverLimit(EngineError):
    """The integration's own limit is reached; the provider was not called."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(Kind.RATE, message, retry_after=retry_after)


def limits_of(integration: Integration) -> dict[str, int]:
    """Calls allowed by period: the integration's own numbers, else what its connector knows."""
    entry = connectors.get(integration.connector)
    found = {}
    for period in PERIODS:
        own = getattr(integration, f"requests_per_{period}")
        known = getattr(entry.manifest.limits, f"per_{period}") if entry else None
        allowed = own if own is not None else known
        if allowed:
            found[period] = allowed
    return found


def take(integration: Integration, *, now: datetime | None = None) -> None:
    """Count one call against every period at once. Raises OverLimit, counting nothing, if one is used up.

    Periods begin with the clock's minute, hour and day (UTC). The rows stay locked until all are counted.
    """
    limits = limits_of(integration)
    if not limits:
        return
    now = now or timezone.now()
    with transaction.atomic():
        windows = _locked(integration, [PERIODS[period] for period in limits])
        for period, allowed in limits.items():
            window, start = windows[PERIODS[period]], _start(now, PERIODS[period])
            if window.started_at < start:
                window.started_at, window.used = start, 0
            if window.used >= allowed:
                wait = (window.started_at + timedelta(seconds=window.seconds) - now).total_seconds()
                raise OverLimit(
                    f"The limit of {allowed:,} calls per {period} is used up for {max(1, round(wait)):,} s.",
                    max(1.0, wait),
                )
            window.used += 1
        RateWindow.objects.bulk_update(windows.values(), ["started_at", "used"])


def used(integration: Integration, *, now: datetime | None = None) -> dict[str, int]:
    """Calls counted in the present minute, hour and day."""
    now = now or timezone.now()
    rows = {row.seconds: row for row in RateWindow.objects.filter(integration=integration)}
    return {
        period: rows[seconds].used
        if seconds in rows and rows[seconds].started_at >= _start(now, seconds)
        else 0
        for period, seconds in PERIODS.items()
    }


def _start(now: datetime, seconds: int) -> datetime:
    return datetime.fromtimestamp(int(now.timestamp()) // seconds * seconds, tz=UTC)


def _locked(integration: Integration, periods: list[int]) -> dict[int, RateWindow]:
    rows = RateWindow.objects.select_for_update().filter(integration=integration, seconds__in=periods)
    windows = {row.seconds: row for row in rows.order_by("seconds")}
    missing = [seconds for seconds in periods if seconds not in windows]
    if missing:
        epoch = datetime.fromtimestamp(0, tz=UTC)
        RateWindow.objects.bulk_create(
            [RateWindow(integration=integration, seconds=s, started_at=epoch) for s in missing],
            ignore_conflicts=True,
        )
        windows = {row.seconds: row for row in rows.order_by("seconds")}
    return windows
