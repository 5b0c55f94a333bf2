"""Keys in the address of an endpoint are secrets like any other."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps as installed
from django.db import connection

from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.webhooks.addresses import shown_url
from apps.webhooks.models import WebhookEndpoint
from tests.webhooks.conftest import publish, run
from tests.webhooks.test_api import new


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/hook", "https://a.example/hook"),
        ("https://a.example/hook?shop=1&token=abc", "https://a.example/hook?shop=1&token=***"),
        ("https://a.example/hook?key=abc&sig=d", "https://a.example/hook?key=***&sig=***"),
        ("https://hooks.slack.com/services/T0/B0/abcDEF123456789012345678", "https://hooks.slack.com/services/T0/B0/***"),
        ("https://a.example/9b2e4c1a-33aa-4f0e-9f5e-0123456789ab/x", "https://a.example/9b2e4c1a-33aa-4f0e-9f5e-0123456789ab/x"),
        ("https://a.example/a-very-long-name-of-a-hook-2026", "https://a.example/a-very-long-name-of-a-hook-2026"),
    ],
)  # fmt: skip
def test_what_is_told_of_an_address(url, shown):
    assert shown_url(url) == shown


def test_a_key_in_the_address_is_sent_and_never_told(api, organization, receiver):
    secret = "k3y-that-nobody-sees"
    made = api.post("/api/v1/webhooks", new(receiver, url=f"{receiver.url}?token={secret}"), format="json")
    number = made.json()["id"]
    path = f"/api/v1/webhooks/{number}"
    assert made.json()["url"] == f"{receiver.url}?token=***"

    # Sent back as it was read, nothing changes; another address is another one.
    assert (
        api.patch(path, {"url": f"{receiver.url}?token=***", "name": "New"}, format="json").status_code == 200
    )
    endpoint = WebhookEndpoint.objects.get(number=number)
    assert endpoint.url == f"{receiver.url}?token={secret}"
    publish(organization)
    run()
    assert receiver.arrivals[0].path == f"/hook?token={secret}"

    assert api.patch(path, {"url": f"{receiver.url}x?token=***"}, format="json").status_code == 422
    changed = api.patch(path, {"url": f"{receiver.url}?token=an0ther-one"}, format="json")
    assert changed.json()["url"] == f"{receiver.url}?token=***"
    for model in (AuditEntry, Event):
        rows = str(list(model.objects.values()))
        assert secret not in rows
        assert "an0ther-one" not in rows
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhooks_webhookendpoint")
        assert secret not in str(cursor.fetchall())
    assert secret not in api.get(path).content.decode()


def test_addresses_of_before_are_encrypted_by_the_migration(endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url=None, url_shown=f"{receiver.url}?token=abcdef")
    move = importlib.import_module("apps.webhooks.migrations.0004_encrypt_urls")
    move.encrypt(installed, None)
    endpoint = WebhookEndpoint.objects.get(pk=endpoint.pk)
    assert (endpoint.url, endpoint.url_shown) == (f"{receiver.url}?token=abcdef", f"{receiver.url}?token=***")
    move.decrypt(installed, None)
    endpoint = WebhookEndpoint.objects.get(pk=endpoint.pk)
    assert (endpoint.url, endpoint.url_shown) == (None, f"{receiver.url}?token=abcdef")


def test_certificates_are_verified(api, organization, receiver, settings):
    unverified = new(receiver, security={"validate_ssl": False})
    assert api.post("/api/v1/webhooks", unverified, format="json").status_code == 201
    settings.HUB_ALLOW_HTTP = False
    unverified["url"] = unverified["url"].replace("http:", "https:")
    refused = api.post("/api/v1/webhooks", unverified, format="json")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/security/validate_ssl"


def test_ed25519_keys_are_made_here_and_verified_with_the_public_one(api, organization, receiver):
    from apps.webhooks import signing

    made = api.post("/api/v1/webhooks", new(receiver, secret_kind="ed25519"), format="json").json()
    assert made["public_key"].startswith("whpk_")
    endpoint = WebhookEndpoint.objects.get(number=made["id"])
    assert endpoint.secret.startswith("whsk_")
    publish(organization)
    run()
    one = receiver.arrivals[0]
    signing.verify(headers=one.headers, body=one.body, secrets=[made["public_key"]])

    path = f"/api/v1/webhooks/{made['id']}"
    rotated = api.post(f"{path}/rotate-secret", {"kind": "hmac"}, format="json").json()
    publish(organization)
    run()
    both = receiver.arrivals[1]
    assert [part[:3] for part in both.headers["webhook-signature"].split()] == ["v1,", "v1a"]
    for secret in (made["public_key"], rotated["secret"]):
        signing.verify(headers=both.headers, body=both.body, secrets=[secret])
    assert api.get(path).json()["public_key"] == ""
