"""Receivers that answer with a drip, a gigabyte or a bomb: it costs an attempt its deadline or some KiB of
memory, and the delivery is recorded like any other.
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from apps.webhooks.models import DeliveryAttempt
from apps.webhooks.statuses import DeliveryStatus
from tests.kernel.outbound.peers import Conversation, answer, bomb, endless, peer, replies
from tests.memory import costs_at_most
from tests.webhooks.conftest import only_delivery, publish, run

KEPT = 16 * 1024


@pytest.mark.parametrize("part", ["status", "headers", "body"])
def test_a_receiver_that_drips_is_cut_at_the_deadline(organization, endpoint_at, settings, part):
    """A byte a second for fifteen seconds, the hub's default: here both are thirty times quicker."""
    settings.HUB = replace(settings.HUB, webhook_timeout=500)
    at_once, slowly = {
        "status": (b"", b"HTTP/1.1 200 OK" + b" " * 1000),
        "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"a" * 1000),
        "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a" * 1000),
    }[part]

    def drip(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(at_once)
        conversation.drip(slowly, 1 / 30)

    with peer(drip) as slow:
        endpoint = endpoint_at(slow.url("/hook"))
        publish(organization)
        started = time.monotonic()
        run()
        took = time.monotonic() - started

    assert took < 10  # a thousand bytes would have taken 33 seconds
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.succeeded, attempt.status_code, attempt.error_code) == (False, None, "timeout")
    assert attempt.error == f"127.0.0.1:{slow.port} did not answer completely within 0.5 s."
    assert only_delivery(endpoint).status == DeliveryStatus.RETRYING


def test_of_a_gigabyte_the_beginning_is_kept_and_the_rest_is_not_read(organization, endpoint_at):
    with costs_at_most(50), peer(endless) as big:
        endpoint = endpoint_at(big.url("/hook"))
        publish(organization)
        run()

    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    assert DeliveryAttempt.objects.get().response_body == "x" * KEPT


def test_a_gzip_bomb_is_opened_no_further_than_what_is_kept(organization, endpoint_at):
    reply = answer(bomb(), headers=b"Content-Encoding: gzip\r\n")
    with costs_at_most(50), peer(replies(reply)) as hostile:
        endpoint = endpoint_at(hostile.url("/hook"))
        publish(organization)
        run()

    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    assert 0 < len(DeliveryAttempt.objects.get().response_body) <= KEPT
