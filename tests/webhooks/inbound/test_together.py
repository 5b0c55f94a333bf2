"""Webhooks that are worked off together: fewer statements, and everything else as if each had been alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.connectors.models import Integration
from apps.events.inbound import Effect, effects
from apps.events.models import Event
from apps.kernel.errors import InvalidInput
from apps.kernel.leases import LeaseLost, fenced_update_many
from apps.webhooks.models import InboundAttempt, InboundWebhook
from apps.webhooks.services.inbound import processing
from tests.webhooks.inbound.conftest import receiver_of, send, work

pytestmark = pytest.mark.django_db
Shop = Callable[..., Integration]


def take_in(count: int, kind: str = "order.paid", first: int = 0, code: str = "shop") -> None:
    for number in range(first, first + count):
        send(code, {"id": number, "type": kind}, "generic")


def told() -> list[int]:
    """The numbers in the events, in the events' order."""
    return [
        event.data["payload"]["id"] for event in Event.objects.filter(type="inbound.received").order_by("id")
    ]


@pytest.fixture
def picky() -> Iterator[dict[str, Any]]:
    """An effect that takes many at once and chokes on the numbers it is told."""
    state: dict[str, Any] = {"refused": set(), "calls": [], "alone": []}

    def run_many(arrivals: Any, given: Any) -> list[dict[str, str]]:
        state["calls"].append(len(arrivals))
        for arrival in arrivals:
            if arrival.payload["id"] in state["refused"]:
                raise InvalidInput("Not this one.")
        return [{"ref": arrival.external_id, "text": "taken"} for arrival in arrivals]

    def run(arrival: Any, given: Any) -> dict[str, str]:
        state["alone"].append(arrival.payload["id"])
        return run_many([arrival], given)[0]

    effects._items["picky"] = Effect("picky", "Chokes", lambda *_: [], run, run_many)
    yield state
    del effects._items["picky"]


def test_the_statements_do_not_grow_with_the_webhooks(shop: Shop) -> None:
    integration = shop("generic")
    counts = []
    for size, first in ((3, 0), (60, 100)):
        take_in(size, first=first)
        with CaptureQueriesContext(connection) as queries:
            assert work() == size
        counts.append(len(queries))
    assert counts[1] <= counts[0] + 2, counts
    assert told() == [*range(3), *range(100, 160)]
    assert set(InboundWebhook.objects.values_list("status", "lease_owner", "error_code", "counted")) == {
        ("completed", "", "", True)
    }
    assert not InboundWebhook.objects.filter(processed_at=None).exists()
    assert not InboundWebhook.objects.exclude(next_attempt_at=None, lease_until=None).exists()
    assert InboundAttempt.objects.filter(status="completed").count() == 63
    assert InboundAttempt.objects.values("webhook").distinct().count() == 63
    assert receiver_of(integration).counts.get().received == 63


def test_one_that_fails_does_not_fail_its_neighbours(shop: Shop, picky: dict[str, Any]) -> None:
    shop("generic", routes=[{"match": ["*"], "effect": "picky", "with": {}}])
    picky["refused"] = {2}
    take_in(5)
    assert work() == 5
    rows = InboundWebhook.objects.order_by("id")
    assert [row.status for row in rows] == ["completed", "completed", "failed", "completed", "completed"]
    assert rows[2].error_message == "picky 1: Not this one."
    assert rows[4].effects == [{"route": "picky 1", "effect": "picky", "ref": "4", "text": "taken"}]
    assert picky["calls"][0] == 5
    assert picky["alone"] == [0, 1, 2, 3, 4]
    assert InboundAttempt.objects.count() == 5


def test_a_lease_that_was_lost_takes_back_the_effects_of_all_and_the_others_are_done_alone(
    shop: Shop,
) -> None:
    shop("generic")
    take_in(3)
    rows = processing.claim_due("one worker")
    InboundWebhook.objects.filter(pk=rows[1].pk).update(lease_token=99, lease_owner="another worker")
    assert processing._work_all(rows, processing._Sources()) == 2
    assert told() == [0, 2]
    assert list(InboundWebhook.objects.order_by("id").values_list("status", flat=True)) == [
        "completed",
        "processing",
        "completed",
    ]
    assert InboundAttempt.objects.count() == 2


def test_the_order_is_kept_between_those_that_share_and_those_that_do_not(
    shop: Shop, picky: dict[str, Any]
) -> None:
    both = [
        {"match": ["*"], "effect": "event", "with": {}},
        {"match": ["double.*"], "effect": "picky", "with": {}},
    ]
    shop("generic", routes=both)
    take_in(2, first=0)
    take_in(1, "double.paid", first=2)
    take_in(2, first=3)
    assert work() == 5
    assert told() == [0, 1, 2, 3, 4]
    assert picky["alone"] == [2]
    row = InboundWebhook.objects.get(external_id="2")
    assert [note["effect"] for note in row.effects] == ["event", "picky"]


def test_two_receivers_and_two_routes_share_a_transaction_and_nothing_else(
    shop: Shop, picky: dict[str, Any]
) -> None:
    routes = [
        {"match": ["order.*"], "effect": "picky", "with": {"as": "order"}},
        {"match": ["invoice.*"], "effect": "picky", "with": {"as": "invoice"}, "name": "Bills"},
    ]
    shop("generic", routes=routes)
    shop("generic", routes=routes, code="other")
    take_in(2)
    take_in(2, "invoice.paid", first=2)
    take_in(2, "invoice.paid", first=4, code="other")
    take_in(2, "nobody.wants", first=6)
    assert work() == 8
    assert picky["calls"] == [2, 2, 2]
    assert picky["alone"] == []
    rows = list(InboundWebhook.objects.order_by("id"))
    assert [row.effects[0]["route"] if row.effects else row.error_code for row in rows] == [
        *["picky 1", "picky 1", "Bills", "Bills", "Bills", "Bills", "no_route", "no_route"]
    ]
    assert {row.status for row in rows[6:]} == {"ignored"}


def test_a_lease_that_is_nearly_over_is_renewed_before_the_next_one_is_worked_off(
    shop: Shop, picky: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop("generic", routes=[{"match": ["*"], "effect": "picky", "with": {}}] * 2)
    take_in(2)
    rows = processing.claim_due("a slow worker")
    monkeypatch.setattr(processing, "LEASE", 0.0)
    InboundWebhook.objects.filter(pk=rows[0].pk).update(lease_token=99, lease_owner="another worker")
    InboundWebhook.objects.filter(pk=rows[1].pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert processing._work_all(rows, processing._Sources()) == 1
    # The lost one was not even begun.
    assert picky["alone"] == [1, 1]


def test_many_rows_are_fenced_as_one(shop: Shop) -> None:
    shop("generic")
    take_in(2)
    rows = processing.claim_due("one worker")
    rows[1].lease_token = 7
    with pytest.raises(LeaseLost):
        fenced_update_many(rows, status="completed")
    rows[1].lease_token = 1
    fenced_update_many(rows, status="completed", lease_owner="", lease_until=None)
    assert set(InboundWebhook.objects.values_list("status", flat=True)) == {"completed"}
    with pytest.raises(LeaseLost):
        fenced_update_many(rows, status="failed")
