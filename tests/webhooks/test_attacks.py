"""Addresses that lead inside, endpoints that go away in the middle, and a broker that forgets everything."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.events.models import Event
from apps.events.services import outbox
from apps.webhooks import tasks
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services import dispatch, endpoints
from apps.webhooks.statuses import DeliveryStatus, EndpointStatus
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_api import new


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1]/", "http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", "http://0/",
        "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://localhost/", "http://localhost.:80/",
        "http://user:pass@203.0.113.7/", "http://203.0.113.7\\@127.0.0.1/", "http://127.0.0.1%2f@example.com/",
        "http://example.com\r\nX: y/", "file:///etc/passwd", "gopher://127.0.0.1/", "http:///x",
        "//127.0.0.1/",
        "http://[::ffff:a9fe:a9fe]/", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/",
    ],
)  # fmt: skip
def test_addresses_that_lead_inside_are_refused_however_they_are_spelled(api, receiver, settings, url):
    settings.HUB_OUTBOUND_ALLOW = []
    answer = api.post("/api/v1/webhooks", new(receiver, url=url), format="json")
    assert answer.status_code in (400, 422), answer.content
    assert "/url" in [error["pointer"] for error in answer.json()["errors"]]
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://127.0.0.1:1/", "/elsewhere"])
def test_a_redirect_leads_nowhere(organization, endpoint_at, receiver, target):
    endpoint = endpoint_at(receiver.url)
    receiver.usual = say(302, Location=target)
    publish(organization)
    run()
    assert [arrival.path for arrival in receiver.arrivals] == ["/hook"]
    assert only_delivery(endpoint).last_status == 302


def test_a_name_that_changes_its_mind_is_looked_at_again_at_every_attempt(
    organization, endpoint_at, receiver, settings
):
    endpoint = endpoint_at(receiver.url.replace("127.0.0.1", "localhost"))
    settings.HUB_OUTBOUND_ALLOW = []  # as if the name now led to another, private address
    publish(organization)
    run()
    assert not receiver.arrivals
    assert "not public" in only_delivery(endpoint).last_error


def test_an_endpoint_removed_while_its_message_is_on_its_way(organization, endpoint_at, receiver):
    arrived, go_on = threading.Event(), threading.Event()

    def hold(handler, arrival):
        arrived.set()
        go_on.wait(20)
        say(500)(handler, arrival)

    receiver.usual = hold
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    from apps.events.services import fanout

    fanout.sweep()
    claimed = dispatch.claims.claim(owner="here", room=10).jobs
    sending = dispatch.Sender()
    with sending:
        loop = dispatch._Loop(sender=sending, owner="here", most=10)
        loop.start(claimed)
        assert arrived.wait(20)
        endpoints.remove(endpoint=endpoint, actor=ADA)
        go_on.set()
        while loop.flying:
            loop.collect(wait=0.5)
    delivery = Delivery.objects.get(endpoint=endpoint)
    assert (delivery.status, delivery.next_attempt_at) == (DeliveryStatus.CANCELLED, None)
    assert DeliveryAttempt.objects.get(delivery=delivery).status_code == 500
    run()
    assert len(receiver.arrivals) == 1  # whatever it waits for, a removed endpoint is sent nothing more


def test_a_success_at_the_last_permitted_attempt_pauses_nothing(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=2, retry_intervals=[60], max_consecutive_failures=3)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
        first_failure_at=timezone.now() - timedelta(days=4), consecutive_failures=0
    )
    receiver.answers = [say(500), say(500), say(204)]
    publish(organization)
    for _ in range(3):
        run()
        Delivery.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())
    endpoint.refresh_from_db()
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    assert (endpoint.status, endpoint.consecutive_failures) == (EndpointStatus.ACTIVE, 0)
    assert not Event.objects.filter(type="webhook.endpoint.paused").exists()


def test_with_the_broker_flushed_a_thousand_pending_and_a_thousand_delayed_arrive(
    organization, endpoint_at, receiver
):
    endpoint = endpoint_at(receiver.url)

    def flood():
        drafts = [outbox.Draft(type="custom.order.paid", data={"order": n}) for n in range(1000)]
        outbox.publish_many(organization=organization, drafts=drafts)

    from apps.events.services import fanout

    flood()
    fanout.sweep()
    Delivery.objects.filter(endpoint=endpoint).update(  # delayed: due in the past by now, rung by nobody
        status=DeliveryStatus.RETRYING, step=1, next_attempt_at=timezone.now()
    )
    flood()  # pending: not even fanned out
    fanout.sweep()
    tasks.sweep()
    while tasks.claims.is_due():
        tasks.sweep()
    assert Delivery.objects.filter(endpoint=endpoint, status=DeliveryStatus.DELIVERED).count() == 2000
    assert len(set(receiver.ids)) == 2000
