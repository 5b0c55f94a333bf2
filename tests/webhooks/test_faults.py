"""Killed workers, rolled-back changes, two dispatchers at once: every event arrives, with one id and one
body.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apps.events.models import Event
from apps.events.services import fanout, outbox
from apps.tenants.models import Organization
from apps.webhooks.models import Delivery, DeliveryAttempt
from apps.webhooks.services import dispatch, recovery
from apps.webhooks.statuses import DeliveryStatus
from tests.webhooks.conftest import only_delivery, publish, run
from tests.webhooks.peer import go, peer
from tests.webhooks.receiver import say

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization(transactional_db) -> Organization:
    from apps.tenants.services import organizations

    return organizations.create(name="Northwind")


def lease_runs_out() -> None:
    """As if 90 seconds had passed."""
    expired = Delivery.objects.filter(status=DeliveryStatus.DELIVERING)
    assert expired.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert recovery.recover()


def test_a_rolled_back_change_sends_nothing(organization, endpoint_at, receiver):
    endpoint_at(receiver.url)

    with transaction.atomic():
        outbox.publish(organization=organization, type="custom.order.paid", data={"order": 1})
        transaction.set_rollback(True)
    run()

    assert receiver.arrivals == []
    assert not Event.objects.filter(type="custom.order.paid").exists()


def test_killed_right_after_the_commit(organization, endpoint_at, receiver):
    endpoint_at(receiver.url)

    with peer("publish-and-die", organization.slug) as publisher:
        go(publisher)
        assert publisher.wait(timeout=30) == -9
    assert receiver.arrivals == []
    run()

    assert receiver.ids == [Event.objects.get(type="custom.order.paid").public_id]


def test_killed_during_the_request(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    event = publish(organization)
    hold = threading.Event()
    receiver.answers = [lambda handler, arrival: hold.wait(20)]

    with peer("fan-out-and-drain") as dispatcher:
        go(dispatcher)
        receiver.wait_for(1)
        attempt = DeliveryAttempt.objects.get()
        assert attempt.finished_at is None  # written before the request
        dispatcher.kill()
        dispatcher.wait(timeout=30)
    hold.set()
    run()
    assert len(receiver.arrivals) == 1  # its lease still holds
    lease_runs_out()
    run()

    first, second = receiver.arrivals
    assert first.id == second.id == event.public_id
    assert first.body == second.body
    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.DELIVERED
    assert list(delivery.tries.order_by("number").values_list("error_code", "status_code")) == [
        ("interrupted", None),
        ("", 204),
    ]


def test_killed_after_the_answer_but_before_it_was_recorded(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)

    with peer("die-before-recording") as dispatcher:
        go(dispatcher)
        assert dispatcher.wait(timeout=30) == -9
    assert len(receiver.arrivals) == 1
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERING
    lease_runs_out()
    run()

    first, second = receiver.arrivals
    assert (first.id, first.body) == (second.id, second.body)
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED


def test_two_dispatchers_at_once_send_each_delivery_once(organization, endpoint_at, receiver):
    for _ in range(4):
        endpoint_at(receiver.url)
    for n in range(50):
        publish(organization, order=n)
    fanout.sweep()

    with peer("drain") as one, peer("drain") as other:
        go(one)
        go(other)
        sent = [int(process.stdout.readline().split()[1]) for process in (one, other)]

    assert sum(sent) == 200
    assert len(receiver.arrivals) == 200
    assert {receiver.ids.count(key) for key in set(receiver.ids)} == {4}
    assert set(Delivery.objects.values_list("status", "attempts")) == {(DeliveryStatus.DELIVERED, 1)}


def test_a_worker_that_lost_its_lease_overwrites_nothing(organization, endpoint_at, receiver):
    """It was frozen for longer than its lease; meanwhile another one delivered."""
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    fanout.sweep()
    released = threading.Event()

    def slow_failure(handler, arrival):
        released.wait(20)
        say(500)(handler, arrival)

    receiver.answers = [slow_failure]
    with peer("drain-and-freeze") as frozen:
        go(frozen)
        receiver.wait_for(1)
        assert frozen.stdout.readline() == "claims no more\n"
        lease_runs_out()
        assert dispatch.drain(linger=0).delivered == 1
        released.set()
        assert frozen.stdout.readline() == "recorded\n"

    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.DELIVERED
    assert delivery.attempts == 2
    assert delivery.last_status == 204
    endpoint.refresh_from_db()
    assert endpoint.consecutive_failures == 0


def test_a_worker_that_claims_its_own_lost_delivery_again_records_the_newer_one(
    organization, endpoint_at, receiver
):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    fanout.sweep()
    released = threading.Event()

    def slow_failure(handler, arrival):
        released.wait(20)
        say(500)(handler, arrival)

    def slow_success(handler, arrival):
        released.set()
        time.sleep(0.3)
        say(204)(handler, arrival)

    receiver.answers = [slow_failure, slow_success]
    with peer("drain") as worker:
        go(worker)
        receiver.wait_for(1)
        lease_runs_out()
        assert worker.stdout.readline() == "sent 2\n"

    delivery = only_delivery(endpoint)
    assert (delivery.status, delivery.attempts, delivery.last_status) == (DeliveryStatus.DELIVERED, 2, 204)
    assert len(receiver.arrivals) == 2
