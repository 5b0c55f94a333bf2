"""What the API tells of inbound webhooks, and what it lets one change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.audit.models import AuditEntry
from apps.connectors.models import Integration
from apps.tenants.services import organizations
from apps.webhooks.models import InboundWebhook
from tests.webhooks.conftest import api  # noqa: F401
from tests.webhooks.inbound.conftest import only, receiver_of, send, work
from tests.webhooks.inbound.providers import SECRET

pytestmark = pytest.mark.django_db
Shop = Callable[..., Integration]
API = "/api/v1"


@pytest.fixture(autouse=True)
def _imported(api: APIClient) -> APIClient:  # noqa: F811
    return api


def test_webhooks_are_listed_read_retried_and_deleted(shop: Shop, api: APIClient) -> None:  # noqa: F811
    integration = shop("generic")
    send("shop", {"id": "e1", "type": "order.paid"}, "generic")
    send("shop", {"id": "e2", "type": "order.open"}, "generic")
    work()
    page = api.get(f"{API}/inbound-webhooks").json()["data"]
    assert [row["external_id"] for row in page] == ["e2", "e1"]
    assert page[0]["integration"] == integration.number
    for query, found in (
        ("status=completed", 2),
        ("status=failed", 0),
        (f"integration={integration.number}", 2),
        ("integration=INT-2020-00001", 0),
        ("event_type=order.paid", 1),
        ("external_id=e2", 1),
    ):
        assert len(api.get(f"{API}/inbound-webhooks?{query}").json()["data"]) == found
    assert api.get(f"{API}/inbound-webhooks?nonsense=1").status_code == 400
    one = api.get(f"{API}/inbound-webhooks/{page[0]['id']}").json()
    assert one["body"] == '{"id": "e2", "type": "order.open"}'
    assert one["payload"] == {"id": "e2", "type": "order.open"}
    assert one["effects"][0]["text"] == "inbound.received"
    assert [attempt["status"] for attempt in one["attempts"]] == ["completed"]
    again = api.post(f"{API}/inbound-webhooks/{page[0]['id']}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    assert api.post(f"{API}/inbound-webhooks/{page[0]['id']}/retry").status_code == 409
    assert api.delete(f"{API}/inbound-webhooks/{page[1]['id']}").status_code == 204
    assert only().external_id == "e2"
    assert set(
        AuditEntry.objects.filter(action__startswith="inbound_webhook").values_list("action", flat=True)
    ) == {
        "inbound_webhook.retried",
        "inbound_webhook.deleted",
    }


def test_settings_are_read_and_changed_and_the_secret_never_shows(shop: Shop, api: APIClient) -> None:  # noqa: F811
    integration = shop("shopify")
    address = f"{API}/integrations/{integration.number}/inbound"
    found = api.get(address).json()
    assert found["url"] == "https://hub.example.com/api/v1/webhooks/receive/shop"
    assert (found["scheme"], found["has_secret"]) == ("shopify", True)
    routes = [{"match": ["orders/*"], "effect": "event", "with": {"type": "custom.order"}, "name": "Orders"}]
    answer = api.patch(address, {"routes": routes, "secret": "a new one", "max_retries": 2}, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["routes"] == routes
    assert "a new one" not in answer.content.decode()
    integration.refresh_from_db()
    assert integration.webhook_secret == "a new one"
    assert [item["secret"] for item in receiver_of(integration).old_secrets] == [SECRET]
    entry = AuditEntry.objects.filter(action="inbound_receiver.updated").latest("sequence")
    assert "a new one" not in str(entry.changes)
    assert entry.changes["max_retries"] == [5, 2]
    wrong = api.patch(address, {"routes": [{"match": ["*"], "effect": "exec"}]}, format="json")
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/routes/0/effect"
    assert api.patch(address, {"scheme": "nope"}, format="json").status_code == 422
    assert api.get(address).json()["routes"] == routes
    assert api.get(f"{API}/integrations/INT-2020-99999/inbound").status_code == 404


def test_schemes_are_listed(api: APIClient) -> None:  # noqa: F811
    names = [item["name"] for item in api.get(f"{API}/inbound-schemes").json()["data"]]
    assert {"stripe", "payme", "click", "paypal", "generic"} <= set(names)


def test_each_organization_sees_its_own_only(
    shop: Shop,
    client_of: Callable[..., APIClient],
    api: APIClient,  # noqa: F811
) -> None:
    integration = shop("generic")
    send("shop", {"id": 1}, "generic")
    stranger: Any = client_of(organizations.create(name="Stranger"))
    ref = only().public_id
    assert stranger.get(f"{API}/inbound-webhooks").json()["data"] == []
    for method, path in (
        ("get", f"inbound-webhooks/{ref}"),
        ("delete", f"inbound-webhooks/{ref}"),
        ("post", f"inbound-webhooks/{ref}/retry"),
        ("get", f"integrations/{integration.number}/inbound"),
        ("patch", f"integrations/{integration.number}/inbound"),
    ):
        assert getattr(stranger, method)(f"{API}/{path}").status_code == 404
    assert InboundWebhook.objects.count() == 1


def test_a_key_needs_the_scopes(shop: Shop, organization: Any, client_of: Callable[..., APIClient]) -> None:
    integration = shop("generic")
    reader = client_of(organization, "webhooks:read", "integrations:read")
    assert reader.get(f"{API}/inbound-webhooks").status_code == 200
    assert reader.get(f"{API}/integrations/{integration.number}/inbound").status_code == 200
    change = reader.patch(
        f"{API}/integrations/{integration.number}/inbound", {"enabled": False}, format="json"
    )
    assert change.status_code == 403
    assert receiver_of(integration).enabled
