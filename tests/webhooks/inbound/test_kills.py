"""Many at once, and workers that die: everything is acknowledged, and takes effect once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from apps.connectors.models import Integration
from apps.events.models import Event
from apps.records.models import Change, Record
from apps.webhooks.models import InboundAttempt, InboundWebhook
from apps.webhooks.services.inbound import effects, processing
from tests.webhooks.inbound.conftest import only, send, work

pytestmark = pytest.mark.django_db(transaction=True)
Shop = Callable[..., Integration]


def in_threads(count: int, deed: Callable[[int], Any]) -> list[Any]:
    """What `deed` gives in each of so many threads that start together."""
    gate, results = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        try:
            gate.wait(30)
            results[number] = deed(number)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def test_fifty_parallel_duplicates_are_all_acknowledged_and_one_is_worked_off(shop: Shop) -> None:
    shop("shopify")
    codes = in_threads(50, lambda _: send("shop", {"id": 7}).status_code)
    assert codes == [200] * 50
    assert only().duplicates == 49
    in_threads(4, lambda _: work())
    assert only().status == "completed"
    assert InboundAttempt.objects.count() == 1
    assert Event.objects.filter(type="inbound.received").count() == 1


def test_workers_at_once_share_the_work_and_do_nothing_twice(shop: Shop) -> None:
    to_clients = {"fields": [{"target": "external_id", "source": "id"}, {"target": "name", "source": "name"}]}
    record = {"match": ["*"], "effect": "record", "with": {"dataset": "clients", "mapping": to_clients}}
    shop("generic", routes=[record])
    for number in range(60):
        assert send("shop", {"id": f"C-{number}", "name": f"Client {number}"}, "generic").status_code == 200
    done = in_threads(3, lambda _: work())
    while InboundWebhook.objects.exclude(status="completed").exists():
        done.append(work())
    assert sum(done) == 60
    assert Record.objects.count() == Change.objects.count() == 60
    assert InboundAttempt.objects.count() == 60


def test_a_worker_killed_within_its_transaction_leaves_nothing_half_done(shop: Shop) -> None:
    to_clients = {"fields": [{"target": "external_id", "source": "id"}, {"target": "name", "source": "name"}]}
    record = {"match": ["*"], "effect": "record", "with": {"dataset": "clients", "mapping": to_clients}}
    shop("generic", routes=[{"match": ["*"], "effect": "event"}, record])
    send("shop", {"id": "C-1", "name": "Ada"}, "generic")
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        # Between the effects and the commit.
        writing = effects.upsert

        def killed_after(**given: Any) -> Any:
            writing(**given)
            os.kill(os.getpid(), signal.SIGKILL)

        effects.upsert = killed_after
        try:
            processing.drain(linger=0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    row = only()
    assert row.status == "processing"
    assert not Record.objects.exists()
    assert not Event.objects.filter(type="inbound.received").exists()
    assert work() == 0  # its lease still runs
    InboundWebhook.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert work() == 1
    assert only().status == "completed"
    assert Record.objects.count() == 1
    assert Event.objects.filter(type="inbound.received").count() == 1


def test_a_web_process_killed_after_storing_loses_nothing(shop: Shop) -> None:
    shop("generic")
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            send("shop", {"id": "C-1"}, "generic")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    # No bell was heard; the sweep finds it.
    assert only().status == "pending"
    assert processing.is_due()
    # The provider, which read no answer, sends it again.
    assert send("shop", {"id": "C-1"}, "generic").status_code == 200
    assert work() == 1
    assert Event.objects.filter(type="inbound.received").count() == 1
