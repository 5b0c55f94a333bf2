"""OAuth2 client credentials: tokens are fetched, shared, refreshed once, and shown to nobody."""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest
from django.core.cache import cache

from apps.webhooks.models import DeliveryAttempt
from apps.webhooks.statuses import DeliveryStatus
from tests.webhooks.conftest import only_delivery, publish, run
from tests.webhooks.receiver import receiving, say


@pytest.fixture
def authority():
    cache.clear()
    with receiving() as one:
        one.usual = say(
            200,
            json.dumps({"access_token": "t0ken-1", "token_type": "Bearer", "expires_in": 3600}).encode(),
            Content_Type="application/json",
        )
        yield one
    cache.clear()


def guarded(endpoint_at, receiver, authority, **config):
    return endpoint_at(
        receiver.url,
        auth_type="oauth2",
        auth_config={
            "token_url": authority.url,
            "client_id": "hub",
            "client_secret": "s3cret-of-ours",
            "scope": "events:write",
            **config,
        },
    )


def test_one_token_serves_many_deliveries_and_workers(organization, endpoint_at, receiver, authority):
    endpoint = guarded(endpoint_at, receiver, authority)
    for _ in range(3):
        publish(organization)
    run()
    publish(organization)
    run()  # another loop: the token comes from the shared cache

    assert [arrival.headers["authorization"] for arrival in receiver.arrivals] == ["Bearer t0ken-1"] * 4
    assert len(authority.arrivals) == 1
    asked = authority.arrivals[0]
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["events:write"]}
    assert base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")) == b"hub:s3cret-of-ours"
    attempt = DeliveryAttempt.objects.filter(endpoint=endpoint).first()
    assert attempt.request_headers["Authorization"] == "Bearer ***"


def test_credentials_may_go_into_the_body(organization, endpoint_at, receiver, authority):
    guarded(endpoint_at, receiver, authority, client_auth="body", audience="shop")
    publish(organization)
    run()
    asked = parse_qs(authority.arrivals[0].body.decode())
    assert (asked["client_id"], asked["client_secret"], asked["audience"]) == (
        ["hub"], ["s3cret-of-ours"], ["shop"],
    )  # fmt: skip
    assert "authorization" not in authority.arrivals[0].headers


def test_a_refused_token_is_renewed_once(organization, endpoint_at, receiver, authority):
    endpoint = guarded(endpoint_at, receiver, authority)
    authority.answers = [
        say(200, b'{"access_token": "old-t0ken"}'),
        say(200, b'{"access_token": "new-t0ken"}'),
    ]
    receiver.answers = [say(401, b"old-t0ken is over, new-t0ken is fine"), say(204)]
    publish(organization)
    run()
    assert [a.headers["authorization"] for a in receiver.arrivals] == ["Bearer old-t0ken", "Bearer new-t0ken"]
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    assert DeliveryAttempt.objects.filter(endpoint=endpoint).count() == 1

    receiver.usual = say(401, b"t0ken-1 is refused")
    publish(organization)
    run()
    assert len(receiver.arrivals) == 4  # once more with a new token, and no further
    assert "t0ken-1" not in DeliveryAttempt.objects.order_by("id").last().response_body


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (say(400, b'{"error": "invalid_client"}'), "answered 400 (invalid_client)"),
        (say(200, b"<html>"), "without an access token"),
        (say(200, b'{"access_token": "a b"}'), "no header can carry"),
        (say(200, b'{"access_token": "x", "token_type": "mac"}'), "another kind"),
        (say(302, b"", Location="http://169.254.169.254/"), "answered 302"),
    ],
)
def test_without_a_token_nothing_is_sent_and_it_is_tried_again(
    organization, endpoint_at, receiver, authority, answer, told
):
    endpoint = guarded(endpoint_at, receiver, authority)
    authority.usual = answer
    publish(organization)
    run()
    delivery = only_delivery(endpoint)
    assert not receiver.arrivals
    assert delivery.status == DeliveryStatus.RETRYING
    assert told in delivery.last_error
    assert "s3cret" not in delivery.last_error


def test_the_token_url_is_guarded_like_every_other(api, organization, receiver, authority, settings):
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.1/32"]
    body = {"name": "x", "url": receiver.url, "events": ["custom.*"], "auth_type": "oauth2"}
    for url in ("http://169.254.169.254/latest", "http://0x7f.2/", "http://[::ffff:10.0.0.1]/", "ftp://x/"):
        config = {"token_url": url, "client_id": "a", "client_secret": "b"}
        answer = api.post("/api/v1/webhooks", {**body, "auth_config": config}, format="json")
        assert answer.status_code == 422, url
        assert answer.json()["errors"][0]["pointer"] == "/auth_config/token_url"
    config = {"token_url": authority.url, "client_id": "a", "client_secret": "b-s3cret"}
    made = api.post("/api/v1/webhooks", {**body, "auth_config": config}, format="json")
    assert made.status_code == 201
    assert made.json()["auth_config"] == {
        "token_url": authority.url,
        "client_id": "a",
        "client_secret": "***",
    }
