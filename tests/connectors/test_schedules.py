from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from apps.connectors.services import schedules

BERLIN = ZoneInfo("Europe/Berlin")


def after(text, moment, zone="UTC", times=1):
    found = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    for _ in range(times):
        found = schedules.parse(text).after(found, ZoneInfo(zone))
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
        schedules.parse(text)
