"""`/event-types` and `/events`."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from apps.apikeys.services import keys, verified
from apps.events.catalog import EventType, event_types
from apps.events.models import Event
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations


def client(organization, *scopes):
    verified.forget_all()
    issued = keys.create(
        organization=organization,
        actor=SYSTEM,
        name="test",
        scopes=list(scopes) or ["*:*"],
        permissions=keys.ALL_PERMISSIONS,
        never_expires=True,
    )
    found = APIClient()
    found.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    return found


@pytest.fixture
def api(organization):
    return client(organization)


@pytest.fixture
def shipped():
    declared = EventType(
        name="custom.order.shipped",
        description="An order left the house.",
        schema={
            "type": "object",
            "required": ["order"],
            "properties": {"order": {"type": "integer"}, "lines": {"items": {"required": ["sku"]}}},
            "additionalProperties": False,
        },
        sample={"order": 1},
    )
    event_types.register(declared)
    yield declared
    del event_types._items[declared.name]


def test_the_catalog_with_schemas_and_samples(api):
    listed = api.get("/api/v1/event-types").json()
    assert listed["next"] is None
    names = [row["name"] for row in listed["data"]]
    assert names == sorted(names)
    assert {"clients.created", "webhook.endpoint.paused", "webhook.test"} <= set(names)
    assert {row["group"] for row in api.get("/api/v1/event-types?group=Webhooks").json()["data"]} == {
        "Webhooks"
    }
    assert api.get("/api/v1/event-types?search=nothing+like+it").json()["data"] == []
    detail = api.get("/api/v1/event-types/webhook.endpoint.paused").json()
    assert detail["sample"]["automatic"] is True
    assert api.get("/api/v1/event-types/no.such").status_code == 404


def test_every_sample_fits_its_schema():
    for declared in event_types:
        Draft202012Validator.check_schema(dict(declared.schema))
        errors = list(Draft202012Validator(dict(declared.schema)).iter_errors(dict(declared.sample)))
        assert errors == [], declared.name


def test_publish_read_and_list(api, organization):
    answer = api.post(
        "/api/v1/events",
        {"type": "custom.order.paid", "data": {"order": 7}, "subject": "ord_7"},
        format="json",
    )

    assert answer.status_code == 201, answer.content
    event = Event.objects.get(type="custom.order.paid")
    told = answer.json()
    assert told["id"] == event.public_id
    assert told["data"] == {"order": 7}
    assert answer["Location"] == f"/api/v1/events/{event.public_id}"
    assert api.get(answer["Location"]).json() == told
    assert api.get("/api/v1/events?type=custom.order.paid,clients.created").json()["data"] == [told]
    assert api.get("/api/v1/events?subject=ord_7").json()["data"] == [told]
    assert api.get("/api/v1/events?subject=ord_8").json()["data"] == []
    assert api.get("/api/v1/events?until=2020-01-01T00:00:00Z").json()["data"] == []
    assert api.get("/api/v1/events?since=2020-01-01T00:00:00Z&type=custom.order.paid").json()["data"] == [
        told
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "clients.created", "data": {}}, "/type"),
        ({"type": "custom", "data": {}}, "/type"),
        ({"type": "custom.", "data": {}}, "/type"),
        ({"type": "custom.Upper", "data": {}}, "/type"),
        ({"type": "custom.a.b.c.d.e", "data": {}}, "/type"),
        ({"type": "custom.a", "data": []}, "/data"),
        ({"type": "custom.a"}, "/data"),
        ({"type": "custom.a", "data": {}, "subject": "x" * 121}, "/subject"),
        ({"type": "custom.a", "data": {}, "extra": 1}, "/extra"),
        ({"type": "custom.order.shipped", "data": {}}, "/data"),
        ({"type": "custom.order.shipped", "data": {"order": "7"}}, "/data/order"),
        ({"type": "custom.order.shipped", "data": {"order": 7, "lines": [{}]}}, "/data/lines/0"),
    ],
)
def test_wrong_events_are_refused_by_name(api, shipped, body, pointer):
    answer = api.post("/api/v1/events", body, format="json")

    assert answer.status_code in (400, 422)
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not Event.objects.filter(type__startswith="custom.").exists()


def test_at_most_256_kib(api):
    just = {"type": "custom.big", "data": {"text": "x" * (256 * 1024 - 11)}}
    over = {"type": "custom.big", "data": {"text": "x" * (256 * 1024 - 10)}}

    assert api.post("/api/v1/events", over, format="json").status_code == 413
    assert not Event.objects.filter(type="custom.big").exists()
    assert api.post("/api/v1/events", just, format="json").status_code == 201


def test_the_same_idempotency_key_publishes_once(api):
    body = {"type": "custom.order.paid", "data": {"order": 1}}

    first = api.post("/api/v1/events", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    again = api.post("/api/v1/events", body, format="json", HTTP_IDEMPOTENCY_KEY="k1")
    other = api.post(
        "/api/v1/events", {**body, "data": {"order": 2}}, format="json", HTTP_IDEMPOTENCY_KEY="k1"
    )

    assert first.json() == again.json()
    assert other.status_code == 422
    assert Event.objects.filter(type="custom.order.paid").count() == 1


def test_another_organization_and_other_scopes_see_nothing(api, organization):
    event_id = api.post("/api/v1/events", {"type": "custom.a", "data": {}}, format="json").json()["id"]
    stranger = client(organizations.create(name="Contoso"))

    assert stranger.get(f"/api/v1/events/{event_id}").status_code == 404
    assert stranger.get("/api/v1/events?type=custom.a").json()["data"] == []
    assert client(organization, "records:read").get("/api/v1/events").status_code == 403
    reader = client(organization, "events:read")
    assert reader.post("/api/v1/events", {"type": "custom.b", "data": {}}, format="json").status_code == 403
    assert not Event.objects.filter(type="custom.b").exists()
