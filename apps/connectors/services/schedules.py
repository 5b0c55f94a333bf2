"""When a sync is due next: after an interval, or by a crontab in the organization's time zone."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab_parser

from apps.connectors.models import Integration

_HORIZON_DAYS = 366 * 8 + 2  # the longest way from one 29 February to the next


@dataclass(frozen=True)
class Crontab:
    """A parsed crontab: the minutes, hours, days, months and weekdays (0 is Sunday) at which it fires.

    As in cron(8), when both day and weekday are restricted, either is enough.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Set[int]
    months: Set[int]
    weekdays: Set[int]
    any_day: bool
    any_weekday: bool

    def fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return on_day and on_weekday
        return on_day or on_weekday

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time after `moment`, in UTC; None if there is none in eight years.

        A local time that the change to summer time skips is taken as much later as the change; one that
        happens twice fires once.
        """
        local = moment.astimezone(zone)
        for offset in range(_HORIZON_DAYS):
            day = local.date() + timedelta(days=offset)
            if not self.fits(day):
                continue
            times = (
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
                for hour in self.hours
                for minute in self.minutes
            )
            found = min((time for time in times if time > moment), default=None)
            if found is not None:
                return found
        return None


@lru_cache(maxsize=1024)
def parse(text: str) -> Crontab:
    """Parse five fields such as `*/15 8-18 * * mon-fri`. Raises ValueError with a sentence."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError("A crontab has five fields: minute, hour, day of month, month, day of week.")
    minute, hour, day, month, weekday = fields
    parts: list[Set[int]] = []
    for name, source, parser in (
        ("minute", minute, crontab_parser(60)),
        ("hour", hour, crontab_parser(24)),
        ("day of month", day, crontab_parser(31, 1)),
        ("month", month, crontab_parser(12, 1)),
        ("day of week", weekday.replace("7", "0") if weekday == "7" else weekday, crontab_parser(7)),
    ):
        try:
            parts.append(parser.parse(source))
        except (ParseException, ValueError, ZeroDivisionError):
            raise ValueError(f"“{source}” is not a valid {name}.") from None
    crontab = Crontab(
        minutes=tuple(sorted(parts[0])),
        hours=tuple(sorted(parts[1])),
        days=parts[2],
        months=parts[3],
        weekdays=parts[4],
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
    )
    if not all(parts) or crontab.after(datetime(2024, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) is None:
        raise ValueError(f"“{text}” never happens.")
    return crontab


def next_run(integration: Integration, after: datetime) -> datetime | None:
    """When the integration's next scheduled sync is due; None if it is not scheduled."""
    if not (integration.auto_sync and integration.sync_enabled):
        return None
    if integration.sync_crontab:
        return parse(integration.sync_crontab).after(after, ZoneInfo(integration.organization.timezone))
    if integration.sync_interval_minutes:
        return after + timedelta(minutes=integration.sync_interval_minutes)
    return None
