"""An integration's limits hold at once, exactly, and over all workers."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from apps.connectors.models import Integration, RateWindow
from apps.connectors.services import limits
from apps.connectors.services.limits import OverLimit

NOON = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)


def at(hour=12, minute=0, second=30, day=31):
    return datetime(2026, 1, day, hour, minute, second, tzinfo=UTC)


def test_minute_hour_and_day_hold_at_once(connect):
    integration = connect(active=False, requests_per_minute=2, requests_per_hour=3, requests_per_day=4)
    take = limits.take

    take(integration, now=at())
    take(integration, now=at())
    with pytest.raises(OverLimit, match="2 calls per minute") as caught:
        take(integration, now=at())
    assert caught.value.retry_after == 30
    take(integration, now=at(minute=1))
    with pytest.raises(OverLimit, match="3 calls per hour") as caught:
        take(integration, now=at(minute=1, second=40))
    assert caught.value.retry_after == 58 * 60 + 20
    take(integration, now=at(hour=13))
    with pytest.raises(OverLimit, match="4 calls per day"):
        take(integration, now=at(hour=14))
    assert limits.used(integration, now=at(hour=14)) == {"minute": 0, "hour": 0, "day": 4}


def test_a_refused_call_is_not_counted(connect):
    integration = connect(active=False, requests_per_minute=1, requests_per_day=5)

    limits.take(integration, now=at())
    for _ in range(3):
        with pytest.raises(OverLimit):
            limits.take(integration, now=at())

    assert limits.used(integration, now=at()) == {"minute": 1, "hour": 0, "day": 1}


def test_the_connectors_own_limits_hold_where_the_integration_says_nothing(organization, actor, connect):
    integration = connect(active=False)

    assert limits.limits_of(integration) == {}
    integration.connector = "hubspot"
    assert limits.limits_of(integration) == {"minute": 600}
    integration.requests_per_minute = 30
    assert limits.limits_of(integration) == {"minute": 30}


@pytest.mark.django_db(transaction=True)
def test_many_workers_take_exactly_what_is_allowed(connect):
    integration = connect(active=False, requests_per_hour=40, requests_per_day=1000)
    taken = []

    def worker():
        row = Integration.objects.get(pk=integration.pk)
        for _ in range(20):
            try:
                limits.take(row, now=NOON)
                taken.append(1)
            except OverLimit:
                pass
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 40
    assert dict(RateWindow.objects.values_list("seconds", "used")) == {3600: 40, 86400: 40}
