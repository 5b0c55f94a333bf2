"""The live page: what happens at this moment, in one organization, in as many queries whatever it is."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.events.services import fanout
from apps.tenants.services import organizations
from apps.webhooks import live
from apps.webhooks.models import Delivery, DeliveryAttempt
from apps.webhooks.services import dispatch, pausing
from tests.house.samples import ATTACK
from tests.webhooks.conftest import ADA, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_admin import ada as ada
from tests.webhooks.test_replays import order

LIVE = "admin:webhooks_live"


def test_what_was_sent_what_failed_and_what_waits(organization, endpoint_at, receiver):
    good = endpoint_at(receiver.url, name="Good")
    bad = endpoint_at(receiver.url + "bad", name="Bad", retry_intervals=[3600])
    held = endpoint_at(receiver.url, name="Held")
    pausing.pause(endpoint=held, actor=ADA)
    receiver.usual = lambda handler, arrival: say(500 if arrival.path.endswith("bad") else 204)(
        handler, arrival
    )
    for n in range(3):
        publish(organization, order=n)
    run()
    publish(organization, order=4)
    fanout.sweep()
    Delivery.objects.filter(attempts=0).exclude(endpoint=held).update(
        next_attempt_at=timezone.now() - timedelta(seconds=30)
    )

    now = live.now_of(organization)

    assert (sum(now.succeeded), sum(now.failed), now.in_flight) == (3, 3, 0)
    assert (now.due, now.later, now.held) == (2, 3, 4)
    assert 30 <= now.queue_age.total_seconds() < 60
    assert now.sent_per_second == 0.1
    shown = {one.endpoint.name: one for one in now.shown_endpoints}
    assert now.shown_endpoints[0].endpoint.name == "Held"
    assert (shown["Good"].succeeded, shown["Good"].failed, shown["Good"].due) == (3, 0, 1)
    assert (shown["Bad"].succeeded, shown["Bad"].failed, shown["Bad"].later) == (0, 3, 3)
    assert shown["Good"].average_ms is not None
    assert {attempt.endpoint_id for attempt in now.finished} == {good.pk, bad.pk}
    assert live.now_of(organization, at=timezone.now() + timedelta(minutes=2)).finished == []


@pytest.mark.django_db(transaction=True)
def test_what_is_on_its_way(transactional_db, endpoint_at, receiver):
    organization = organizations.create(name="Northwind")
    endpoint = endpoint_at(receiver.url, organization=organization)
    arrived, go_on = threading.Event(), threading.Event()

    def slow(handler, arrival):
        arrived.set()
        go_on.wait(20)
        say(204)(handler, arrival)

    receiver.usual = slow
    publish(organization)
    fanout.sweep()
    worker = threading.Thread(target=dispatch.drain, kwargs={"linger": 0})
    worker.start()
    try:
        assert arrived.wait(20)
        now = live.now_of(organization)
        assert (now.in_flight, [attempt.endpoint_id for attempt in now.sending]) == (1, [endpoint.pk])
    finally:
        go_on.set()
        worker.join()
        connection.close()
    assert live.now_of(organization).sending == []


def test_the_page_and_its_part(ada, organization, endpoint_at, receiver):
    assert "Nothing happens yet" in ada.get(reverse(LIVE)).content.decode()
    endpoint = endpoint_at(receiver.url, name=ATTACK[:100])
    publish(organization)
    run()
    order(endpoint)
    whole = ada.get(reverse(LIVE))
    part = ada.get(reverse(LIVE), {"part": "1"})

    assert "no-store" in whole["Cache-Control"]
    assert "no-store" in part["Cache-Control"]
    told = part.content.decode()
    assert "<html" not in told
    assert "custom.order.paid" in told
    assert "RPL-" in told
    assert "<img src=x" not in told
    assert "hub/live.js" in whole.content.decode()
    assert not re.search(r"(src|href)=\"https?://", whole.content.decode())


def test_as_many_queries_whatever_happens(ada, organization, endpoint_at, receiver):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert ada.get(reverse(LIVE), {"part": "1"}).status_code == 200
        return len(caught)

    endpoint_at(receiver.url)
    publish(organization)
    run()
    few = queries()
    for n in range(10):
        endpoint_at(receiver.url, name=f"Number {n}")
    for n in range(10):
        publish(organization, order=n)
    run()
    assert queries() == few


def test_nobody_sees_what_happens_elsewhere(ada, client_of, endpoint_at, receiver):
    elsewhere = organizations.create(name="Elsewhere")
    endpoint_at(receiver.url, organization=elsewhere, name="Their service")
    publish(elsewhere)
    run()
    assert DeliveryAttempt.objects.exists()
    assert "Their service" not in ada.get(reverse(LIVE)).content.decode()
    assert live.now_of(elsewhere).sent_per_second > 0
