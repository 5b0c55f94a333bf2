"""Batches: several events in one signed message, gathered by size and window."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.events.services import fanout
from apps.webhooks import signing
from apps.webhooks.models import BatchItem, Delivery
from apps.webhooks.services import deliveries, endpoints, pausing, replays
from apps.webhooks.statuses import DeliveryStatus
from tests.webhooks.conftest import ADA, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_replays import chosen


def batching(endpoint_at, receiver, **options):
    options = {"batch_delivery": True, "batch_size": 3, "batch_window": 60, **options}
    return endpoint_at(receiver.url, **options)


def window_over(endpoint):
    Delivery.objects.filter(endpoint=endpoint, next_attempt_at__gt=timezone.now()).update(
        next_attempt_at=timezone.now()
    )


def test_a_full_batch_goes_at_once_and_the_rest_when_its_window_ends(organization, endpoint_at, receiver):
    endpoint = batching(endpoint_at, receiver)
    events = [publish(organization, number=n) for n in range(5)]
    run()

    assert len(receiver.arrivals) == 1
    first = receiver.arrivals[0]
    told = json.loads(first.body)
    assert told["type"] == "batch"
    assert told["id"] == first.id
    assert [one["id"] for one in told["data"]] == [event.public_id for event in events[:3]]
    assert [one["data"] for one in told["data"]] == [{"number": n} for n in range(3)]
    signing.verify(headers=first.headers, body=first.body, secrets=[endpoint.secret])

    gathering = Delivery.objects.get(endpoint=endpoint, payload=None)
    assert (gathering.status, gathering.items) == (DeliveryStatus.PENDING, 2)
    assert timedelta(seconds=30) < gathering.next_attempt_at - timezone.now() <= timedelta(seconds=60)

    late = publish(organization, number=5)
    fanout.sweep()
    window_over(endpoint)
    run()
    assert [one["id"] for one in json.loads(receiver.arrivals[1].body)["data"]] == [
        events[3].public_id,
        events[4].public_id,
        late.public_id,
    ]
    assert BatchItem.objects.count() == 6
    assert not Delivery.objects.filter(status=DeliveryStatus.PENDING).exists()


def test_a_batch_is_retried_and_replayed_with_the_same_id_and_bytes(organization, endpoint_at, receiver):
    receiver.answers = [say(500)]
    endpoint = batching(endpoint_at, receiver, batch_size=2, retry_intervals=[0.1])
    publish(organization, number=1)
    publish(organization, number=2)
    run()
    window_over(endpoint)
    run()
    delivered = Delivery.objects.select_related("endpoint", "organization").get(endpoint=endpoint)
    assert delivered.status == DeliveryStatus.DELIVERED
    again = deliveries.retry(delivery=delivered, actor=ADA)
    assert again.items == 2
    run()
    assert len({(arrival.id, arrival.body) for arrival in receiver.arrivals}) == 1
    assert len(receiver.arrivals) == 3
    since = timezone.now() - timedelta(hours=1)
    assert replays.count(chosen(endpoint, "missing", since=since)).total == 0


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"payload_format": "xml", "include_timestamp": False}, "<batch><id>{id}</id><event><id>"),
        (
            {
                "payload_format": "custom",
                "custom_template": "{{ data.number }}",
                "custom_content_type": "application/json",
            },
            "[1,2]",
        ),
        (
            {
                "payload_format": "custom",
                "custom_template": "n={{ data.number }}",
                "custom_content_type": "text/plain",
            },
            "n=1\nn=2",
        ),
    ],
)
def test_forms_of_batches(organization, endpoint_at, receiver, options, body):
    batching(endpoint_at, receiver, batch_size=2, **options)
    publish(organization, number=1)
    publish(organization, number=2)
    run()
    arrival = receiver.arrivals[0]
    assert body.replace("{id}", arrival.id) in arrival.body.decode()


def test_large_events_do_not_share_a_batch(organization, endpoint_at, receiver):
    batching(endpoint_at, receiver, batch_size=100)
    for n in range(6):
        publish(organization, number=n, text="x" * 200_000)
    run()
    assert len(receiver.arrivals) == 1
    assert len(json.loads(receiver.arrivals[0].body)["data"]) == 5


def test_order_and_pauses_hold_for_batches(organization, endpoint_at, receiver):
    endpoint = batching(endpoint_at, receiver, batch_size=2, ordering="fifo")
    pausing.pause(endpoint=endpoint, actor=ADA)
    for n in range(5):
        publish(organization, number=n)
    run()
    assert not receiver.arrivals
    assert Delivery.objects.filter(endpoint=endpoint).exclude(next_attempt_at=None).count() == 1
    pausing.resume(endpoint=endpoint, actor=ADA)
    run()
    sent = [[one["data"]["number"] for one in json.loads(a.body)["data"]] for a in receiver.arrivals]
    assert sent == [[0, 1], [2, 3], [4]]


def test_a_test_message_comes_as_a_batch_of_one(organization, endpoint_at, receiver):
    endpoint = batching(endpoint_at, receiver)
    attempt = endpoints.send_test(endpoint=endpoint, actor=ADA)
    assert attempt.succeeded
    told = json.loads(receiver.arrivals[0].body)
    assert [one["type"] for one in told["data"]] == ["webhook.test"]


def test_what_cannot_be_a_batch(api, receiver):
    body = {"name": "x", "url": receiver.url, "events": ["custom.*"]}
    body |= {"delivery_settings": {"batch_delivery": True}}
    answer = api.post("/api/v1/webhooks", {**body, "payload_config": {"format": "form"}}, format="json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/delivery_settings/batch_delivery"
