from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

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
