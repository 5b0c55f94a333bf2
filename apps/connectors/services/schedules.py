"""When a sync is due next: after an interval, or by a crontab in the organization's time zone."""

from __future__ import annotations

from datetime import datetime

from apps.connectors.models import Integration
from apps.kernel.timetables import Timetable, parse

__all__ = ["next_run", "parse"]


def next_run(integration: Integration, after: datetime) -> datetime | None:
    """When the integration's next scheduled sync is due; None if it is not scheduled."""
    if not (integration.auto_sync and integration.sync_enabled):
        return None
    table = Timetable(
        minutes=integration.sync_interval_minutes,
        crontab=integration.sync_crontab,
        zone=integration.organization.timezone,
    )
    return table.after(after)
