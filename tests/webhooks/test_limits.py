"""Receivers that hang, drip, flood or lie: each costs its own delivery and nothing else."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from apps.events.services import fanout
from apps.webhooks.models import Delivery, DeliveryAttempt
from apps.webhooks.services import dispatch, endpoints
from apps.webhooks.statuses import DeliveryStatus
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.receiver import receiving, say


@contextmanager
def talking(speak):
    """A server that answers with whatever `speak(connection)` sends, until the sender hangs up."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        with connection:
            connection.recv(65536)
            with suppress(OSError):
                speak(connection, over)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"
    finally:
        over.set()
        server.close()


def fail_at(endpoint):
    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.RETRYING
    return DeliveryAttempt.objects.get(delivery=delivery)


def test_a_receiver_that_hangs_does_not_slow_the_others(organization, endpoint_at):
    hold = threading.Event()
    with receiving() as hanging, receiving() as healthy:
        hanging.usual = lambda handler, arrival: hold.wait(30)
        slow = endpoint_at(hanging.url, timeout=3, max_concurrency=4)
        quick = endpoint_at(healthy.url)
        for n in range(60):
            publish(organization, order=n)
        fanout.sweep()

        dispatch.drain(seconds=0.5, linger=0)
        hold.set()

        assert hanging.most_at_once <= 4
        assert Delivery.objects.filter(endpoint=quick, status=DeliveryStatus.DELIVERED).count() == 60
        took = list(DeliveryAttempt.objects.filter(endpoint=quick).values_list("duration_ms", flat=True))
        assert sorted(took)[int(len(took) * 0.95)] < 2000
        waiting = DeliveryAttempt.objects.filter(endpoint=slow)
        assert waiting.count() <= 8
        assert {attempt.error_code for attempt in waiting} <= {"timeout", "disconnected", ""}


def test_the_timeout_is_for_everything(organization, endpoint_at):
    """The status line comes at once; then one byte at a time."""

    def drip(connection, over):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not over.wait(0.1):
            connection.sendall(b".")

    with talking(drip) as url:
        endpoint = endpoint_at(url, timeout=1)
        publish(organization)
        started = time.monotonic()
        run()
        took = time.monotonic() - started

    attempt = fail_at(endpoint)
    assert attempt.error_code == "timeout"
    assert 900 <= attempt.duration_ms < 2500
    assert took < 10


def test_of_an_endless_answer_64_kib_are_read_and_16_kept(organization, endpoint_at):
    sent = []

    def flood(connection, over):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
        while not over.is_set():
            sent.append(connection.send(b"x" * 65536))

    with talking(flood) as url:
        endpoint = endpoint_at(url)
        publish(organization)
        run()

    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.DELIVERED
    assert len(DeliveryAttempt.objects.get(delivery=delivery).response_body) == 16 * 1024
    assert sum(sent) < 20 * 2**20  # what lay in the sockets' buffers


def test_a_gzip_bomb_costs_nothing(organization, endpoint_at, receiver):
    bomb = gzip.compress(b"\0" * 50_000_000)
    receiver.usual = say(200, bomb, Content_Encoding="gzip")
    endpoint = endpoint_at(receiver.url)
    publish(organization)

    run()

    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    attempt = DeliveryAttempt.objects.get()
    assert attempt.response_body == "\ufffd" * len(attempt.response_body)
    assert len(attempt.response_body.encode()) <= 16 * 1024


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 999\r\n", b"HTTP/1.1 200 OK\r\nContent-Len"]
)
def test_answers_that_are_no_http_are_failures(organization, endpoint_at, answer):
    with talking(lambda connection, over: connection.sendall(answer)) as url:
        endpoint = endpoint_at(url)
        publish(organization)
        run()

    attempt = fail_at(endpoint)
    assert attempt.error_code in ("protocol_error", "disconnected", "connection_failed")
    assert attempt.status_code is None


def test_nobody_listens_at_the_address(organization, endpoint_at):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    endpoint = endpoint_at(url)
    publish(organization)

    run()

    assert fail_at(endpoint).error_code == "connection_failed"


def test_an_address_that_became_private_is_refused_at_sending(organization, endpoint_at, receiver, settings):
    """It was public when the endpoint was saved; every attempt looks again."""
    endpoint = endpoint_at(receiver.url)
    settings.HUB_OUTBOUND_ALLOW = []
    publish(organization)

    run()

    assert receiver.arrivals == []
    assert fail_at(endpoint).error_code == "address_blocked"


def test_the_allow_list_holds_at_sending(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, ip_allow_list=["127.0.0.1/32"])
    publish(organization)
    run()
    assert len(receiver.arrivals) == 1
    type(endpoint).objects.update(ip_allow_list=["203.0.113.0/24"], version=9)
    publish(organization)
    run()
    assert len(receiver.arrivals) == 1
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered", "retrying"}


def test_http_needs_permission_of_the_organization_or_the_hub(organization, endpoint_at, receiver, settings):
    settings.HUB_ALLOW_HTTP = False
    with pytest.raises(Exception, match="was not created"):
        endpoint_at(receiver.url)

    organization.allow_http = True
    organization.save()
    endpoint_at(receiver.url)
    publish(organization)
    run()
    assert len(receiver.arrivals) == 1

    organization.allow_http = False
    organization.save()
    publish(organization)
    run()
    assert len(receiver.arrivals) == 1


def test_requests_to_one_endpoint_at_once_are_limited(organization, endpoint_at, receiver):
    endpoint_at(receiver.url, max_concurrency=3)

    def slowly(handler, arrival):
        time.sleep(0.02)
        say(204)(handler, arrival)

    receiver.usual = slowly
    for n in range(20):
        publish(organization, order=n)

    run_until_done()

    assert len(receiver.arrivals) == 20
    assert receiver.most_at_once == 3


def run_until_done():
    fanout.sweep()
    dispatch.drain(linger=0.5)


def test_the_rate_limit_of_an_endpoint(organization, endpoint_at, receiver):
    endpoint_at(receiver.url, rate_limit_per_minute=5)
    for n in range(12):
        publish(organization, order=n)

    fanout.sweep()
    dispatch.drain(seconds=0.5)

    assert len(receiver.arrivals) == 5
    assert Delivery.objects.filter(status=DeliveryStatus.PENDING).count() == 7
    minute_ago = DeliveryAttempt.objects.earliest("id").started_at
    DeliveryAttempt.objects.update(started_at=minute_ago.replace(year=minute_ago.year - 1))
    dispatch.drain(seconds=0.5)
    assert len(receiver.arrivals) == 10


def test_a_flood_for_one_endpoint_leaves_room_for_another(organization, endpoint_at, receiver):
    with receiving() as other:
        endpoint_at(receiver.url, events=["custom.flood"])
        endpoint_at(other.url, events=["custom.single"])
        for n in range(50):
            publish(organization, "custom.flood", order=n)
        publish(organization, "custom.single")
        fanout.sweep()

        dispatch.drain(linger=0, in_flight=4)
        order = list(DeliveryAttempt.objects.order_by("id").values_list("delivery__event_type", flat=True))

    assert "custom.single" in order[:4]


def test_an_endpoint_that_is_removed_before_its_message_goes(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)

    fanout.sweep()
    endpoints.remove(endpoint=endpoint, actor=ADA)
    run()

    assert receiver.arrivals == []
    assert only_delivery(endpoint).status == DeliveryStatus.CANCELLED
