from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.kernel import timetables

BERLIN = ZoneInfo("Europe/Berlin")


def after(text, moment, zone="UTC", times=1):
    found = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    for _ in range(times):
        found = timetables.parse(text).after(found, ZoneInfo(zone))
    return found.strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("*/15 * * * *", "2026-01-31 10:07", "2026-01-31 10:15"),
        ("0 9 * * mon-fri", "2026-01-30 09:00", "2026-02-02 09:00"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("30 6 1 * *", "2026-01-31 10:00", "2026-02-01 06:30"),
        ("0 12 13 * 5", "2026-02-01 00:00", "2026-02-06 12:00"),  # a 13th or a Friday, as in cron(8)
        ("0 0 * * 7", "2026-01-31 10:00", "2026-02-01 00:00"),
    ],
)
def test_the_next_time(text, moment, expected):
    assert after(text, moment) == expected


def test_times_are_those_of_the_organization():
    assert after("0 9 * * *", "2026-01-31 10:00", "Europe/Berlin") == "2026-02-01 08:00"
    assert after("0 9 * * *", "2026-07-31 10:00", "Europe/Berlin") == "2026-08-01 07:00"


def test_the_change_to_summer_time_skips_nothing_and_the_change_back_repeats_nothing():
    # 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
    assert after("30 2 * * *", "2026-03-28 12:00", "Europe/Berlin") == "2026-03-29 01:30"
    assert after("30 2 * * *", "2026-03-28 12:00", "Europe/Berlin", times=2) == "2026-03-30 00:30"
    assert after("30 2 * * *", "2026-10-24 12:00", "Europe/Berlin") == "2026-10-25 00:30"
    assert after("30 2 * * *", "2026-10-24 12:00", "Europe/Berlin", times=2) == "2026-10-26 01:30"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("* * * *", "five fields"),
        ("60 * * * *", "“60” is not a valid minute."),
        ("* * 32 * *", "“32” is not a valid day of month."),
        ("* * * * xyz", "“xyz” is not a valid day of week."),
        ("*/0 * * * *", "“*/0” is not a valid minute."),
        ("0 0 30 2 *", "“0 0 30 2 *” never happens."),
    ],
)
def test_what_is_not_a_crontab(text, message):
    with pytest.raises(ValueError, match=message.replace("*", r"\*").replace("/", "/")):
        timetables.parse(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [("0 0 * * 5-7", "Fri Sat Sun"), ("0 0 * * 7,1", "Sun Mon Sun"), ("0 0 * * 0-2", "Sun Mon Tue")],
)
def test_sunday_is_0_and_7(text, days):
    # 26 November 2026 is a Thursday.
    found = timetables.Timetable(crontab=text).upcoming(datetime(2026, 11, 26, 12, tzinfo=UTC), 3)
    assert " ".join(f"{time:%a}" for time in found) == days


def test_what_runs_all_day_goes_on_while_the_clock_is_put_back():
    """25 October 2026 in Berlin: 02:00 to 03:00 happens twice, from 00:00 and from 01:00 UTC."""
    moment = datetime(2026, 10, 24, 23, 45, tzinfo=UTC)
    found = timetables.Timetable(crontab="*/30 * * * *", zone="Europe/Berlin").upcoming(moment, 6)
    assert [f"{time:%H:%M}" for time in found] == ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30"]

    named = timetables.Timetable(crontab="*/30 2 * * *", zone="Europe/Berlin").upcoming(moment, 3)
    assert [f"{time:%d %H:%M}" for time in named] == ["25 00:00", "25 00:30", "26 01:00"]


def test_what_runs_all_day_runs_once_an_hour_when_an_hour_is_skipped():
    moment = datetime(2026, 3, 29, 0, 15, tzinfo=UTC)
    found = timetables.Timetable(crontab="0 * * * *", zone="Europe/Berlin").upcoming(moment, 3)
    assert [f"{time:%H:%M}" for time in found] == ["01:00", "02:00", "03:00"]


def test_once_is_once():
    when = datetime(2026, 5, 1, 8, tzinfo=UTC)
    table = timetables.Timetable(once=when)
    assert table.upcoming(datetime(2026, 4, 1, tzinfo=UTC), 5) == [when]
    assert table.after(when) is None


def test_missed_times_make_one_catch_up():
    due, now = datetime(2026, 5, 1, 8, 10, tzinfo=UTC), datetime(2026, 5, 1, 11, 25, tzinfo=UTC)
    every_hour = timetables.Timetable(minutes=60)
    assert timetables.caught_up(every_hour, due, now) == datetime(2026, 5, 1, 12, 10, tzinfo=UTC)
    assert timetables.caught_up(every_hour, due, due) == datetime(2026, 5, 1, 9, 10, tzinfo=UTC)
    nightly = timetables.Timetable(crontab="0 2 * * *")
    assert timetables.caught_up(nightly, due, now) == datetime(2026, 5, 2, 2, tzinfo=UTC)
    assert timetables.caught_up(timetables.Timetable(once=due), due, now) is None
