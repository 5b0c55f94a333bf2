"""When something that happens by the clock is due next: by interval, or by a crontab in a time zone."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from celery.schedules import ParseException, crontab_parser

_CHANGE = timedelta(hours=3)  # as much as any clock is put back, and the hour that is looked at
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
    any_hour: bool

    def fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return on_day and on_weekday
        return on_day or on_weekday

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time after `moment`, in UTC; None if there is none in eight years.

        A local time that the change to summer time skips is taken as much later as the change. One that
        happens twice, when the clock is put back, fires once; but what runs all day (`*` or `*/2` hours) goes
        on through both, as cron(8) has it.
        """
        local = moment.astimezone(zone)
        for offset in range(_HORIZON_DAYS):
            day = local.date() + timedelta(days=offset)
            if not self.fits(day):
                continue
            found = self._on(day, moment, zone)
            if found is not None:
                return found
        return None

    def _on(self, day: date, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time of a day after `moment`."""
        best: datetime | None = None
        for hour in self.hours:
            begin = datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)
            if begin < moment - _CHANGE:
                continue
            if best is not None and begin > best:
                break
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                times = [local.astimezone(UTC)]
                second = local.replace(fold=1).astimezone(UTC)
                if self.any_hour and second > times[0]:
                    times.append(second)
                best = min(
                    (time for time in times if time > moment and (not best or time < best)), default=best
                )
        return best


_SEVENTH = re.compile(r"^(?:(\d)-)?7$")


def _weekdays(source: str) -> str:
    """7 is Sunday, too, also at the end of a range."""
    parts = []
    for part in source.split(","):
        match = _SEVENTH.match(part)
        if match is None:
            parts.append(part)
        elif match[1] is None:
            parts.append("0")
        else:
            parts += [f"{match[1]}-6", "0"] if match[1] != "7" else ["0"]
    return ",".join(parts)


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
        ("day of week", _weekdays(weekday), crontab_parser(7)),
    ):
        try:
            parts.append(parser.parse(source))
        except (ParseException, ValueError, ZeroDivisionError):
            given = weekday if name == "day of week" else source
            raise ValueError(f"“{given[:40]}” is not a valid {name}.") from None
    crontab = Crontab(
        minutes=tuple(sorted(parts[0])),
        hours=tuple(sorted(parts[1])),
        days=parts[2],
        months=parts[3],
        weekdays=parts[4],
        any_day=day.startswith("*"),
        any_weekday=weekday.startswith("*"),
        any_hour=hour.startswith("*"),
    )
    if not all(parts) or crontab.after(datetime(2024, 1, 1, tzinfo=UTC), ZoneInfo("UTC")) is None:
        raise ValueError(f"“{text}” never happens.")
    return crontab


@dataclass(frozen=True)
class Timetable:
    """When it happens: at one moment, or every so many minutes, or by a crontab in `zone`; else never."""

    once: datetime | None = None
    minutes: int = 0
    crontab: str = ""
    zone: str = "UTC"

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None if there is none."""
        if self.once is not None:
            return self.once if self.once > moment else None
        if self.crontab:
            return parse(self.crontab).after(moment, ZoneInfo(self.zone))
        return moment + timedelta(minutes=self.minutes) if self.minutes else None

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """The first `count` times after `moment`, or as many as there are."""
        found: list[datetime] = []
        while len(found) < count:
            following = self.after(found[-1] if found else moment)
            if following is None:
                break
            found.append(following)
        return found


def caught_up(table: Timetable, due: datetime, now: datetime) -> datetime | None:
    """The time after the one that was due, whatever was missed: several missed times make one catch-up.

    An interval keeps its beat, that is, its minutes past the hour.
    """
    if table.minutes and not table.crontab and table.once is None:
        step = timedelta(minutes=table.minutes)
        return due + (max(now - due, timedelta(0)) // step + 1) * step
    return table.after(max(due, now))
