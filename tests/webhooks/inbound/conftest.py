from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from apps.connectors.models import Integration
from apps.connectors.services import integrations
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.models import InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import processing, receivers
from apps.webhooks.services.inbound.receiving import _bell
from tests.webhooks.conftest import client_of, organization  # noqa: F401
from tests.webhooks.inbound.providers import SIGNERS, as_json, meta_names, secret_of

ADA = Actor("user", "1", "Ada Lovelace")
BASE = "https://hub.example.com"


@pytest.fixture(autouse=True)
def _public_address(settings: Any) -> Iterator[None]:
    settings.HUB_BASE_URL = BASE
    _bell._last = 0.0
    return


@pytest.fixture
def shop(organization: Organization) -> Callable[..., Integration]:  # noqa: F811
    """Sets up an integration whose provider signs by a scheme."""

    def make(scheme: str = "shopify", *, code: str = "shop", **values: Any) -> Integration:
        integration = integrations.create(
            organization=values.pop("organization", organization),
            actor=ADA,
            connector="rest",
            values={
                "name": "Shop",
                "code": code,
                "auth_mode": "none",
                "config": {"base_url": "https://shop.example.com", "streams": values.pop("streams", [])},
            },
            webhook_secret=values.pop("secret", secret_of(scheme)),
        )
        receiver, source = receivers.for_number(integration.organization, integration.number)
        receivers.update(receiver=receiver, source=source, actor=ADA, values={"scheme": scheme, **values})
        return integration

    return make


def receiver_of(integration: Integration) -> InboundReceiver:
    return InboundReceiver.objects.select_related("organization").get(
        organization=integration.organization, number=integration.number
    )


def send(
    code: str,
    body: Any,
    scheme: str = "shopify",
    *,
    headers: dict[str, str] | None = None,
    query: str = "",
    client: Client | None = None,
    content_type: str = "application/json",
    **meta: Any,
) -> Any:
    """One signed request to an address, as its provider sends it."""
    raw = body if isinstance(body, bytes) else as_json(body)
    url = f"{BASE}/api/v1/webhooks/receive/{code}" + (f"?{query}" if query else "")
    if headers is None:
        headers = SIGNERS[scheme](raw, int(time.time()), url=url) if scheme in SIGNERS else {}
    return (client or Client(raise_request_exception=False)).post(
        f"/api/v1/webhooks/receive/{code}" + (f"?{query}" if query else ""),
        raw,
        content_type=content_type,
        **meta_names(headers),
        **meta,
    )


def work() -> int:
    """Work off all that is due, now."""
    return processing.drain(linger=0)


def only() -> InboundWebhook:
    return InboundWebhook.objects.get()
