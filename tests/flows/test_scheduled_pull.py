"""The first trip: a schedule comes due, and in the end somebody else's server knows what changed."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import standardwebhooks
from django.utils import timezone

from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import integrations, lifecycle
from apps.records.models import Change
from apps.records.selectors import count, dataset_of, live, record_of
from apps.tenants.models import Organization
from apps.webhooks.models import Delivery
from apps.webhooks.services import endpoints
from tests.connectors.shop import CUSTOMERS, TOKEN, stream
from tests.flows.conftest import ADA, work
from tests.peers.rest_peer import RestPeer, bearer
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_scheduled_pull_ends_as_verified_messages(organization: Organization, receiver: Receiver) -> None:
    endpoint = endpoints.create(
        organization=organization, actor=ADA, name="CRM", url=receiver.url, events=["clients.*"]
    )
    clients = dataset_of(organization, "clients")
    with RestPeer({"customers": CUSTOMERS}, auth=bearer(TOKEN)) as shop:
        integration = integrations.create(
            organization=organization,
            actor=ADA,
            connector="rest",
            values={
                "name": "Shop",
                "auth_mode": "bearer",
                "config": {"base_url": shop.url, "test_path": "/me", "streams": [stream()]},
                "auto_sync": True,
                "sync_interval_minutes": 15,
            },
            credentials={"token": TOKEN},
        )
        lifecycle.connect(integration=integration, actor=ADA)

        work()

        first = SyncJob.objects.get(integration=integration)
        assert (first.status, first.trigger, first.processed, first.created) == (
            "completed",
            "scheduled",
            25,
            25,
        )
        assert first.pages == 3
        assert count(clients) == 25
        assert Change.objects.filter(dataset=clients, origin__ref=first.number).count() == 25
        assert sorted(told["data"]["key"] for told in verified(receiver, endpoint.secret)) == sorted(
            str(row["id"]) for row in CUSTOMERS
        )
        assert {arrival.headers["webhook-id"] for arrival in receiver.arrivals} == {
            f"{one.payload.message_id}" for one in Delivery.objects.select_related("payload")
        }

        # Nothing is due, nothing happens.
        work()
        assert SyncJob.objects.count() == 1
        assert len(receiver.arrivals) == 25

        # The provider changes one row; the clock comes round.
        shop.collections["customers"][6] = {
            **CUSTOMERS[6],
            "email": "new@example.com",
            "updated_at": "2026-02-01T00:00:00Z",
        }
        come_round(integration)
        work()

    second = SyncJob.objects.exclude(pk=first.pk).get()
    assert (second.status, second.updated, second.created) == ("completed", 1, 0)
    assert second.processed < 25  # it asked for changes only
    record = record_of(clients, "key:7")
    assert (record.version, record.data["email"]) == (2, "new@example.com")
    [told] = verified(receiver, endpoint.secret)[25:]
    assert told["type"] == "clients.updated"
    assert told["data"]["changed"] == ["email"]
    assert told["data"]["before"] == {"email": "customer7@example.com"}
    assert told["data"]["record"]["email"] == "new@example.com"
    assert told["data"]["origin"] == {"kind": "sync", "ref": second.number}
    assert not Delivery.objects.exclude(status="delivered").exists()


def test_a_provider_that_refuses_stops_the_trip_and_changes_nothing(
    organization: Organization, receiver: Receiver
) -> None:
    endpoints.create(organization=organization, actor=ADA, name="Ops", url=receiver.url, events=["*"])
    with RestPeer({"customers": CUSTOMERS}, auth=bearer(TOKEN)) as shop:
        integration = integrations.create(
            organization=organization,
            actor=ADA,
            connector="rest",
            values={
                "name": "Shop",
                "auth_mode": "bearer",
                "config": {"base_url": shop.url, "test_path": "/me", "streams": [stream()]},
                "auto_sync": True,
                "sync_interval_minutes": 15,
            },
            credentials={"token": TOKEN},
        )
        lifecycle.connect(integration=integration, actor=ADA)
        shop.auth = bearer("another token since")
        work()

    integration.refresh_from_db()
    assert integration.status == "error"
    assert "credentials" in integration.status_reason
    assert not live(dataset_of(organization, "clients")).exists()
    types = [json.loads(arrival.body)["type"] for arrival in receiver.arrivals]
    assert "integration.error" in types
    assert not any(name.startswith("clients.") for name in types)
    assert not any(TOKEN in arrival.body.decode() for arrival in receiver.arrivals)


def verified(receiver: Receiver, secret: str) -> list[dict]:
    """What arrived, each checked with the public library."""
    webhook = standardwebhooks.Webhook(secret)
    return [webhook.verify(arrival.body, arrival.headers) for arrival in receiver.arrivals]


def come_round(integration: Integration) -> None:
    """Let the time of the next scheduled sync come."""
    assert Integration.objects.filter(pk=integration.pk, next_sync_at__gt=timezone.now()).update(
        next_sync_at=timezone.now() - timedelta(seconds=1)
    )
