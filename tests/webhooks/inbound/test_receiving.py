"""The public door: what is taken, what is refused, and how little it costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.connectors.models import Integration
from apps.connectors.services import integrations, lifecycle
from apps.events.models import Event
from apps.webhooks.models import InboundCount, InboundReceiver, InboundRejection, InboundWebhook
from apps.webhooks.services.inbound import counting, receivers
from tests.webhooks.inbound import providers
from tests.webhooks.inbound.conftest import ADA, only, receiver_of, send, work
from tests.webhooks.inbound.providers import SECRET

pytestmark = pytest.mark.django_db
ORDER = {"id": 820982911946154508, "email": "jon@example.com", "total_price": "403.00"}
Shop = Callable[..., Integration]


def test_a_signed_webhook_is_stored_as_it_came_and_answered_at_once(shop: Shop) -> None:
    shop("shopify")
    answer = send("shop", ORDER, REMOTE_ADDR="203.0.113.9", HTTP_AUTHORIZATION="Bearer sk_live_123456")
    assert (answer.status_code, answer.content) == (200, b"")
    row = only()
    assert bytes(row.body) == json.dumps(ORDER).encode()
    assert (row.status, row.source, row.event_type) == ("pending", "shopify", "orders/create")
    assert row.signature_verified
    assert row.signature
    assert row.headers["x-shopify-topic"] == "orders/create"
    assert row.headers["x-shopify-hmac-sha256"] == row.signature
    assert row.headers["authorization"] == "***"
    assert row.remote_ip == "203.0.113.9"
    assert row.payload == ORDER
    assert not Event.objects.filter(type="inbound.received").exists()


def test_the_way_of_an_accepted_message_is_three_statements(shop: Shop) -> None:
    shop("shopify")
    client = Client()
    send("shop", {"warm": "up"}, client=client)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert send("shop", ORDER, client=client).status_code == 200
    verbs = [query["sql"].split()[0] for query in queries]
    assert verbs == ["SELECT", "SELECT", "INSERT"], [query["sql"][:80] for query in queries]


def test_a_wrong_signature_is_counted_sampled_and_never_worked_off(shop: Shop) -> None:
    integration = shop("shopify")
    answer = send("shop", ORDER, headers={"X-Shopify-Hmac-SHA256": "AAAA", "Authorization": "Bearer abc"})
    assert answer.status_code == 401
    assert work() == 0
    assert not InboundWebhook.objects.exists()
    receiver = receiver_of(integration)
    assert receiver.counts.get().rejected == 1
    sample = receiver.rejections.get()
    assert sample.reason == "The signature does not match the body."
    assert sample.beginning == json.dumps(ORDER)
    assert sample.headers["authorization"] == "***"


def test_ten_thousand_bad_signatures_leave_bounded_rows(shop: Shop) -> None:
    integration = shop("shopify")
    receiver = receiver_of(integration)
    for number in range(10_000):
        counting.reject(receiver, reason=f"No. {number}", remote_ip=None, headers={}, body=b"x" * 5000)
    assert sum(InboundCount.objects.values_list("rejected", flat=True)) == 10_000
    assert InboundCount.objects.count() <= 2
    assert InboundRejection.objects.count() <= counting.SAMPLES
    assert max(len(row.beginning) for row in InboundRejection.objects.all()) <= counting.SHOWN_BYTES
    assert InboundRejection.objects.order_by("-at")[0].reason in {"No. 9999", "No. 9998"}


def test_nobody_is_behind_an_unknown_closed_or_disabled_address(shop: Shop, organization: Any) -> None:
    for code in ("nothing", "a" * 300, "x\x00y", "..", "%00"):
        assert send(code, ORDER).status_code == 404
    integration = shop("shopify")
    assert send("shop", ORDER).status_code == 200
    lifecycle.disconnect(integration=integration, actor=ADA)
    assert send("shop", {"n": 2}).status_code == 404
    other = shop("shopify", code="other", enabled=False)
    assert send("other", ORDER).status_code == 404
    integrations.remove(integration=other, actor=ADA)
    assert send("other", ORDER).status_code == 404
    shop("shopify", code="third")
    organization.is_active = False
    organization.save()
    assert send("third", ORDER).status_code == 404
    assert InboundWebhook.objects.count() == 1


def test_without_a_secret_nothing_is_believed(shop: Shop) -> None:
    integration = shop("shopify", secret="")
    empty = providers.shopify(json.dumps(ORDER).encode(), 0, secret="")
    assert send("shop", ORDER, headers=empty).status_code == 401
    assert receiver_of(integration).rejections.get().reason.startswith("No secret is set")


def test_larger_than_the_limit_is_413_and_never_cut(shop: Shop) -> None:
    integration = shop("generic", options={"max_bytes": 1000})
    assert send("shop", b"x" * 1000, "generic").status_code == 200
    assert send("shop", b"x" * 1001, "generic").status_code == 413
    assert [row.size for row in InboundWebhook.objects.all()] == [1000]
    assert sum(receiver_of(integration).counts.values_list("too_large", flat=True)) == 1


def test_the_same_event_again_is_acknowledged_and_not_stored_twice(shop: Shop) -> None:
    shop("shopify")
    for _ in range(5):
        assert send("shop", ORDER).status_code == 200
    assert only().duplicates == 4
    assert send("shop", {**ORDER, "id": 2}).status_code == 200
    assert InboundWebhook.objects.count() == 2


def test_two_integrations_may_get_the_same_event(shop: Shop) -> None:
    shop("shopify", code="one")
    shop("shopify", code="two")
    for code in ("one", "two", "one"):
        assert send(code, ORDER).status_code == 200
    assert InboundWebhook.objects.count() == 2


def test_deduplication_can_be_turned_off_where_bodies_repeat(shop: Shop) -> None:
    shop("generic", code="hints", options={"deduplicate": False})
    shop("generic", code="events")
    for code in ("hints", "events"):
        for _ in range(3):
            assert send(code, {"ping": 1}, "generic").status_code == 200
    assert InboundWebhook.objects.count() == 4


def test_a_rotated_secret_is_believed_for_an_hour(shop: Shop) -> None:
    integration = shop("shopify")
    body = json.dumps(ORDER).encode()
    integrations.update(integration=integration, actor=ADA, values={}, webhook_secret="the new one")
    with_new = providers.shopify(body, 0, secret="the new one")
    with_old = providers.shopify(body, 0, secret=SECRET)
    assert send("shop", body, headers=with_old).status_code == 200
    assert send("shop", body, headers=with_new).status_code == 200
    receiver = receiver_of(integration)
    kept = list(receiver.old_secrets)
    assert [item["secret"] for item in kept] == [SECRET]
    left = timezone.datetime.fromisoformat(kept[0]["until"]) - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    receiver.old_secrets = [{**kept[0], "until": (timezone.now() - timedelta(seconds=1)).isoformat()}]
    receiver.save()
    assert send("shop", body, headers=with_old).status_code == 401
    assert send("shop", body, headers=with_new).status_code == 200


def test_old_secrets_can_be_forgotten_at_once(shop: Shop) -> None:
    integration = shop("shopify")
    receiver, source = receivers.for_number(integration.organization, integration.number)
    receivers.update(receiver=receiver, source=source, actor=ADA, values={}, secret="new")
    assert send("shop", ORDER).status_code == 200
    receivers.forget_old_secrets(receiver=receiver_of(integration), actor=ADA)
    assert send("shop", {"n": 2}).status_code == 401
    raw = connection.cursor()
    raw.execute("SELECT old_secrets FROM webhooks_inboundreceiver")
    assert SECRET.encode() not in bytes(raw.fetchone()[0] or b"")


def test_the_address_is_the_configured_one_whatever_the_request_says(shop: Shop) -> None:
    shop("square")
    lies = {
        "HTTP_HOST": "testserver",
        "HTTP_X_FORWARDED_HOST": "evil.example",
        "HTTP_X_FORWARDED_PROTO": "http",
    }
    assert send("shop", {"event_id": "1"}, "square", **lies).status_code == 200
    body = json.dumps({"event_id": "2"}).encode()
    for url in (
        "http://testserver/api/v1/webhooks/receive/shop",
        "https://evil.example/api/v1/webhooks/receive/shop",
    ):
        headers = providers.square(body, 0, url=url)
        assert send("shop", body, headers=headers, **lies).status_code == 401
    # The unversioned address is the hub's own, too.
    headers = providers.square(body, 0, url="https://hub.example.com/api/webhooks/receive/shop")
    answer = Client().post(
        "/api/webhooks/receive/shop", body, content_type="application/json", **providers.meta_names(headers)
    )
    assert answer.status_code == 200


def test_a_gateways_address_can_be_stated(shop: Shop) -> None:
    shop("square", options={"public_url": "https://hooks.example.net/in/7"})
    body = b'{"event_id": "1"}'
    headers = providers.square(body, 0, url="https://hooks.example.net/in/7?a=1")
    assert send("shop", body, headers=headers, query="a=1").status_code == 200


def test_slack_asks_for_its_challenge(shop: Shop) -> None:
    shop("slack")
    asked = {"type": "url_verification", "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}
    answer = send("shop", asked, "slack")
    assert answer.json() == {"challenge": asked["challenge"]}
    assert send("shop", asked, headers={}).status_code == 401
    assert not InboundWebhook.objects.exists()


def test_xero_tries_right_and_wrong_signatures(shop: Shop) -> None:
    shop("xero")
    intent = {
        "events": [],
        "firstEventSequence": 0,
        "lastEventSequence": 0,
        "entropy": "BSJECEDYPYXZEZKNSUDC",
    }
    right = send("shop", intent, "xero")
    assert (right.status_code, right.content) == (200, b"")
    wrong = send("shop", intent, headers={"x-xero-signature": "AAAA"})
    assert (wrong.status_code, wrong.content) == (401, b"")
    assert not InboundWebhook.objects.exists()


def test_adobe_reads_its_client_id_in_every_answer(shop: Shop) -> None:
    shop("adobe_sign", secret="", options={"client_ids": ["CBJCHBCAABAAXYZ"]})
    client = Client()
    get = client.get("/api/v1/webhooks/receive/shop", headers={"X-AdobeSign-ClientId": "CBJCHBCAABAAXYZ"})
    assert get.status_code == 200
    assert get.headers["X-AdobeSign-ClientId"] == "CBJCHBCAABAAXYZ"
    assert get.json() == {"xAdobeSignClientId": "CBJCHBCAABAAXYZ"}
    event = {"webhookNotificationId": "n1", "event": "AGREEMENT_CREATED"}
    post = send("shop", event, headers={"X-AdobeSign-ClientId": "CBJCHBCAABAAXYZ"})
    assert (post.status_code, post.headers["X-AdobeSign-ClientId"]) == (200, "CBJCHBCAABAAXYZ")
    assert only().event_type == "AGREEMENT_CREATED"
    assert (
        client.get("/api/v1/webhooks/receive/shop", headers={"X-AdobeSign-ClientId": "x"}).status_code == 401
    )


def test_get_is_for_those_who_ask_by_it(shop: Shop) -> None:
    shop("shopify")
    assert Client().get("/api/v1/webhooks/receive/shop").status_code == 404
    shop("meta", code="wa", options={"verify_token": "tok"})
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    answer = Client().get(f"/api/v1/webhooks/receive/wa?{query}tok")
    assert (answer.status_code, answer.content) == (200, b"1158201444")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert Client().get(f"/api/v1/webhooks/receive/wa?{query}nope").status_code == 401


def test_click_and_all_may_come_without_a_length(shop: Shop) -> None:
    shop("generic")
    body = b'{"id": "c1"}'
    headers = providers.generic(body, 0)
    from io import BytesIO

    from django.test import RequestFactory

    from apps.webhooks.api.receive import ReceiveView

    request = RequestFactory().generic(
        "POST", "/api/v1/webhooks/receive/shop", b"", **providers.meta_names(headers)
    )
    request.META["HTTP_TRANSFER_ENCODING"] = "chunked"
    request.META.pop("CONTENT_LENGTH", None)
    request.META["wsgi.input"] = BytesIO(body)
    response = ReceiveView.as_view()(request, code="shop", version="v1")
    assert response.status_code == 200
    assert bytes(only().body) == body


def test_hostile_bodies_and_headers_are_stored_as_text(shop: Shop) -> None:
    shop("generic")
    for number, body in enumerate((b"\x00\xff\xfe", b'{"id": "\\u0000"}', b"<script>alert(1)</script>", b"")):
        answer = send(
            "shop",
            body,
            "generic",
            HTTP_X_EVENT_TYPE="a\x01<b>",
            HTTP_X_EVENT_ID=f"{number}" * 300,
            HTTP_ACCEPT="x/y;q=z",
        )
        assert answer.status_code == 200, answer.content
    assert InboundWebhook.objects.count() == 4
    assert work() == 4
    assert set(InboundWebhook.objects.values_list("status", flat=True)) == {"completed"}
    longest = InboundWebhook.objects.filter(external_id__startswith="sha256:").first()
    assert longest is not None
    assert (
        longest.external_id == "sha256:" + hashlib.sha256(longest.headers["x-event-id"].encode()).hexdigest()
    )


def test_a_receiver_is_made_by_the_first_call(shop: Shop) -> None:
    shop("shopify")
    InboundReceiver.objects.all().delete()
    # The connector “rest” signs by the generic scheme unless told otherwise.
    assert send("shop", {"id": 1}, "generic").status_code == 200
    receiver = InboundReceiver.objects.get()
    assert (receiver.scheme, receiver.title) == ("generic", "Shop")
    assert receiver.routes == [{"match": ["*"], "effect": "event", "with": {}}]
