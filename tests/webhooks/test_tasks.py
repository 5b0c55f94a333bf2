"""The Celery doors: a bell that rings too often, and one that never rang."""

from __future__ import annotations

import dataclasses

import pytest

from apps.events import tasks as events_tasks
from apps.webhooks import tasks
from apps.webhooks.models import Delivery
from apps.webhooks.services.solo import turn_in_worker
from apps.webhooks.statuses import DeliveryStatus
from integration_hub.schedule import ENTRIES
from tests.webhooks.conftest import only_delivery, publish
from tests.webhooks.receiver import say


def test_with_every_message_lost_the_sweeps_deliver(organization, endpoint_at, receiver):
    endpoint_at(receiver.url)
    publish(organization)

    events_tasks.sweep()
    tasks.sweep()

    assert len(receiver.arrivals) == 1
    assert Delivery.objects.get().status == DeliveryStatus.DELIVERED


def test_the_sweeps_are_rung_every_five_seconds():
    rung = {entry.task: (entry.seconds, entry.queue) for entry in ENTRIES}
    assert rung["events.sweep"] == rung["webhooks.sweep"] == (5, "webhooks")


def test_one_loop_per_worker(organization, endpoint_at, receiver):
    endpoint_at(receiver.url)
    publish(organization)
    events_tasks.sweep()

    with turn_in_worker("webhooks.drain") as turn:
        assert turn.mine
        tasks.drain()
        assert receiver.arrivals == []
        turn.give_up()
        tasks.drain()
        assert len(receiver.arrivals) == 1


def test_a_loop_at_its_end_hands_over_and_finishes_what_is_under_way(
    organization, endpoint_at, receiver, monkeypatch
):
    monkeypatch.setattr(tasks, "DRAIN_SECONDS", 0.2)
    turns = []

    def slowly(handler, arrival):
        import time

        time.sleep(0.6)
        with turn_in_worker("webhooks.drain") as turn:
            turns.append(turn.mine)
        say(204)(handler, arrival)

    receiver.usual = slowly
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    events_tasks.sweep()

    tasks.drain()

    assert turns == [True]  # the next loop could have begun while this one waited
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED


@pytest.mark.parametrize(
    ("given", "retries", "first", "timeout"),
    [
        ({}, 9, 5.0, 15.0),
        ({"webhook_max_retries": 3, "webhook_retry_delay": 1000, "webhook_backoff_factor": 2.0,
          "webhook_timeout": 10_000}, 3, 1.0, 10.0),
    ],
)  # fmt: skip
def test_the_documents_variables_are_the_defaults_of_endpoints(
    organization, endpoint_at, receiver, settings, given, retries, first, timeout
):
    from apps.webhooks.services.requests import settings_of

    settings.HUB = dataclasses.replace(settings.HUB, **given)

    usual = settings_of(endpoint_at(receiver.url))
    own = settings_of(endpoint_at(receiver.url, timeout=3, retry_intervals=[7]))

    assert (usual.schedule.retries, usual.schedule.pause(0), usual.timeout) == (retries, first, timeout)
    assert (own.schedule.retries, own.schedule.pause(0), own.timeout) == (1, 7.0, 3.0)


def test_the_secret_of_the_settings_is_the_default(organization, endpoint_at, receiver, settings):
    from apps.webhooks import signing

    secret = signing.generate_secret()
    settings.HUB = dataclasses.replace(settings.HUB, webhook_secret=secret)

    assert endpoint_at(receiver.url).secret == secret
    assert endpoint_at(receiver.url, secret=signing.generate_secret()).secret != secret
