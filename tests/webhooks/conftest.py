from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage, verified
from apps.events.models import Event
from apps.events.services import fanout, outbox
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import organizations
from apps.webhooks.models import Delivery, WebhookEndpoint
from apps.webhooks.services import dispatch, endpoints
from tests.webhooks.receiver import Receiver, receiving

ADA = Actor("user", "1", "Ada Lovelace")


@pytest.fixture(autouse=True)
def _this_machine_may_be_called(settings: Any) -> None:
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    settings.HUB_ALLOW_HTTP = True


@pytest.fixture
def organization(db: None) -> Organization:
    return organizations.create(name="Northwind")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def endpoint_at(organization: Organization) -> Callable[..., WebhookEndpoint]:
    """Creates endpoints for the organization."""

    def create(url: str, **options: Any) -> WebhookEndpoint:
        owner = options.pop("organization", organization)
        options = {"name": "Order service", "events": ["custom.*"], **options}
        return endpoints.create(organization=owner, actor=ADA, url=url, **options)

    return create


@pytest.fixture
def client_of() -> Iterator[Callable[..., APIClient]]:
    """Creates API clients of an organization, with every scope unless told otherwise."""

    def create(organization: Organization, *scopes: str) -> APIClient:
        issued = keys.create(
            organization=organization,
            actor=ADA,
            name="test",
            scopes=list(scopes) or ["*:*"],
            permissions=keys.ALL_PERMISSIONS,
            never_expires=True,
        )
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
        return client

    verified.forget_all()
    usage.forget_all()
    yield create
    verified.forget_all()


@pytest.fixture
def api(organization: Organization, client_of: Callable[..., APIClient]) -> APIClient:
    return client_of(organization)


def publish(organization: Organization, type: str = "custom.order.paid", **data: Any) -> Event:
    """One event, published as any app does it."""
    subject = data.pop("subject", "")
    outbox.publish(organization=organization, type=type, data=data or {"order": 1}, subject=subject)
    return Event.objects.filter(organization=organization, type=type).latest("id")


def run() -> dispatch.Drained:
    """Fan out and send all that is due."""
    fanout.sweep()
    return dispatch.drain(linger=0)


def only_delivery(endpoint: WebhookEndpoint) -> Delivery:
    return Delivery.objects.get(endpoint=endpoint)
