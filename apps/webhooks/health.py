"""When an endpoint counts as degraded, failing, or to be paused: pure rules over its failures in a row."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.webhooks.statuses import HealthStatus

DEGRADED_AFTER = 3  # failures in a row that a person should see
ALERTS = (50, 70, 90, 100)  # per cent of the limit
SHORTEST_STREAK = timedelta(hours=12)
LONGEST_STREAK = timedelta(days=5)
PROBE_EVERY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=30)


def health_of(*, failures: int, limit: int) -> HealthStatus:
    """The health after so many failed attempts in a row; any success makes it healthy."""
    if failures == 0:
        return HealthStatus.HEALTHY
    if failures * 2 >= limit:
        return HealthStatus.FAILING
    return HealthStatus.DEGRADED if failures >= DEGRADED_AFTER else HealthStatus.HEALTHY


def alert_due(*, failures: int, limit: int, alerted: int) -> int | None:
    """The highest share of the limit that is reached and was not told yet, in per cent."""
    reached = max((percent for percent in ALERTS if failures * 100 >= limit * percent), default=0)
    return reached if reached > alerted else None


def pause_due(*, failures: int, limit: int, first_failure_at: datetime | None, now: datetime) -> str:
    """Why the endpoint must be paused now, or nothing.

    The limit alone does not pause: a burst that fails within minutes is no proof of a dead receiver.
    """
    if failures < DEGRADED_AFTER or first_failure_at is None:
        return ""
    streak = now - first_failure_at
    if streak >= LONGEST_STREAK:
        return f"Nothing but failures for {streak.days} days."
    if failures >= limit and streak >= SHORTEST_STREAK:
        hours = streak // timedelta(hours=1)
        return f"{failures} failed attempts in a row over {hours} hours."
    return ""
