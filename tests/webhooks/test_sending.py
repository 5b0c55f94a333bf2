"""From an event to the receiver: what is sent, what counts as success, and what is kept of it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import standardwebhooks
from django.db import connection

from apps.webhooks.models import Delivery, DeliveryAttempt, Payload
from apps.webhooks.services import endpoints
from apps.webhooks.statuses import DeliveryStatus, HealthStatus
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.receiver import say


def test_an_event_arrives_signed_and_every_step_is_recorded(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, headers={"X-Shop": "north"})
    receiver.usual = say(200, b"thanks", X_Trace="abc")
    event = publish(organization, order=7, subject="rec_7")

    run()

    [arrival] = receiver.arrivals
    assert arrival.method == "POST"
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["x-shop"] == "north"
    assert arrival.id == event.public_id
    told = json.loads(arrival.body)
    assert list(told) == ["id", "type", "timestamp", "data"]
    assert told["id"] == event.public_id
    assert told["type"] == "custom.order.paid"
    assert told["data"] == {"order": 7}
    assert standardwebhooks.Webhook(endpoint.secret).verify(arrival.body, arrival.headers) == told

    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.DELIVERED
    assert delivery.attempts == 1
    assert delivery.last_status == 200
    assert delivery.body == arrival.body
    assert delivery.lease_until is None
    attempt = DeliveryAttempt.objects.get(delivery=delivery)
    assert (attempt.number, attempt.status_code, attempt.response_body) == (1, 200, "thanks")
    assert attempt.response_headers["X-Trace"] == "abc"
    assert attempt.request_headers["webhook-id"] == event.public_id
    assert attempt.request_headers["X-Shop"] == "north"
    assert attempt.started_at <= attempt.finished_at
    endpoint.refresh_from_db()
    assert endpoint.health_status == HealthStatus.HEALTHY


def test_endpoints_of_the_same_style_share_one_stored_payload(organization, endpoint_at, receiver):
    for _ in range(3):
        endpoint_at(receiver.url)
    endpoint_at(receiver.url, include_metadata=True)
    publish(organization)

    run()

    assert len(receiver.arrivals) == 4
    assert Delivery.objects.count() == 4
    assert Payload.objects.count() == 2


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 404, 500, 503])
def test_only_2xx_is_success_and_redirects_are_not_followed(organization, endpoint_at, receiver, status):
    endpoint = endpoint_at(receiver.url)
    receiver.usual = say(status, Location=receiver.url)
    publish(organization)

    run()

    assert len(receiver.arrivals) == 1
    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.RETRYING
    assert delivery.last_status == status
    assert delivery.last_error == f"The receiver answered {status}."
    wait = delivery.next_attempt_at - delivery.updated_at
    assert timedelta(seconds=4) <= wait <= timedelta(seconds=6)


def test_a_retry_sends_the_same_id_and_bytes(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_intervals=[0.1])
    receiver.answers = [say(500)]
    publish(organization, order=1)

    run()
    Delivery.objects.update(next_attempt_at=only_delivery(endpoint).created_at)
    run()

    first, second = receiver.arrivals
    assert first.id == second.id
    assert first.body == second.body
    delivery = only_delivery(endpoint)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 2)
    assert list(delivery.tries.order_by("number").values_list("number", "status_code")) == [
        (1, 500),
        (2, 204),
    ]


def test_no_secret_is_in_clear_in_the_database(organization, endpoint_at, receiver):
    endpoint = endpoint_at(
        receiver.url,
        headers={"X-Api-Token": "t0psecret"},
        auth_type="bearer",
        auth_config={"token": "b3arer-token"},
        retry_attempts=0,
    )
    old = endpoint.secret
    new = endpoints.rotate_secret(endpoint=endpoint, actor=ADA)
    receiver.usual = lambda handler, arrival: say(500, str(arrival.headers).encode())(handler, arrival)
    publish(organization)

    run()

    assert len(receiver.arrivals) == 1
    tables = [name for name in connection.introspection.table_names() if "django_" not in name]
    assert "webhooks_deliveryattempt" in tables
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                stored = b" ".join(
                    bytes(v) if isinstance(v, memoryview | bytes) else str(v).encode() for v in row
                )
                for secret in ("t0psecret", "b3arer-token", old, new, old.removeprefix("whsec_")):
                    assert secret.encode() not in stored, table
