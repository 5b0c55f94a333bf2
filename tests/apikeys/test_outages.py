"""Redis is killed under running calls and comes back: no 5xx, and it is told once at both ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from apps.apikeys import limiter
from apps.apikeys.limiter.core import LOCAL, Limiter
from apps.apikeys.limiter.remote import RedisStore
from apps.apikeys.models import LimitOutage
from apps.apikeys.services import limits, outages
from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.limiter.test_sharing import Server, needs_server


def test_several_processes_tell_of_an_outage_once(acme: Organization, globex: Organization) -> None:
    assert outages.began() is not None
    assert outages.began() is None
    assert outages.ended()
    assert not outages.ended()
    assert outages.began() is not None
    assert LimitOutage.objects.filter(is_over=True).count() == 1
    told = AuditEntry.objects.filter(organization=None, action__startswith="rate_limits.").order_by(
        "sequence"
    )
    assert [entry.action for entry in told] == [outages.BEGAN, outages.ENDED, outages.BEGAN]
    for organization in (acme, globex):
        events = Event.objects.filter(organization=organization, type=outages.ENDED)
        assert [event.data["policy"] for event in events] == ["local"]


@needs_server
def test_redis_killed_mid_run_gives_no_5xx(acme: Organization, issue: Issue, tmp_path: Path) -> None:
    noticed: list[bool] = []

    def notice(began: bool) -> None:
        noticed.append(began)
        if began:
            outages.began()
        else:
            outages.ended()

    server = Server(tmp_path)
    try:
        store = RedisStore(server.url, prefix="t", timeout=2)
        limiter.use(Limiter(store=store, when_down=LOCAL, processes=4, on_outage=notice))
        issued = issue(acme)
        limits.put(target=limits.of_key(issued.key), actor=SYSTEM, whole={"per_minute": 40})
        limiter.bump()
        client = client_of(issued.secret)
        before = [client.get("/api/v1/datasets").status_code for _ in range(15)]
        server.stop()
        during = [client.get("/api/v1/datasets").status_code for _ in range(15)]
        server.start()
        deadline = time.monotonic() + 20
        while limiter.get().is_down:
            assert time.monotonic() < deadline
            during.append(client.get("/api/v1/datasets").status_code)
            time.sleep(0.1)
        after = [client.get("/api/v1/datasets").status_code for _ in range(45)]
    finally:
        server.stop()
    assert before == [200] * 15
    # A quarter of the limit, since four processes share it.
    assert during[:15] == [200] * 10 + [429] * 5
    assert set(during) <= {200, 429}
    assert after.count(200) in (39, 40)  # the server began anew; one call noticed that
    assert noticed == [True, False]
    assert LimitOutage.objects.get().is_over


@needs_server
@pytest.mark.django_db(transaction=True)
def test_it_is_told_on_a_thread_of_its_own(tmp_path: Path) -> None:
    outages.notice(True)
    deadline = time.monotonic() + 20
    while not LimitOutage.objects.filter(is_over=False).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    outages.notice(False)
    while not LimitOutage.objects.filter(is_over=True).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
