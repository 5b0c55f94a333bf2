"""Degrading, pausing, holding, probing and resuming; order, retries and their times."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.webhooks import health
from apps.webhooks.models import Delivery, WebhookEndpoint
from apps.webhooks.retries import LADDER, Schedule, hub_schedule, jittered, retry_after, schedule_of
from apps.webhooks.services import deliveries, endpoints, fifo, pausing, recovery
from apps.webhooks.statuses import DeliveryStatus, EndpointStatus, HealthStatus
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_replays import order, worked

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def due_again():
    """As if every pause were over."""
    Delivery.objects.filter(status=DeliveryStatus.RETRYING).update(next_attempt_at=timezone.now())


# --- times


def test_the_ladder():
    ladder = hub_schedule()
    assert [ladder.pause(step) for step in range(10)] == [
        5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400, None,
    ]  # fmt: skip


def test_the_documents_variables():
    assert hub_schedule(max_retries=3).intervals == (1.0, 2.0, 4.0)
    assert hub_schedule(max_retries=3, delay_ms=500, factor=3).intervals == (0.5, 1.5, 4.5)
    assert hub_schedule(delay_ms=1000).retries == 3
    assert hub_schedule(max_retries=0).pause(0) is None
    assert hub_schedule(max_retries=40, factor=10).intervals[-1] == 86400


def test_an_endpoints_own_schedule():
    own = schedule_of(intervals=[1, 10], attempts=None, fallback=hub_schedule())
    assert [own.pause(n) for n in range(3)] == [1, 10, None]
    longer = schedule_of(intervals=[1, 10], attempts=4, fallback=hub_schedule())
    assert [longer.pause(n) for n in range(5)] == [1, 10, 10, 10, None]
    fewer = schedule_of(intervals=[], attempts=2, fallback=hub_schedule())
    assert fewer == Schedule(LADDER, 2)
    assert schedule_of(intervals=[], attempts=0, fallback=hub_schedule()).pause(0) is None


def test_jitter_is_twenty_per_cent():
    draws = [jittered(100, random.Random(seed)) for seed in range(500)]
    assert 80 <= min(draws) < 84
    assert 116 < max(draws) <= 120


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120), ("0", 0), (" 7 ", 7), ("99999999999", 86400), (None, None), ("", None), ("soon", None),
        ("-5", None), ("1.5", None), ("Sun, 01 Mar 2026 00:10:00 GMT", 600),
        ("Sat, 28 Feb 2026 00:00:00 GMT", 0),
        ("Tue, 01 Mar 2033 00:10:00 GMT", 86400),
    ],
)  # fmt: skip
def test_retry_after(value, seconds):
    assert retry_after(value, now=NOW) == seconds


def test_retry_after_is_honoured_on_429_and_503(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    for status, least in ((429, 3600), (503, 3600), (500, 4)):
        receiver.answers = [say(status, Retry_After="3600")]
        publish(organization)
        run()
        delivery = Delivery.objects.filter(endpoint=endpoint).latest("id")
        wait = (delivery.next_attempt_at - delivery.updated_at).total_seconds()
        assert wait == pytest.approx(least, rel=0.6)
        assert (wait >= 3600) == (status != 500)


def test_after_the_last_retry_it_has_failed_and_that_is_told(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_intervals=[1, 1])
    watcher = endpoint_at(receiver.url, events=["webhook.*"], name="Watcher")
    receiver.usual = say(500)
    event = publish(organization)

    for _ in range(3):
        run()
        due_again()

    delivery = Delivery.objects.get(event=event)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, 3)
    told = Event.objects.get(type="webhook.delivery.exhausted")
    assert told.data["delivery"] == delivery.public_id
    assert told.data["attempts"] == 3
    run()
    # The watcher's own failures are told to nobody: that would never end.
    for _ in range(30):
        due_again()
        run()
    assert Event.objects.filter(type="webhook.delivery.exhausted").count() == 1
    assert Delivery.objects.filter(endpoint=watcher, event_type="webhook.delivery.exhausted").exists()
    assert not Delivery.objects.filter(endpoint=endpoint, event_type__startswith="webhook.").exists()


def test_only_listed_statuses_are_retried(organization, endpoint_at, receiver):
    endpoint_at(receiver.url, retry_on_status=[503])
    receiver.answers = [say(400), say(503)]
    publish(organization)
    run()
    publish(organization)
    run()
    assert list(Delivery.objects.order_by("id").values_list("status", flat=True)) == ["failed", "retrying"]


# --- health


@pytest.mark.parametrize(
    ("failures", "limit", "expected"),
    [(0, 100, "healthy"), (2, 100, "healthy"), (3, 100, "degraded"), (49, 100, "degraded"),
     (50, 100, "failing"), (1, 2, "failing")],
)  # fmt: skip
def test_health_of(failures, limit, expected):
    assert health.health_of(failures=failures, limit=limit) == expected


@pytest.mark.parametrize(
    ("failures", "since", "paused"),
    [
        (100, timedelta(hours=12), True),
        (100, timedelta(hours=11, minutes=59), False),
        (99, timedelta(hours=100), False),
        (3, timedelta(days=5), True),
        (2, timedelta(days=50), False),
        (0, timedelta(days=50), False),
    ],
)
def test_when_it_pauses(failures, since, paused):
    reason = health.pause_due(failures=failures, limit=100, first_failure_at=NOW - since, now=NOW)
    assert bool(reason) is paused


def failing_for(endpoint, failures, hours):
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        consecutive_failures=failures,
        first_failure_at=timezone.now() - timedelta(hours=hours),
        health_status=HealthStatus.FAILING,
    )


def test_the_hundredth_failure_in_a_row_pauses_and_says_so(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, events=["*"])
    failing_for(endpoint, 99, 13)
    receiver.answers = [say(500)]
    event = publish(organization)

    run()
    publish(organization)
    run()

    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.PAUSED
    assert endpoint.pause_reason == "100 failed attempts in a row over 13 hours."
    assert endpoint.paused_by == "The hub"
    assert endpoint.next_probe_at > timezone.now()
    told = Event.objects.get(type="webhook.endpoint.paused")
    assert told.data["automatic"] is True
    assert told.subject == endpoint.number
    assert Event.objects.get(type="webhook.endpoint.degraded").data["percent"] == 100
    assert len(receiver.arrivals) == 1
    # It listens for everything, but a notice about itself would be addressed to the dead.
    assert {row.event_type for row in Delivery.objects.filter(endpoint=endpoint)} == {"custom.order.paid"}
    assert Delivery.objects.get(event=event).status == DeliveryStatus.RETRYING


def test_alerts_at_half_and_more_of_the_limit_once_each(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, max_consecutive_failures=10)
    receiver.usual = say(500)
    for n in range(9):
        publish(organization, order=n)
        run()
    percents = (
        Event.objects.filter(type="webhook.endpoint.degraded").order_by("id").values_list("data", flat=True)
    )
    assert [data["percent"] for data in percents] == [50, 70, 90]
    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.ACTIVE


def test_one_success_clears_everything(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    failing_for(endpoint, 99, 1000)
    publish(organization)

    run()

    endpoint.refresh_from_db()
    assert (endpoint.consecutive_failures, endpoint.first_failure_at) == (0, None)
    assert (endpoint.status, endpoint.health_status) == (EndpointStatus.ACTIVE, HealthStatus.HEALTHY)


def test_every_tenth_attempt_failing_never_pauses(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, max_consecutive_failures=2, max_concurrency=1)
    WebhookEndpoint.objects.update(first_failure_at=timezone.now() - timedelta(days=30))
    receiver.answers = [say(500 if n % 10 == 0 else 200) for n in range(60)]
    for n in range(60):
        publish(organization, order=n)

    run()

    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.ACTIVE
    assert not Event.objects.filter(type="webhook.endpoint.paused").exists()


def test_gone_pauses_at_once_and_only_a_person_resumes(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    receiver.answers = [say(410)]
    publish(organization)

    run()

    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.pause_reason) == (EndpointStatus.PAUSED, "It answered 410 Gone.")
    assert endpoint.next_probe_at is None


def test_a_probe_resumes_by_itself(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    failing_for(endpoint, 99, 13)
    receiver.answers = [say(500), say(500)]
    publish(organization)
    run()
    for n in range(3):
        publish(organization, order=n)
    due_again()
    run()
    assert len(receiver.arrivals) == 1

    WebhookEndpoint.objects.update(next_probe_at=timezone.now())
    run()
    assert len(receiver.arrivals) == 2  # one message only, and it failed
    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.PAUSED
    assert endpoint.next_probe_at > timezone.now() + timedelta(minutes=50)

    WebhookEndpoint.objects.update(next_probe_at=timezone.now())
    due_again()
    run()
    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.ACTIVE
    assert Event.objects.get(type="webhook.endpoint.resumed").data["automatic"] is True
    assert set(Delivery.objects.filter(endpoint=endpoint).values_list("status", flat=True)) == {"delivered"}


def test_after_thirty_days_it_is_given_up(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    failing_for(endpoint, 99, 13)
    receiver.answers = [say(500)]
    publish(organization)
    run()
    assert recovery.give_up() == 0
    WebhookEndpoint.objects.update(paused_at=timezone.now() - timedelta(days=31))

    assert recovery.give_up() == 1

    endpoint.refresh_from_db()
    assert endpoint.status == EndpointStatus.FAILED
    assert only_delivery(endpoint).status == DeliveryStatus.CANCELLED


# --- order


def orders(receiver):
    import json

    return [json.loads(arrival.body)["data"]["order"] for arrival in receiver.arrivals]


def test_what_a_paused_endpoint_missed_arrives_in_order(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, max_concurrency=1)
    receiver.answers = [say(500)]
    publish(organization, order=0)
    run()
    pausing.pause(endpoint=endpoint, actor=ADA, reason="Upgrade")
    for n in range(1, 8):
        publish(organization, order=n)
    run()
    assert orders(receiver) == [0]
    assert Delivery.objects.filter(endpoint=endpoint).count() == 8

    pausing.resume(endpoint=endpoint, actor=ADA)
    run()

    assert orders(receiver) == [0, 0, 1, 2, 3, 4, 5, 6, 7]


def test_one_after_another_per_ordering_key(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, ordering="fifo", retry_intervals=[60])
    receiver.answers = [say(500)]
    for n in range(4):
        publish(organization, order=n, subject="order-1")
    run()
    assert orders(receiver) == [0]  # the others wait for the first one
    publish(organization, order=100, subject="order-2")
    run()
    assert orders(receiver) == [0, 100]  # another key does not

    due_again()
    run()

    assert orders(receiver) == [0, 100, 0, 1, 2, 3]
    assert set(Delivery.objects.filter(endpoint=endpoint).values_list("status", flat=True)) == {"delivered"}


def test_the_key_goes_on_after_a_failed_or_cancelled_delivery(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, ordering="fifo", retry_intervals=[60])
    receiver.answers = [say(500)]
    for n in range(3):
        publish(organization, order=n, subject="order-1")
    run()
    first = Delivery.objects.order_by("id")[0]

    deliveries.cancel(delivery=first, actor=ADA)
    run()
    assert orders(receiver) == [0, 1, 2]

    deliveries.retry(delivery=Delivery.objects.get(pk=first.pk), actor=ADA)
    run()
    assert orders(receiver) == [0, 1, 2, 0]
    assert endpoint.deliveries.filter(status=DeliveryStatus.DELIVERED).count() == 3


def test_a_forgotten_head_is_found(organization, endpoint_at, receiver):
    endpoint_at(receiver.url, ordering="fifo")
    publish(organization, order=1, subject="order-1")
    from apps.events.services import fanout

    fanout.sweep()
    Delivery.objects.update(next_attempt_at=None)
    assert run().sent == 0

    assert fifo.release_forgotten(timezone.now()) == 1
    run()
    assert orders(receiver) == [1]


# --- by hand


def test_a_manual_retry_replaces_the_pending_automatic_one(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    receiver.answers = [say(500)]
    publish(organization)
    run()
    delivery = only_delivery(endpoint)
    assert delivery.next_attempt_at > timezone.now()

    deliveries.retry(delivery=delivery, actor=ADA)
    run()
    due_again()
    run()

    assert len(receiver.arrivals) == 2
    assert only_delivery(endpoint).attempts == 2


def test_a_failed_one_starts_its_schedule_over(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_intervals=[60])
    receiver.usual = say(500)
    publish(organization)
    run()
    due_again()
    run()
    assert only_delivery(endpoint).status == DeliveryStatus.FAILED

    deliveries.retry(delivery=only_delivery(endpoint), actor=ADA)
    run()

    delivery = only_delivery(endpoint)
    assert (delivery.status, delivery.attempts, delivery.step) == (DeliveryStatus.RETRYING, 3, 1)


def test_rotation_signs_with_both_until_the_old_one_ends(organization, endpoint_at, receiver):
    import standardwebhooks

    endpoint = endpoint_at(receiver.url)
    old = endpoint.secret
    new = endpoints.rotate_secret(endpoint=endpoint, actor=ADA, keep_for=timedelta(hours=1))
    publish(organization)
    run()
    arrival = receiver.arrivals[-1]
    for secret in (old, new):
        standardwebhooks.Webhook(secret).verify(arrival.body, arrival.headers)

    endpoints.rotate_secret(endpoint=endpoint, actor=ADA, keep_for=timedelta(0))
    publish(organization)
    run()
    arrival = receiver.arrivals[-1]
    signatures = arrival.headers["webhook-signature"].split(" ")
    assert len(signatures) == 2  # the newest, and the first for the rest of its hour
    standardwebhooks.Webhook(old).verify(arrival.body, arrival.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new).verify(arrival.body, arrival.headers)


def test_at_most_ten_old_secrets(endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    for _ in range(10):
        endpoints.rotate_secret(endpoint=endpoint, actor=ADA)
    secret = endpoint.secret
    with pytest.raises(Exception, match="10 old secrets"):
        endpoints.rotate_secret(endpoint=endpoint, actor=ADA)
    endpoint.refresh_from_db()
    assert endpoint.secret == secret


def test_the_older_signature_header_and_unsigned_endpoints(organization, endpoint_at, receiver):
    from apps.webhooks import signing

    endpoint = endpoint_at(receiver.url, signature_header="X-Webhook-Signature")
    publish(organization)
    run()
    arrival = receiver.arrivals[0]
    signing.verify_legacy(
        header=arrival.headers["x-webhook-signature"], body=arrival.body, secrets=[endpoint.secret]
    )
    endpoints.update(endpoint=endpoint, actor=ADA, sign_payload=False)
    publish(organization)
    run()
    assert not {"webhook-signature", "x-webhook-signature"} & set(receiver.arrivals[1].headers)


@pytest.mark.parametrize(
    ("auth_type", "auth_config", "header", "value"),
    [
        ("bearer", {"token": "abc"}, "authorization", "Bearer abc"),
        ("basic", {"username": "ada", "password": "pa55"}, "authorization", "Basic YWRhOnBhNTU="),
        ("api_key", {"key": "k1"}, "x-api-key", "k1"),
        ("api_key", {"key": "k1", "header": "X-Shop-Key"}, "x-shop-key", "k1"),
        ("custom", {"headers": {"X-Anything": "some value"}}, "x-anything", "some value"),
    ],
)
def test_authentication(organization, endpoint_at, receiver, auth_type, auth_config, header, value):
    endpoint = endpoint_at(receiver.url, auth_type=auth_type, auth_config=auth_config)
    receiver.usual = lambda handler, arrival: say(200, arrival.headers[header].encode())(handler, arrival)
    publish(organization)
    run()

    assert receiver.arrivals[0].headers[header] == value
    attempt = only_delivery(endpoint).tries.get()
    assert value not in str(attempt.request_headers)
    assert attempt.response_body == "***"  # the receiver echoed it


# --- replay


def test_replaying_everything_and_what_was_missed(organization, endpoint_at, receiver):
    early = publish(organization, order=1)
    run()
    endpoint = endpoint_at(receiver.url)
    run()
    assert receiver.arrivals == []
    late = publish(organization, order=2)
    run()
    since = early.occurred_at - timedelta(seconds=1)

    missing = order(endpoint, "missing", since=since)
    assert (missing.missing, missing.total) == (1, 1)
    assert worked(missing).sent == 1
    run()
    assert receiver.ids == [late.public_id, early.public_id]
    everything = worked(order(endpoint, "all", since=since))
    assert (everything.delivered, everything.failed, everything.sent) == (1, 0, 1)
    run()
    assert receiver.ids == [late.public_id, early.public_id, late.public_id]
    assert receiver.arrivals[0].body == receiver.arrivals[2].body
